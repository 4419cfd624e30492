"""A model that is in the cache already; the network is not used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import errors
from huggingface_hub.file_download import try_to_load_from_cache

from avalan.hub.folder import has_weights

# One of them turns a text or a picture into numbers; without any, the weights are of no use.
_INPUTS = ("tokenizer.json", "vocab.*", "*.model", "merges.txt", "preprocessor_config.json")


def find_cached(
    name: str,
    *,
    cache_dir: str | Path | None,
    revision: str | None,
    pickled: bool = False,
    code: bool = False,
) -> Path | None:
    """The snapshot of a hub model in the local cache, if it is whole.

    Args:
        pickled: pickled weights will do.
        code: the Python files that its configuration names belong to it.
    """
    folder = find_snapshot(name, cache_dir=cache_dir, revision=revision)
    if folder is None or not _is_whole(folder, pickled=pickled):
        return None
    return None if code and not _has_code(folder) else folder


def find_snapshot(
    name: str, *, cache_dir: str | Path | None, revision: str | None, file: str = "config.json"
) -> Path | None:
    """The snapshot, whole or not, if it has this file."""
    try:
        path = try_to_load_from_cache(name, file, cache_dir=cache_dir, revision=revision)
    except errors.HFValidationError:
        return None
    return Path(path).parent if isinstance(path, str) else None


def _has_code(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return all((folder / file).is_file() for file in code_files(config))
    except (OSError, ValueError, AttributeError):
        return False


def code_files(config: Mapping[str, Any]) -> list[str]:
    """The Python files that `auto_map` names, those of other repositories left out.

    https://huggingface.co/docs/transformers/custom_models
    """
    table = config.get("auto_map")
    rows = table.values() if isinstance(table, Mapping) else ()
    names = [name for row in rows for name in (row if isinstance(row, list) else [row]) if name]
    return sorted({f"{name.partition('.')[0]}.py" for name in map(str, names) if "--" not in name})


def _is_whole(folder: Path, *, pickled: bool) -> bool:
    """Whether there are weights, every shard that an index names, and what prepares the input."""
    if not any(next(folder.glob(pattern), None) for pattern in _INPUTS):
        return False
    return not missing_shards(folder) and has_weights(folder, pickled=pickled)


def missing_files(folder: Path) -> list[str]:
    """What a snapshot with weights lacks of a model that runs."""
    if not has_weights(folder):
        return missing_shards(folder)
    has_inputs = any(next(folder.glob(pattern), None) for pattern in _INPUTS)
    config = [] if (folder / "config.json").is_file() else ["config.json"]
    return [*config, *([] if has_inputs else [_INPUTS[0]]), *missing_shards(folder)]


def missing_shards(folder: Path) -> list[str]:
    """The shards that the index of the weights names and that are not there.

    An index that cannot be read counts as missing itself.
    """
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(shard for shard in shards if not (folder / shard).is_file())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return [index.name]
