"""The headers of safetensors files: which tensors there are, without reading one of them.

The format: https://github.com/huggingface/safetensors#format.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avalan.errors import ModelError

_LONGEST_BYTES = 100_000_000
"""As the format allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One entry of a header."""

    dtype: str
    """As the format writes it: F32, BF16, I8 …"""
    shape: tuple[int, ...]

    @property
    def num_parameters(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


def read_headers(folder: Path) -> dict[str, Tensor]:
    """Name → tensor, from all safetensors files that lie in `folder` itself.

    Raises:
        ModelError: a file is not in the format.
    """
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= read_header(path)
    return tensors


def read_header(path: Path) -> dict[str, Tensor]:
    """Name → tensor, from one file.

    Raises:
        ModelError: it is not in the format.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_LONGEST_BYTES, path.stat().st_size - 8):
                raise ValueError("the header ends beyond the file")
            header = json.loads(file.read(length))
        rows = {name: row for name, row in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(row) for name, row in rows.items()}
        end = 0
        for first, last in sorted(row["data_offsets"] for row in rows.values()):
            if first != end or last < first:
                raise ValueError("between two tensors there is a hole, or they overlap")
            end = last
        if 8 + length + end != path.stat().st_size:
            raise ValueError("the file does not end with its tensors")
        return tensors
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        raise ModelError(
            "The file {path} is not in the safetensors format, or was cut off; "
            "download the model again.",
            path=path,
        ) from None


def _tensor(row: dict[str, Any]) -> Tensor:
    shape = row["shape"]
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("a shape is not made of sizes")
    return Tensor(dtype=str(row["dtype"]), shape=tuple(shape))
