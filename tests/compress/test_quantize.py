"""Blocks of weights in 8 and 4 bits, by hand and within their bounds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avalan.compress.quantize import BLOCK, Bits, Quantized, dequantize, quantize

MATRICES = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.just(2 * BLOCK)),
    elements=st.floats(-8, 8, width=32),
)


def test_eight_bits_by_hand() -> None:
    row = np.zeros((1, BLOCK), np.float32)
    row[0, :3] = 12.7, -6.35, 0.1

    packed = quantize(row, 8)

    assert packed.scales == pytest.approx(np.array([[0.1]]))
    assert packed.values[0, :4].tolist() in ([255, 64, 129, 128], [255, 65, 129, 128])


def test_four_bits_put_the_first_weight_in_the_lower_half() -> None:
    row = np.tile(np.array([7, -7], np.float32), BLOCK // 2)[None]

    packed = quantize(row, 4)

    assert packed.scales.tolist() == [[1.0]]
    assert packed.values.tolist() == [[0x1F] * (BLOCK // 2)]
    np.testing.assert_array_equal(row, dequantize(packed))


def test_dequantize_by_hand() -> None:
    values = np.full((1, BLOCK // 2), 0x88, np.uint8)
    values[0, 0] = 0xF0
    matrix = Quantized(bits=4, values=values, scales=np.array([[0.5]], np.float32))

    assert dequantize(matrix)[0, :3].tolist() == [-4.0, 3.5, 0.0]


@given(matrix=MATRICES)
def test_eight_bits_are_off_by_half_a_step_at_most(matrix: Any) -> None:
    packed = quantize(matrix, 8)
    steps = np.repeat(packed.scales, BLOCK, axis=1)

    assert (np.abs(dequantize(packed) - matrix) <= steps * 0.5001).all()


@given(matrix=MATRICES)
def test_searched_scale_in_four_bits_is_never_worse_than_the_widest(matrix: Any) -> None:
    blocks = matrix.reshape(len(matrix), -1, BLOCK)
    widest = np.maximum(np.abs(blocks).max(-1, keepdims=True) / 7, np.finfo(np.float32).tiny)
    plain = (np.clip(np.rint(blocks / widest), -8, 7) * widest).reshape(matrix.shape)

    def error(approximation: Any) -> Any:
        return np.square(approximation.astype(np.float64) - matrix).sum()

    assert error(dequantize(quantize(matrix, 4))) <= error(plain) * 1.0001 + 1e-9


@pytest.mark.parametrize("bits", [8, 4])
def test_zeros_stay_zeros(bits: Bits) -> None:
    zeros = np.zeros((2, BLOCK), np.float32)

    np.testing.assert_array_equal(zeros, dequantize(quantize(zeros, bits)))
