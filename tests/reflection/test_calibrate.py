"""Calibration against other ways to the same numbers."""

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.reflection.calibrate import Calibrator, best_threshold, beta, fit, logit, rescaled


def test_a_calibrator_is_the_logistic_function_of_a_weighted_sum() -> None:
    calibrator = Calibrator(weights={"a": 2.0, "b": -1.0}, bias=0.5)
    assert calibrator({"a": 1.0, "b": 3.0}) == pytest.approx(1 / (1 + math.exp(0.5)))
    assert calibrator({"a": 1.0}) == pytest.approx(1 / (1 + math.exp(-2.5)))
    assert calibrator({"a": 1.0, "unknown": 9.0}) == calibrator({"a": 1.0})
    assert (calibrator({"a": 1e9}), calibrator({"a": -1e9})) == pytest.approx((1, 0))


def test_logit_undoes_the_logistic_function_and_stays_finite() -> None:
    assert logit(0.5) == 0
    assert logit(0.9) == pytest.approx(math.log(9))
    assert (logit(0.0), logit(1.0)) == pytest.approx((-math.log(1e6), math.log(1e6)), rel=1e-5)


def test_beta_calibration_weighs_both_sides_of_a_probability() -> None:
    assert beta(0.25) == pytest.approx({"log_for": math.log(0.25), "log_against": -math.log(0.75)})
    # With both weights 1 it is the logit, and the probability stays as it is.
    same = Calibrator(weights={"log_for": 1.0, "log_against": 1.0}, bias=0.0)
    assert rescaled(same, 0.3) == pytest.approx(0.3)
    # By hand: p² / √(1 - p) at 0.5 is 0.25 / 0.7071 = 0.35355 to 1.
    bent = Calibrator(weights={"log_for": 2.0, "log_against": 0.5}, bias=0.0)
    assert rescaled(bent, 0.5) == pytest.approx(0.35355 / 1.35355, abs=1e-5)
    assert rescaled(None, 0.3) == 0.3
    assert all(math.isfinite(each) for p in (0.0, 1.0) for each in beta(p).values())


def test_a_feature_that_says_nothing_gives_the_share_of_the_positive() -> None:
    """Worked out by hand: the weight is 0 and the bias is the log-odds of 3 in 4."""
    rows = [{"x": 0.0}, {"x": 1.0}] * 4
    labels = [True, True, True, True, True, True, False, False]
    calibrator = fit(rows, labels)
    assert calibrator.weights["x"] == pytest.approx(0, abs=1e-9)
    assert calibrator.bias == pytest.approx(math.log(3), abs=1e-6)


def test_one_binary_feature_gives_the_log_odds_of_each_side() -> None:
    """Worked out by hand: 1 of 4 is positive at x=0 and 3 of 4 at x=1."""
    rows = [{"x": 0.0}] * 4 + [{"x": 1.0}] * 4
    labels = [True, False, False, False, True, True, True, False]
    calibrator = fit(rows, labels, ridge=0.0)
    assert calibrator({"x": 0.0}) == pytest.approx(0.25, abs=1e-6)
    assert calibrator({"x": 1.0}) == pytest.approx(0.75, abs=1e-6)
    assert calibrator.weights["x"] == pytest.approx(2 * math.log(3), abs=1e-5)


def by_gradient(
    features: Sequence[Sequence[float]], labels: Sequence[bool], ridge: float
) -> tuple[np.ndarray, float]:
    """The same regression by plain gradient descent on standardised features."""
    raw, wanted = np.array(features), np.array(labels, float)
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    design = (raw - centre) / scale
    weights, bias = np.zeros(raw.shape[1]), 0.0
    for _ in range(5_000):
        error = 1 / (1 + np.exp(-(design @ weights + bias))) - wanted
        weights -= 0.5 * (design.T @ error / len(raw) + ridge * weights)
        bias -= 0.5 * error.mean()
    return weights / scale, bias - (weights / scale) @ centre


@pytest.mark.parametrize("ridge", [1e-2, 0.3])
def test_fitting_agrees_with_gradient_descent(ridge: float) -> None:
    random = Random(7)
    rows = [{"a": random.gauss(5, 3), "b": random.gauss(0, 0.2)} for _ in range(80)]
    labels = [row["a"] - 20 * row["b"] + random.gauss(0, 3) > 5 for row in rows]

    calibrator = fit(rows, labels, ridge=ridge)

    weights, bias = by_gradient([[row["a"], row["b"]] for row in rows], labels, ridge)
    assert calibrator.weights["a"] == pytest.approx(weights[0], rel=1e-4)
    assert calibrator.weights["b"] == pytest.approx(weights[1], rel=1e-4)
    assert calibrator.bias == pytest.approx(bias, rel=1e-4)


def test_separable_data_and_constant_features_stay_finite() -> None:
    rows = [{"x": float(i), "same": 3.0} for i in range(10)]
    calibrator = fit(rows, [i >= 5 for i in range(10)])
    assert all(map(math.isfinite, [*calibrator.weights.values(), calibrator.bias]))
    assert calibrator({"x": 0.0, "same": 3.0}) < 0.2 < 0.8 < calibrator({"x": 9.0, "same": 3.0})


@pytest.mark.parametrize(("rows", "labels"), [([], []), ([{"x": 1.0}] * 3, [True] * 3)])
def test_one_kind_of_label_cannot_be_fitted(
    rows: list[dict[str, float]], labels: list[bool]
) -> None:
    with pytest.raises(ConfigurationError, match="examples of both kinds"):
        fit(rows, labels)


EXAMPLES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.integers(-3, 3), st.integers(-3, 3)),
    min_size=1,
    max_size=12,
)


@given(EXAMPLES)
def test_no_threshold_gains_more_than_the_best(examples: list[tuple[float, int, int]]) -> None:
    scores, gains, otherwise = zip(*examples, strict=True)

    def total(threshold: float) -> int:
        return sum(g if s >= threshold else o for s, g, o in examples)

    found = best_threshold(scores, gains, otherwise=otherwise)

    candidates = [-1.0, *(s + d for s in scores for d in (-1e-4, 0.0, 1e-4)), 2.0]
    assert total(found) == max(map(total, candidates))
    lower = [t for t in candidates if t < found and total(t) == total(found)]
    # A tie goes to the lowest: whatever is as good and lower parts the examples the same way.
    assert all(not any(t <= s < found for s in scores) for t in lower)


def test_the_best_threshold_lies_halfway_between_two_scores() -> None:
    assert best_threshold([0.2, 0.8], [0, 1], otherwise=[1, 0]) == pytest.approx(0.5)
