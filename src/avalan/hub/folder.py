"""What makes a folder a model's."""

import json
from collections.abc import Iterable
from pathlib import Path

from avalan.errors import ModelError, reason_of
from avalan.hub.formats import (
    GGUF,
    ONNX,
    Weights,
    find_format,
    gguf_weights,
    no_such_format,
    onnx_weights,
)

_TENSORS = ("*.safetensors",)
_WEIGHTS = (*_TENSORS, "*.onnx", "onnx/*.onnx")
_DEPTH = 3
"""Folders are searched for formats so deep."""
PICKLED_MODELS = ("pytorch_model*.bin",)
"""Pickled weights in the form that transformers reads."""


def find_model(folder: Path, wanted: str | None = None, *, pickled: bool = False) -> Path:
    """What an engine opens: `folder` itself, or the one file of it that is asked for or that is
    to be taken of GGUF files.

    Args:
        wanted: a format or the name of a file.
        pickled: pickled weights will do.

    Raises:
        ModelError: the folder holds no model, or nothing in this format.
    """
    weights = weights_in(folder, wanted)
    if wanted is not None and weights is None:
        raise no_such_format(str(folder), _paths(folder), wanted)
    if weights is None:
        return check_folder(folder, pickled=pickled)
    path = folder / weights.files[0]
    if path.suffix == ONNX:
        check_folder(folder)
    return path


def weights_in(folder: Path, wanted: str | None = None) -> Weights | None:
    """The weights called `wanted`; without a name the GGUF to take, where there is nothing else."""
    if wanted is not None:
        return find_format(_paths(folder), wanted)
    if _has(folder, _WEIGHTS):
        return None
    return next(iter(gguf_weights(_paths(folder))), None)


def folder_of(model: Path) -> Path:
    """Where the configuration and the tokenizer of a model lie, which is a folder or a file."""
    if model.is_dir():
        return model
    above = (folder for folder in model.parents[:_DEPTH] if (folder / "config.json").is_file())
    return next(above, model.parent)


def check_folder(folder: Path, *, pickled: bool = False) -> Path:
    """`folder` itself, if it holds a configuration and weights.

    Args:
        pickled: pickled weights will do.

    Raises:
        ModelError: it does not.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            "The folder {folder} has no config.json, so it holds no model; "
            "give the folder that the model was saved or downloaded to.",
            folder=folder,
        )
    if not _describes_a_model(config):
        raise ModelError(
            "{file} does not say which model it describes (no model_type or architectures); "
            "download the model again.",
            file=config,
        )
    if not _has(folder, (*_WEIGHTS, *(PICKLED_MODELS if pickled else ()))):
        if _has(folder, PICKLED_MODELS):
            raise ModelError(
                "The model folder {folder} has only pickled weights (pytorch_model.bin), which "
                "can run any code when they are loaded; get the model with safetensors, or, if "
                "you trust whoever made it, load it with --allow-pickle, as in: avalan model run "
                "{folder} --allow-pickle",
                folder=folder,
            )
        raise ModelError(
            "The model folder {folder} has no weights (*.safetensors or *.onnx); "
            "download the model again.",
            folder=folder,
        )
    return folder


def find_onnx_decoder(model: Path) -> Path | None:
    """The ONNX decoder: `model` itself, or among the files of that folder.

    Of several number formats, which transformers.js keeps beside each other, the most exact one
    that processors compute with.
    """
    if model.is_file():
        return model if model.suffix == ONNX else None
    return next((model / each.files[0] for each in onnx_weights(_paths(model))), None)


def has_weights(folder: Path, *, pickled: bool = False) -> bool:
    """Whether there are weights in a format that an engine here reads."""
    patterns = (*_WEIGHTS, *(PICKLED_MODELS if pickled else ()))
    return _has(folder, patterns) or weights_in(folder) is not None


def has_tensors(folder: Path, *, pickled: bool = False) -> bool:
    """Whether there are weights that transformers reads."""
    return _has(folder, (*_TENSORS, *(PICKLED_MODELS if pickled else ())))


def _has(folder: Path, patterns: Iterable[str]) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in patterns)


def _paths(folder: Path) -> list[str]:
    """The GGUF and ONNX files, relative to `folder`."""
    return [
        path.relative_to(folder).as_posix()
        for depth in range(_DEPTH)
        for kind in (GGUF, f"{ONNX}*")
        for path in folder.glob("*/" * depth + f"*{kind}")
        if path.is_file()
    ]


def _describes_a_model(path: Path) -> bool:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            "{file} is not readable JSON ({error}); download the model again.",
            file=path,
            error=reason_of(error),
        ) from None
    return isinstance(config, dict) and bool(config.keys() & {"model_type", "architectures"})
