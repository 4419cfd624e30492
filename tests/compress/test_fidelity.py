"""The distance of a smaller model, by hand."""

import numpy as np
import pytest

from avalan.compress.fidelity import compare
from avalan.errors import ConfigurationError


def test_divergence_and_agreement_by_hand() -> None:
    reference = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    other = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    # 0.5 ln 2 + 0.5 ln(2/3) at the first position, 0 at the second.
    first = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)

    found = compare(reference, other)

    assert found.mean_kl == pytest.approx(first / 2, rel=1e-5)
    assert found.top1_agreement == 0.5
    assert found.num_positions == 2


def test_divergence_is_from_the_reference() -> None:
    one = np.log(np.array([[0.5, 0.5]], np.float32))
    other = np.log(np.array([[0.1, 0.9]], np.float32))

    assert compare(one, other).mean_kl == pytest.approx(0.5108, abs=1e-4)
    assert compare(other, one).mean_kl == pytest.approx(0.3681, abs=1e-4)


def test_shift_of_all_logits_is_no_difference() -> None:
    logits = np.array([[1, 2, 3]], np.float32)

    assert compare(logits, logits + 5).mean_kl == pytest.approx(0, abs=1e-7)


def test_different_shapes_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        compare(np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32))
