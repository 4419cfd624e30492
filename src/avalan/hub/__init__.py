"""Where model files come from: a folder, the local cache of the Hugging Face hub, or the hub."""

import re
from collections.abc import Iterable
from pathlib import Path

from avalan import extras
from avalan.errors import ModelError
from avalan.hub.folder import check_folder

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")


def resolve(
    name: str,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    offline: bool = False,
    files: Iterable[str] | None = None,
    token: str | None = None,
    pickled: bool = False,
    code: bool = False,
) -> Path:
    """The local folder of the model called `name`, downloading it if need be.

    Args:
        name: a folder (with a slash in front or a dot, or one that exists), or a hub id such as
            `Qwen/Qwen3-0.6B`.
        cache_dir: the hub's cache; left open, where huggingface_hub keeps it.
        revision: branch, tag or commit on the hub.
        offline: never use the network; `HF_HUB_OFFLINE=1` does the same.
        files: patterns of the files to download; left open, those that make a model.
        token: the access token; left open, that of the environment (`HF_ACCESS_TOKEN`,
            `HF_TOKEN`) or the one that `hf auth login` has stored.
        pickled: pickled weights will do where there are no others.
        code: the Python files that came with the model belong to it.

    Raises:
        ModelError: there is no such model, it cannot be reached, or its folder is incomplete.
        StateError: the disk is full or cannot be written.

    What is downloaded can be watched: `avalan.hub.events.watching`.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return check_folder(folder, pickled=pickled)
    if not is_hub_id(name):
        raise ModelError(
            "There is no model folder {name!r}; give a folder that exists, a hub id such as "
            "'Qwen/Qwen3-0.6B', or 'bundled'.",
            name=name,
        )
    cached = extras.load("avalan.hub.found").find_cached(
        name, cache_dir=cache_dir, revision=revision, pickled=pickled, code=code
    )
    if cached is not None:
        return check_folder(cached, pickled=pickled)
    return check_folder(
        extras.load("avalan.hub.download").fetch(
            name,
            cache_dir=cache_dir,
            revision=revision,
            offline=offline,
            files=None if files is None else list(files),
            token=token or extras.load("avalan.hub.account").find_token(),
            pickled=pickled,
            code=code,
        ),
        pickled=pickled,
    )


def is_hub_id(name: str) -> bool:
    """Whether a name may be a model's on the hub, and cannot be a path."""
    return not name.startswith((".", "/", "~")) and _HUB_ID.fullmatch(name) is not None
