"""Where model files come from: a folder, the local cache of the Hugging Face hub, or the hub."""

import re
from collections.abc import Iterable
from pathlib import Path

from avalan import extras
from avalan.errors import ModelError
from avalan.hub.folder import check_folder

# Files that an engine here can read; a repository may hold the same weights in other formats too.
_FILES = (
    "*.json",
    "*.jinja",
    "*.safetensors",
    "model.onnx*",
    "onnx/model.onnx*",
)
_LEFT_OUT = ("original/*", "*/original/*")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def resolve(
    name: str,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    offline: bool = False,
    files: Iterable[str] = _FILES,
) -> Path:
    """The local folder of the model called `name`, downloading it if need be.

    Args:
        name: a folder (with a slash in front or a dot, or one that exists), or a hub id such as
            `Qwen/Qwen3-0.6B`.
        cache_dir: the hub's cache; left open, where huggingface_hub keeps it.
        revision: branch, tag or commit on the hub.
        offline: never use the network; `HF_HUB_OFFLINE=1` does the same.
        files: patterns of the files to download.

    Raises:
        ModelError: there is no such model, it cannot be reached, or its folder is incomplete.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return check_folder(folder)
    if name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"There is no model folder {name!r}; give a folder that exists, a hub id such as "
            "'Qwen/Qwen3-0.6B', or 'bundled'."
        )
    download = extras.load("avalan.hub.download")
    cached = download.find_cached(name, cache_dir=cache_dir, revision=revision)
    if cached is not None:
        return check_folder(cached)
    return check_folder(
        download.fetch(
            name,
            cache_dir=cache_dir,
            revision=revision,
            offline=offline,
            files=list(files),
            left_out=list(_LEFT_OUT),
        )
    )
