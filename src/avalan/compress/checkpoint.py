"""Read a Hugging Face checkpoint with numpy alone: `config.json` and safetensors, no torch.

The format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length,
a JSON header with each tensor's type, shape and place, and the tensors.
"""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ModelError, reason_of
from avalan.locale import _
from avalan.model.prompt import read_json

Array = NDArray[np.float32]


def _from_bfloat16(raw: NDArray[Any]) -> Array:
    # A bfloat16 is the upper half of a float32.
    return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


_READERS: dict[str, Callable[[NDArray[Any]], Array]] = {
    "F32": lambda raw: raw.view(np.float32),
    "F16": lambda raw: raw.view(np.float16).astype(np.float32),
    "BF16": _from_bfloat16,
}


def read_weights(folder: Path) -> dict[str, Array]:
    """Every tensor of the checkpoint in `folder`, by name, as float32.

    Raises:
        ModelError: there are no safetensors files, or one is broken or of a type that is not a
            16- or 32-bit float.
    """
    weights: dict[str, Array] = {}
    for path in _files(folder):
        try:
            weights.update(_read_file(path))
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise ModelError(
                "The weights in {path} cannot be read ({error}); download the model again.",
                path=path,
                error=reason_of(error),
            ) from error
    return weights


def _files(folder: Path) -> list[Path]:
    index = read_json(folder / "model.safetensors.index.json")
    names = sorted(set(index.get("weight_map", {}).values())) or ["model.safetensors"]
    files = [folder / name for name in names]
    missing = next((path for path in files if not path.is_file()), None)
    if missing is not None:
        raise ModelError(
            "The model folder {folder} lacks {file}; give a folder with the weights in "
            "safetensors format.",
            folder=folder,
            file=missing.name,
        )
    return files


def _read_file(path: Path) -> Iterator[tuple[str, Array]]:
    data = np.memmap(path, np.uint8, mode="r")
    (header_size,) = struct.unpack("<Q", data[:8].tobytes())
    header = json.loads(data[8 : 8 + header_size].tobytes())
    body = data[8 + header_size :]
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, _read_tensor(name, entry, body)


def _read_tensor(name: str, entry: dict[str, Any], body: NDArray[np.uint8]) -> Array:
    read = _READERS.get(entry["dtype"])
    if read is None:
        kind = entry["dtype"]
        raise ValueError(
            _("{name} has the type {kind}, not a 16- or 32-bit float", name=name, kind=kind)
        )
    start, end = entry["data_offsets"]
    # A copy, because a tensor may start at any byte and a view must not.
    return read(np.array(body[start:end])).reshape(entry["shape"])
