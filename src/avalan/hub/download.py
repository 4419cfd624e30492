"""The Hugging Face hub, through its own client: look into the cache, download, explain failures."""

import json
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from avalan.errors import ModelError
from avalan.hub.folder import has_weights


def find_cached(name: str, *, cache_dir: str | Path | None, revision: str | None) -> Path | None:
    """The snapshot of a hub model in the local cache, if it is whole; the network is not used."""
    try:
        config = huggingface_hub.try_to_load_from_cache(
            name, "config.json", cache_dir=cache_dir, revision=revision
        )
    except errors.HFValidationError:
        return None
    if not isinstance(config, str) or not _is_whole(Path(config).parent):
        return None
    return Path(config).parent


def _is_whole(folder: Path) -> bool:
    """Whether the tokenizer and the weights are there, with every shard that an index names."""
    if not (folder / "tokenizer.json").is_file():
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return has_weights(folder)
    shards = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values()
    return all((folder / shard).is_file() for shard in shards)


def fetch(
    name: str,
    *,
    cache_dir: str | Path | None,
    revision: str | None,
    offline: bool,
    files: list[str],
    left_out: list[str],
) -> Path:
    """Download the model called `name`; returns its folder in the cache.

    Raises:
        ModelError: it does not exist, is gated, or cannot be reached.
    """
    if offline:
        raise _unreachable(name, "the network is switched off")
    try:
        folder = huggingface_hub.snapshot_download(
            name,
            cache_dir=cache_dir,
            revision=revision,
            allow_patterns=files,
            ignore_patterns=left_out,
        )
    except errors.GatedRepoError:
        raise ModelError(
            f"The model {name!r} is gated; accept its licence on https://huggingface.co/{name}, "
            "then set HF_TOKEN to your access token."
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(
            f"The model {name!r} has no revision {revision!r}; "
            f"see https://huggingface.co/{name}/tree/main for those it has."
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ModelError(
            f"There is no model {name!r} on the hub, or it is private; check the spelling, "
            "give a local folder, or set HF_TOKEN to a token that may read it."
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise _unreachable(name, "the hub cannot be reached") from None
    except Exception as error:  # the client's network library has a tree of errors of its own
        raise _unreachable(name, str(error).strip().partition("\n")[0].rstrip(".")) from error
    return Path(folder)


def _unreachable(name: str, why: str) -> ModelError:
    return ModelError(
        f"The model {name!r} is not on this machine and cannot be downloaded ({why}); connect to "
        "the network, give a local folder, or use the model 'bundled'."
    )
