"""A model as the hub describes it: its files, their sizes and hashes; which of them to fetch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
from huggingface_hub import constants

from avalan.errors import ModelError
from avalan.hub.failure import explained, require_hub
from avalan.hub.folder import PICKLED_MODELS
from avalan.locale import _n

READABLE = (
    "*.json",
    "*.jinja",
    "*.txt",
    "*.model",
    "README.md",
    "LICENSE*",
    "*.safetensors",
    "model.onnx*",
    "onnx/model.onnx*",
)
"""Files that an engine here, or a person, can read; a repository may hold the same weights in
other formats too."""

LEFT_OUT = ("original/*", "*/original/*", "consolidated*.safetensors", ".*")
"""The same weights once more, for other programs."""

SMALL = ("*.json", "*.jinja", "README.md")
"""Enough to describe a model."""

WEIGHTS = ("*.safetensors", "*.onnx")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_OTHER = {".gguf": "GGUF", ".h5": "Keras", ".msgpack": "Flax", ".npz": "NumPy"}

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a revision."""

    path: str
    """With forward slashes; never leads out of its folder."""
    size_bytes: int
    etag: str
    """SHA-256 of what lies in large file storage, else the SHA-1 of a git blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """One revision of a repository."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool
    licence: str | None
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Number format → how many, from the headers of the safetensors files; may be empty."""

    def url(self, file: RemoteFile) -> str:
        """Where the file's content is; with the commit, so that it is always the same."""
        return huggingface_hub.hf_hub_url(
            self.name, file.path, revision=self.commit, endpoint=constants.ENDPOINT
        )


def look_up(
    name: str, *, revision: str | None, token: str | None, cache_dir: str | Path | None
) -> RemoteModel:
    """Ask the hub about a model.

    Raises:
        ModelError: it does not exist, may not be seen, or the hub cannot be reached.
    """
    require_hub(name, cache_dir)
    with explained(name, revision=revision, token=token, cache_dir=cache_dir):
        try:
            info = huggingface_hub.HfApi().model_info(
                name,
                revision=revision,
                files_metadata=True,
                token=token or False,
                timeout=_TIMEOUT_S,
            )
            return _model(info)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, huggingface_hub.errors.HFValidationError):
                raise
            raise ModelError(
                "What {address} answers about {name!r} is no hub's answer; check HF_ENDPOINT, "
                "or whether the network asks for a login first.",
                address=constants.ENDPOINT,
                name=name,
            ) from error


def _model(info: Any) -> RemoteModel:
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license")
    return RemoteModel(
        name=info.id,
        commit=info.sha,
        files=tuple(_file(info.id, row) for row in info.siblings),
        gated=bool(info.gated),
        licence=licence if isinstance(licence, str) else None,
        parameters=dict(info.safetensors.parameters) if info.safetensors else {},
    )


def _file(name: str, row: Any) -> RemoteFile:
    path = PurePosixPath(row.rfilename)
    if path.is_absolute() or ".." in path.parts or "\\" in row.rfilename or ":" in row.rfilename:
        raise ModelError(
            "The model {name!r} names a file outside its folder ({file!r}), which only an "
            "attack would; do not use it.",
            name=name,
            file=row.rfilename,
        )
    lfs = row.lfs
    return RemoteFile(
        path=row.rfilename,
        size_bytes=int(lfs.size if lfs else row.size),
        etag=str(lfs.sha256 if lfs else row.blob_id),
    )


def choose(
    files: Iterable[RemoteFile],
    patterns: Sequence[str] = READABLE,
    left_out: Sequence[str] = LEFT_OUT,
) -> tuple[RemoteFile, ...]:
    """Those that fit one of `patterns` and none of `left_out`."""
    return tuple(
        file for file in files if fits(file.path, patterns) and not fits(file.path, left_out)
    )


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path fits one of the patterns; an asterisk goes across slashes."""
    return any(fnmatch(path, pattern) for pattern in patterns)


def patterns_for(model: RemoteModel, *, pickled: bool = False, code: bool = False) -> list[str]:
    """Patterns of the files that make the model.

    Args:
        pickled: take pickled weights where there are no others.
        code: take the Python files that came with it.

    Raises:
        ModelError: as `check_weights`.
    """
    patterns = [*READABLE, *(["*.py"] if code else [])]
    held = [file for file in model.files if fits(file.path, PICKLED_MODELS)]
    if pickled and held and not has_weights(model):
        return [*patterns, *PICKLED_MODELS]
    check_weights(model)
    return patterns


def check_weights(model: RemoteModel) -> None:
    """Whether there are weights that an engine here reads.

    Raises:
        ModelError: there are none, or only pickled ones, which can run code when they are loaded.
    """
    if has_weights(model):
        return
    if pickled := pickled_weights(model):
        raise ModelError(
            "The model {name!r} has only pickled weights ({file}), which can run any code when "
            "they are loaded, so avalan does not load them unless --allow-pickle says so; look "
            "for the same model with safetensors: avalan model search {words!r} --filter "
            "safetensors",
            name=model.name,
            file=pickled[0].path,
            words=model.name.rpartition("/")[2],
        )
    suffixes = {PurePosixPath(file.path).suffix for file in model.files}
    others = sorted({_OTHER[suffix] for suffix in suffixes if suffix in _OTHER})
    problem = _n(
        "The model {name!r} has no weights that avalan reads (safetensors or ONNX). Choose another "
        "repository of the same model."
    )
    if others:
        problem = _n(
            "The model {name!r} has no weights that avalan reads (safetensors or ONNX); it has "
            "{others}. Choose another repository of the same model."
        )
    raise ModelError(problem, name=model.name, others=", ".join(others))


def has_weights(model: RemoteModel) -> bool:
    """Whether there are weights that an engine here reads."""
    return any(fits(file.path, WEIGHTS) for file in choose(model.files))


def pickled_weights(model: RemoteModel) -> tuple[RemoteFile, ...]:
    """The weights in formats that can run code."""
    found = choose(model.files, PICKLED)
    return tuple(file for file in found if not fits(file.path, ("training_args.bin", "*.npz")))
