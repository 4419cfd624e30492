"""Weights in 8 or 4 bits, in the block layout that ONNX Runtime multiplies.

Round to nearest, symmetric: w ≈ (q - zero) * scale, with one scale for `BLOCK` neighbouring inputs
and zero in the middle of the range. In 4 bits the scale is the one of a small grid with the least
squared error, because clipping the largest weight often costs less than widening every step.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
Bits = Literal[4, 8]
_CLIPPING = {8: (1.0,), 4: tuple(np.linspace(0.7, 1.0, 13))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A matrix (rows, columns) in few bits."""

    bits: Bits
    values: NDArray[np.uint8]
    """(rows, columns * bits / 8); in 4 bits the lower half of a byte comes first."""
    scales: NDArray[np.float32]
    """(rows, columns / BLOCK)."""


def quantize(matrix: NDArray[np.float32], bits: Bits) -> Quantized:
    """`matrix`, (rows, columns) with columns a multiple of `BLOCK`, in `bits` bits."""
    rows, columns = matrix.shape
    blocks = matrix.reshape(rows, columns // BLOCK, BLOCK)
    scales = _scales(blocks, bits)
    values = (_round(blocks, scales, bits) + 2 ** (bits - 1)).astype(np.uint8)
    packed = values.reshape(rows, columns)
    if bits == 4:
        packed = packed[:, 0::2] | (packed[:, 1::2] << 4)
    return Quantized(bits=bits, values=packed, scales=scales)


def dequantize(matrix: Quantized) -> NDArray[np.float32]:
    """The float32 matrix that `matrix` stands for."""
    values = matrix.values
    if matrix.bits == 4:
        values = np.stack((values & 15, values >> 4), axis=-1)
    rows, num_blocks = matrix.scales.shape
    centred = values.reshape(rows, num_blocks, BLOCK).astype(np.float32) - 2 ** (matrix.bits - 1)
    return (centred * matrix.scales[..., None]).reshape(rows, num_blocks * BLOCK)


def _scales(blocks: NDArray[np.float32], bits: Bits) -> NDArray[np.float32]:
    """One scale per block, (rows, num_blocks); never 0, so that a block of zeros divides."""
    widest = np.abs(blocks).max(axis=-1) / (2 ** (bits - 1) - 1)
    widest = np.maximum(widest, np.finfo(np.float32).tiny).astype(np.float32)
    best, least = widest, np.full(widest.shape, np.inf, np.float32)
    for share in _CLIPPING[bits]:
        scales = (widest * share).astype(np.float32)
        error = np.square(_round(blocks, scales, bits) * scales[..., None] - blocks).sum(axis=-1)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return best


def _round(
    blocks: NDArray[np.float32], scales: NDArray[np.float32], bits: Bits
) -> NDArray[np.float32]:
    half = 2 ** (bits - 1)
    return np.clip(np.rint(blocks / scales[..., None]), -half, half - 1).astype(np.float32)
