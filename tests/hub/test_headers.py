"""Headers of safetensors: what is damaged is seen without reading a tensor."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from avalan.errors import ModelError
from avalan.hub.headers import read_header


def write(path: Path, rows: dict[str, Any], size: int) -> Path:
    header = json.dumps(rows).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    return path


def row(first: int, last: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(last - first) // 4], "data_offsets": [first, last]}


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {"b": row(8, 12), "a": row(0, 8)}, 12)
    assert {name: tensor.shape for name, tensor in read_header(path).items()} == {
        "a": (2,),
        "b": (1,),
    }


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        ({"a": row(0, 8), "b": row(12, 16)}, 16),
        ({"a": row(0, 8), "b": row(4, 12)}, 12),
        ({"a": row(4, 8)}, 8),
        ({"a": row(0, 8)}, 12),
        ({"a": row(0, 8)}, 4),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, 8),
    ],
    ids=["hole", "overlap", "late", "rest", "cut", "backwards"],
)
def test_tensors_that_do_not_lie_end_to_end_are_refused(
    tmp_path: Path, rows: dict[str, Any], size: int
) -> None:
    with pytest.raises(ModelError, match="not in the safetensors format"):
        read_header(write(tmp_path / "a.safetensors", rows, size))
