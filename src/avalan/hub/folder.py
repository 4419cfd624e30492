"""What makes a folder a model's."""

import json
from pathlib import Path

from avalan.errors import ModelError

_WEIGHTS = ("*.safetensors", "*.onnx", "onnx/*.onnx")


def check_folder(folder: Path) -> Path:
    """`folder` itself, if it holds a configuration and weights.

    Raises:
        ModelError: it does not.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            f"The folder {folder} has no config.json, so it holds no model; "
            "give the folder that the model was saved or downloaded to."
        )
    if not _describes_a_model(config):
        raise ModelError(
            f"{config} does not say which model it describes (no model_type or architectures); "
            "download the model again."
        )
    if not has_weights(folder):
        raise ModelError(
            f"The model folder {folder} has no weights (*.safetensors or *.onnx); "
            "download the model again."
        )
    return folder


def find_onnx_decoder(folder: Path) -> Path | None:
    """The ONNX decoder among the files of `folder`, or of its sub-folder `onnx`."""
    candidates = (folder / "model.onnx", folder / "onnx" / "model.onnx")
    return next((path for path in candidates if path.is_file()), None)


def has_weights(folder: Path) -> bool:
    """Whether there are weights in a format that an engine here reads."""
    return any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)


def _describes_a_model(path: Path) -> bool:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not readable JSON ({error}); download the model again."
        ) from None
    return isinstance(config, dict) and bool(config.keys() & {"model_type", "architectures"})
