"""Risk and coverage, by hand and as they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.evaluate.selective import aurc, coverage_at, excess_aurc, risk_coverage

RIGHT = [True, False, True, True]
SURE = [0.9, 0.8, 0.7, 0.1]


def test_the_curve_by_hand() -> None:
    curve = risk_coverage(RIGHT, SURE)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert aurc(RIGHT, SURE) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_the_best_order_has_no_excess() -> None:
    assert excess_aurc(RIGHT, [0.9, 0.1, 0.8, 0.7]) == 0.0
    # The best order errs last: 0, 0, 0, 1/4.
    assert excess_aurc(RIGHT, SURE) == pytest.approx((1 / 2 + 1 / 3) / 4)


def test_equal_confidences_come_in_no_order() -> None:
    assert risk_coverage([True, False], [0.5, 0.5]).risk.tolist() == [0.5, 0.5]
    assert risk_coverage([False, True], [0.5, 0.5]).risk.tolist() == [0.5, 0.5]
    # Half of an answer cannot be given.
    assert coverage_at([True, False], [0.5, 0.5], accuracy=0.6) == 0.0


def test_the_coverage_at_an_accuracy_by_hand() -> None:
    assert coverage_at(RIGHT, SURE, accuracy=1.0) == 0.25
    assert coverage_at(RIGHT, SURE, accuracy=0.75) == 1.0
    assert coverage_at(RIGHT, SURE, accuracy=0.7) == 1.0
    assert coverage_at([False], [0.9]) == 0.0
    assert coverage_at([], []) == 0.0


answers = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.5, 0.9])), min_size=1)


@given(answers)
def test_what_any_order_keeps(pairs: list[tuple[bool, float]]) -> None:
    right, sure = map(list, zip(*pairs, strict=True))
    assert risk_coverage(right, sure).risk[-1] == pytest.approx(1 - np.mean(right))
    assert excess_aurc(right, sure) >= -1e-12
    assert aurc(right, [0.5] * len(right)) == pytest.approx(1 - np.mean(right))
    share = coverage_at(right, sure, accuracy=0.6)
    if share:
        given_ = sorted(pairs, key=lambda pair: -pair[1])[: round(share * len(pairs))]
        assert np.mean([is_right for is_right, _ in given_]) >= 0.6 - 1e-9
