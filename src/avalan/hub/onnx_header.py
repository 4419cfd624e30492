"""The tensors in an ONNX file, by number format, without its weights.

The format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Read by hand, since the package
that reads it is not needed to run such a model.
"""

import mmap
from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

# TensorProto.DataType; whole numbers of 64 and 32 bits are shapes and positions, not weights.
_FORMATS = {1: "F32", 2: "U8", 3: "I8", 10: "F16", 11: "F64", 16: "BF16", 21: "U4", 22: "I4"}
# Operator → places of its weights and of their scales among its inputs.
_BLOCKS = {b"MatMulNBits": (1, 2), b"GatherBlockQuantized": (0, 2)}
_DEFAULT_BITS = 4


def count_formats(path: Path) -> dict[str, int]:
    """Number format → how many weights; `Q8` are 8 bits with a scale for each block.

    Empty for a file that cannot be read so.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            graphs = [value for key, value in _fields(data, 0, len(data)) if key == 7]
            return _count(data, *graphs[0])
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _count(data: Any, start: int, end: int) -> dict[str, int]:
    tensors: dict[bytes, tuple[int, int]] = {}
    bits: dict[bytes, int] = {}
    reshaped: dict[bytes, bytes] = {}
    for key, value in _fields(data, start, end):
        if key == 5:
            name, kind, size = _tensor(data, *value)
            tensors[name] = (kind, size)
        elif key == 1:
            operator, inputs, outputs, num_bits = _node(data, *value)
            if operator == b"Reshape":
                reshaped[outputs[0]] = inputs[0]
            elif operator in _BLOCKS:
                weights, scales = (inputs[place] for place in _BLOCKS[operator])
                bits |= {reshaped.get(weights, weights): num_bits, reshaped.get(scales, scales): 0}
    counts: Counter[str] = Counter()
    for name, (kind, size) in tensors.items():
        width = bits.get(name)
        if width:
            counts[f"Q{width}"] += size * 8 // width
        elif width is None and kind in _FORMATS:
            counts[_FORMATS[kind]] += size
    return dict(counts.most_common())


def _tensor(data: Any, start: int, end: int) -> tuple[bytes, int, int]:
    """Name, number format and count; files write the sides one by one or in a row."""
    dims, kind, name = [], 0, b""
    for key, value in _fields(data, start, end):
        if key == 1:
            dims += [value] if isinstance(value, int) else _row(data, *value)
        elif key == 2:
            kind = value
        elif key == 8:
            name = data[slice(*value)]
    return name, kind, prod(dims)


def _node(data: Any, start: int, end: int) -> tuple[bytes, list[bytes], list[bytes], int]:
    """Operator, inputs, outputs, and the bits of a weight where it has blocks of them."""
    names: dict[int, list[bytes]] = {1: [], 2: [], 4: []}
    bits = _DEFAULT_BITS
    for key, value in _fields(data, start, end):
        if key in names:
            names[key].append(data[slice(*value)])
        elif key == 5:
            attribute = dict(_fields(data, *value))
            if data[slice(*attribute[1])] == b"bits":
                bits = attribute[3]
    return names[4][0], names[1], names[2], bits


def _fields(data: Any, start: int, end: int) -> Iterator[tuple[int, Any]]:
    """Numbers of the fields of a message, and their values: a number, or where its bytes lie."""
    while start < end:
        tag, start = _varint(data, start)
        key, kind = tag >> 3, tag & 7
        if kind == 0:
            value, start = _varint(data, start)
            yield key, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            if kind != 2:
                raise ValueError(kind)
            size, start = _varint(data, start)
        yield key, (start, start + size)
        start += size


def _row(data: Any, start: int, end: int) -> list[int]:
    values = []
    while start < end:
        value, start = _varint(data, start)
        values.append(value)
    return values


def _varint(data: Any, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
        if shift > 63:
            raise ValueError(start)
