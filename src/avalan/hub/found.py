"""A model that is in the cache already; the network is not used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avalan.hub.folder import has_tensors, has_weights, weights_in
from avalan.hub.formats import GGUF
from avalan.hub.layout import place_of

# One of them turns a text or a picture into numbers; without any, the weights are of no use.
_INPUTS = ("tokenizer.json", "vocab.*", "*.model", "merges.txt", "preprocessor_config.json")


def find_cached(
    name: str,
    *,
    cache_dir: str | Path | None,
    revision: str | None,
    wanted: str | None = None,
    pickled: bool = False,
    code: bool = False,
    tensors: bool = False,
) -> Path | None:
    """The snapshot of a hub model in the local cache, if it is whole.

    Args:
        wanted: the format, or the file, that has to be there.
        pickled: pickled weights will do.
        code: the Python files that its configuration names belong to it.
        tensors: without `wanted`, only safetensors will do, or `pickled` ones.
    """
    folder = find_snapshot(name, cache_dir=cache_dir, revision=revision, file="")
    if folder is None or (tensors and wanted is None and not has_tensors(folder, pickled=pickled)):
        return None
    return folder if _is_whole(folder, wanted, pickled=pickled, code=code) else None


def find_snapshot(
    name: str, *, cache_dir: str | Path | None, revision: str | None, file: str = "config.json"
) -> Path | None:
    """The snapshot, whole or not, if it has this file."""
    place, wanted = place_of(name, cache_dir), revision or "main"
    ref = place.ref(wanted)
    folder = place.snapshot(ref.read_text(encoding="ascii").strip() if ref.is_file() else wanted)
    return folder if (folder / file).exists() else None


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


def _is_whole(folder: Path, wanted: str | None, *, pickled: bool, code: bool) -> bool:
    """Whether there are weights, every shard that an index names, and what prepares the input."""
    weights = weights_in(folder, wanted)
    if weights is not None and weights.files[0].endswith(GGUF):
        return True  # All in one file.
    if missing_inputs(folder) or (code and not _has_code(folder)):
        return False
    if wanted is not None:
        return weights is not None
    return not missing_shards(folder) and has_weights(folder, pickled=pickled)


def missing_files(folder: Path) -> list[str]:
    """What a snapshot with weights lacks of a model that runs."""
    needs_more = has_weights(folder) and weights_in(folder) is None
    return [*(missing_inputs(folder) if needs_more else []), *missing_shards(folder)]


def missing_inputs(folder: Path) -> list[str]:
    """The configuration and what prepares the input, where they are not there."""
    has_inputs = any(next(folder.glob(pattern), None) for pattern in _INPUTS)
    config = [] if (folder / "config.json").is_file() else ["config.json"]
    return [*config, *([] if has_inputs else [_INPUTS[0]])]


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
