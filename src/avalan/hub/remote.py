"""Models as the hub describes them: a search, one model's files, and which of them to fetch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from avalan.errors import ModelError
from avalan.hub.failure import explained, parsed, require_hub
from avalan.hub.folder import PICKLED_MODELS
from avalan.hub.formats import default_weights, find_format, no_such_format
from avalan.hub.headers import Tensor
from avalan.locale import _n

BESIDE = ("*.json", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*")
"""Files beside the weights that an engine here, or a person, can read."""

_LEFT_OUT = ("original/*", "*/original/*", "consolidated*.safetensors", ".*")

SMALL = ("*.json", "*.jinja", "README.md")
"""Enough to describe a model."""

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_OTHER = {".h5": "Keras", ".msgpack": "Flax", ".npz": "NumPy"}

_SEARCHED = (
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "pipeline_tag",
    "safetensors",
    "tags",
)
"""What a row of a search tells."""

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
    licence: str | None
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Number format → how many, from the headers of the safetensors files; may be empty."""

    def url(self, file: RemoteFile) -> str:
        """Where the file's content is; with the commit, so that it is always the same."""
        return huggingface_hub.hf_hub_url(
            self.name, file.path, revision=self.commit, endpoint=constants.ENDPOINT
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model on the hub; None where the hub does not say."""

    name: str
    num_parameters: int | None
    task: str | None
    library: str | None
    licence: str | None
    gated: bool
    """Its files are only for those who accepted its licence."""
    downloads: int
    """In the last month."""
    likes: int
    modified: datetime | None


def look_up(
    name: str, *, revision: str | None, token: str | None, cache_dir: str | Path | None
) -> RemoteModel:
    """Ask the hub about a model.

    Raises:
        ModelError: it does not exist, may not be seen, or the hub cannot be reached.
    """
    require_hub(name, cache_dir, revision=revision)
    with explained(name, revision=revision, token=token, cache_dir=cache_dir), parsed():
        info = huggingface_hub.HfApi().model_info(
            name,
            revision=revision,
            files_metadata=True,
            token=token or False,
            timeout=_TIMEOUT_S,
        )
        return _model(info)


def _model(info: Any) -> RemoteModel:
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license")
    return RemoteModel(
        name=info.id,
        commit=info.sha,
        files=tuple(_file(info.id, row) for row in info.siblings),
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
    size, etag = (row.lfs.size, row.lfs.sha256) if row.lfs else (row.size, row.blob_id)
    return RemoteFile(path=row.rfilename, size_bytes=int(size), etag=str(etag))


def remote_headers(name: str, *, revision: str, token: str | None) -> dict[str, Tensor]:
    """Name → tensor of a model on the hub; empty where it has no safetensors files.

    Only the headers are downloaded, a few hundred kilobytes each.

    Raises:
        ModelError: the files may not be read, or the hub does not answer.
    """
    with explained(name, revision=revision, token=token):
        try:
            found = huggingface_hub.HfApi().get_safetensors_metadata(
                name, revision=revision, token=token or False, timeout=_TIMEOUT_S
            )
        except errors.NotASafetensorsRepoError:
            return {}
        except errors.SafetensorsParsingError:
            raise ModelError(
                "The weights of {name!r} on the hub are not in the safetensors format; choose "
                "another revision or repository.",
                name=name,
            ) from None
    return {
        tensor_name: Tensor(dtype=str(row.dtype), shape=tuple(row.shape))
        for file in found.files_metadata.values()
        for tensor_name, row in file.tensors.items()
    }


def search(
    query: str = "", *, filters: Sequence[str] = (), limit: int = 10, token: str | None = None
) -> list[FoundModel]:
    """The most downloaded models that fit.

    Args:
        query: words of the name.
        filters: tags, such as `transformers`, `text-generation` or `license:apache-2.0`; all must
            fit.
        limit: at most so many.

    Raises:
        ModelError: the hub refuses or cannot be reached.
    """
    require_hub()
    model_of: Any = huggingface_hub.ModelInfo
    wanted: dict[str, Any] = {"sort": "downloads", "limit": limit, "expand": list(_SEARCHED)}
    wanted |= {"search": query} if query else {}
    wanted |= {"filter": list(filters)} if filters else {}
    with explained(token=token), parsed():
        # The client's own search tries again for half a minute where the hub is out of order.
        response = huggingface_hub.get_session().get(
            f"{constants.ENDPOINT}/api/models",
            params=wanted,
            headers=build_hf_headers(token=token or False),
            timeout=_TIMEOUT_S,
        )
        hf_raise_for_status(response)
        return [_found(model_of(**row)) for row in response.json()]


def _found(row: Any) -> FoundModel:
    parts = (tag.partition("license:") for tag in row.tags or ())
    licences = (licence for before, _, licence in parts if licence and not before)
    return FoundModel(
        name=row.id,
        num_parameters=row.safetensors.total if row.safetensors else None,
        task=row.pipeline_tag,
        library=row.library_name,
        licence=next(licences, None),
        gated=bool(row.gated),
        downloads=row.downloads or 0,
        likes=row.likes or 0,
        modified=row.last_modified,
    )


def choose(files: Iterable[RemoteFile], patterns: Sequence[str]) -> tuple[RemoteFile, ...]:
    """Those that fit one of `patterns`, without the same weights once more for other programs."""
    return tuple(
        file for file in files if fits(file.path, patterns) and not fits(file.path, _LEFT_OUT)
    )


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path fits one of the patterns; an asterisk goes across slashes."""
    return any(path == pattern or fnmatch(path, pattern) for pattern in patterns)


def patterns_for(
    model: RemoteModel,
    wanted: str | None = None,
    *,
    pickled: bool = False,
    code: bool = False,
    any_weights: bool = False,
) -> list[str]:
    """Patterns of the files that make the model: those beside the weights, and one set of those.

    Args:
        wanted: the weights' format, or their file.
        pickled: take pickled weights where there are no others.
        code: take the Python files that came with it.
        any_weights: take whatever there is where no engine here reads it.

    Raises:
        ModelError: there are no weights in that format, none that an engine here reads, or only
            pickled ones, which can run code when they are loaded.
    """
    patterns = [*BESIDE, *(["*.py"] if code else [])]
    paths = _paths(model)
    if wanted is not None:
        weights = find_format(paths, wanted)
        if weights is None:
            raise no_such_format(model.name, paths, wanted)
        return [*patterns, *weights.files]
    if found := default_weights(paths):
        return [*patterns, *found]
    if any_weights:
        return [*patterns, "*.safetensors", *PICKLED]
    if pickled and any(fits(file.path, PICKLED_MODELS) for file in model.files):
        return [*patterns, *PICKLED_MODELS]
    if held := pickled_weights(model):
        raise ModelError(
            "The model {name!r} has only pickled weights ({file}), which can run any code when "
            "they are loaded, so avalan does not load them unless --allow-pickle says so, as in: "
            "avalan model run {name} --allow-pickle; better look for the same model with "
            "safetensors: avalan model search {words!r} --filter safetensors",
            name=model.name,
            file=held[0].path,
            words=model.name.rpartition("/")[2],
        )
    suffixes = {PurePosixPath(file.path).suffix for file in model.files}
    others = sorted({_OTHER[suffix] for suffix in suffixes if suffix in _OTHER})
    problem = _n(
        "The model {name!r} has no weights that avalan reads (safetensors, ONNX or GGUF). Choose "
        "another repository of the same model."
    )
    if others:
        problem = _n(
            "The model {name!r} has no weights that avalan reads (safetensors, ONNX or GGUF); it "
            "has {others}. Choose another repository of the same model."
        )
    raise ModelError(problem, name=model.name, others=", ".join(others))


def has_weights(model: RemoteModel) -> bool:
    """Whether there are weights that an engine here reads."""
    return bool(default_weights(_paths(model)))


def _paths(model: RemoteModel) -> list[str]:
    return [file.path for file in choose(model.files, ("*",))]


def pickled_weights(model: RemoteModel) -> tuple[RemoteFile, ...]:
    """The weights in formats that can run code."""
    found = choose(model.files, PICKLED)
    return tuple(file for file in found if file.path != "training_args.bin")
