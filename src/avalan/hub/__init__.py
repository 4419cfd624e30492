"""Where model files come from: a folder, the local cache of the Hugging Face hub, or the hub."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.errors import ModelError
from avalan.hub.folder import find_model
from avalan.hub.formats import GGUF, ONNX, split_format
from avalan.locale import _, _n

_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?(?<!\.gguf)")
_TOKENIZER = "tokenizer.json"
_TOKENIZER_FILES = ("*token*.json", "chat_template.jinja", "generation_config.json")

Check = Callable[[Sequence[str], Callable[[], Mapping[str, Any]]], None]
"""Called with the names of a model's files, and what fetches and reads its configuration."""


def resolve(
    name: str,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    offline: bool = False,
    token: str | None = None,
    pickled: bool = False,
    code: bool = False,
    tensors: bool = False,
    check: Check | None = None,
) -> Path:
    """The local folder of the model called `name`, downloading it if need be; or its one file.

    Args:
        name: a folder (with a slash in front or a dot, or one that exists), a GGUF or ONNX file, or
            a hub id such as `Qwen/Qwen3-0.6B`. After a colon, a folder's or a repository's format
            or file: `unsloth/Qwen3-0.6B-GGUF:Q8_0`.
        cache_dir: the hub's cache; left open, where huggingface_hub keeps it.
        revision: branch, tag or commit on the hub.
        offline: never use the network; `HF_HUB_OFFLINE=1` does the same.
        token: the access token; left open, that of the environment (`HF_ACCESS_TOKEN`,
            `HF_TOKEN`) or the one that `hf auth login` has stored.
        pickled: pickled weights will do where there are no others.
        code: the Python files that came with the model belong to it.
        tensors: of what is in the cache only safetensors will do, or a format that `name` gives.
        check: called before the weights come; what it raises ends it.

    Raises:
        ModelError: there is no such model, it cannot be reached, or its folder is incomplete.
        StateError: the disk is full or cannot be written.

    What is downloaded can be watched: `avalan.hub.events.watching`.
    """
    path = Path(name).expanduser()
    if path.suffix in (GGUF, ONNX) and path.is_file():
        return path
    model, wanted = split_format(name)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return find_model(folder, wanted, pickled=pickled)
    if not is_hub_id(model):
        problem = _n(
            "There is no model folder {name!r}; give a folder that exists, a hub id such as "
            "'Qwen/Qwen3-0.6B', or 'bundled'."
        )
        if path.suffix == GGUF:
            problem = _n(
                "There is no file {name!r}; give a GGUF file that exists, a model folder, a hub id "
                "or 'bundled'."
            )
        raise ModelError(problem, name=name)
    options: dict[str, Any] = {"cache_dir": cache_dir, "revision": revision, "wanted": wanted}
    options |= {"pickled": pickled, "code": code}
    find = extras.load("avalan.hub.found").find_cached
    found: Path | None = find(model, **options, tensors=tensors)
    if found is None and offline:
        reason = _("the network is switched off")
        raise extras.load("avalan.hub.failure").unreachable(model, reason, cache_dir)
    found = found or _download(model, check, token=token, **options)
    return find_model(found, wanted, pickled=pickled)


def resolve_tokenizer(
    name: str, *, cache_dir: str | Path | None, revision: str | None, token: str | None
) -> Path:
    """The folder with the tokenizer of the hub's model `name`: its few small files, as `resolve`.

    Raises:
        ModelError: there is no such model, or the hub cannot be reached.
        StateError: the disk is full or cannot be written.
    """
    name, _wanted = split_format(name)
    found: Path | None = extras.load("avalan.hub.found").find_snapshot(
        name, cache_dir=cache_dir, revision=revision, file=_TOKENIZER
    )
    return found or _download(
        name, cache_dir=cache_dir, revision=revision, token=token, files=_TOKENIZER_FILES
    )


def _download(
    name: str,
    check: Check | None = None,
    *,
    token: str | None,
    **options: Any,
) -> Path:
    download = extras.load("avalan.hub.download")
    token = token or extras.load("avalan.hub.account").find_token()
    plan = download.plan(name, token=token, **options)
    if check is not None:
        check([file.path for file in plan.files], partial(download.read_config, plan))
    folder: Path = download.run(plan)
    return folder


def is_hub_id(name: str) -> bool:
    """Whether a name may be a model's on the hub, and cannot be a path."""
    name, _wanted = split_format(name)
    return not name.startswith((".", "/", "~")) and bool(_HUB_ID.fullmatch(name))
