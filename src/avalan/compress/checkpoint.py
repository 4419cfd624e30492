"""Read a Hugging Face checkpoint with numpy alone: `config.json` and safetensors, no torch.

The format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length,
a JSON header with each tensor's type, shape and place, and the tensors.
"""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint that is not in memory yet."""

    path: Path
    """The safetensors file."""
    kind: str
    """Of its numbers, in that format's words: F32, F16, BF16."""
    shape: tuple[int, ...]
    start: int
    """Its first byte, counted from the file's beginning."""
    size_bytes: int

    def read(self) -> Array:
        """Its values as float32.

        Raises:
            ModelError: the file is broken.
        """
        with _readable(self.path), self.path.open("rb") as file:
            raw = np.fromfile(file, np.uint8, self.size_bytes, offset=self.start)
            return _READERS[self.kind](raw).reshape(self.shape)


def read_weights(folder: Path) -> dict[str, Array]:
    """Every tensor of the checkpoint in `folder`, by name, as float32.

    Raises:
        ModelError: there are no safetensors files, or one is broken or of a type that is not a
            16- or 32-bit float.
    """
    return {name: tensor.read() for name, tensor in stored_tensors(folder).items()}


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Where every tensor of the checkpoint in `folder` is, by name; none is read.

    Raises:
        ModelError: as in `read_weights`.
    """
    tensors: dict[str, StoredTensor] = {}
    for path in _files(folder):
        with _readable(path):
            tensors.update(_read_header(path))
    return tensors


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise ModelError(
            "The weights in {path} cannot be read ({error}); download the model again.",
            path=path,
            error=reason_of(error),
        ) from error


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


def _read_header(path: Path) -> Iterator[tuple[str, StoredTensor]]:
    with path.open("rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        if header_size > path.stat().st_size:
            raise ValueError(_("its header ends after the file"))
        header = json.loads(file.read(header_size))
    for name, entry in header.items():
        # Older BERTs keep the numbers from 0 as if they were weights.
        if name != "__metadata__" and not name.endswith("position_ids"):
            yield name, _place(path, name, entry, 8 + header_size)


def _place(path: Path, name: str, entry: dict[str, Any], body: int) -> StoredTensor:
    kind = entry["dtype"]
    if kind not in _READERS:
        raise ValueError(
            _("{name} has the type {kind}, not a 16- or 32-bit float", name=name, kind=kind)
        )
    start, end = entry["data_offsets"]
    return StoredTensor(
        path=path,
        kind=kind,
        shape=tuple(entry["shape"]),
        start=body + start,
        size_bytes=end - start,
    )
