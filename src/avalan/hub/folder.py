"""What makes a folder a model's."""

import json
from pathlib import Path

from avalan.errors import ModelError, reason_of

ONNX_FORMATS = ("", "_int8", "_quantized", "_uint8", "_q4", "_bnb4", "_fp16", "_q4f16")
"""How file names of transformers.js tell the format of the numbers; nothing is fp32."""

_WEIGHTS = ("*.safetensors", "*.onnx", "onnx/*.onnx")
PICKLED_MODELS = ("pytorch_model*.bin",)
"""Pickled weights in the form that transformers reads."""


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
    if not has_weights(folder, pickled=pickled):
        if has_weights(folder, pickled=True):
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


def find_onnx_decoder(folder: Path) -> Path | None:
    """The ONNX decoder among the files of `folder`, or of its sub-folder `onnx`.

    Of several number formats, which transformers.js keeps beside each other, the most exact one
    that processors compute with.
    """
    places = (folder / name for name in ("", "onnx"))
    candidates = (
        place / f"{stem}{format_}.onnx"
        for place in places
        for stem in ("model", "decoder_model_merged")
        for format_ in ONNX_FORMATS
    )
    return next((path for path in candidates if path.is_file()), None)


def has_weights(folder: Path, *, pickled: bool = False) -> bool:
    """Whether there are weights in a format that an engine here reads."""
    patterns = (*_WEIGHTS, *PICKLED_MODELS) if pickled else _WEIGHTS
    return any(next(folder.glob(pattern), None) for pattern in patterns)


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
