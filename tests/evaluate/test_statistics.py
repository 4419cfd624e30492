"""Error bars and paired tests, against values worked out by hand."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.evaluate.statistics import (
    Estimate,
    bootstrap,
    bootstrap_mean,
    mcnemar,
    paired_difference,
    proportion,
    wilson,
)


def interval(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_wilson_gives_the_interval_worked_out_by_hand() -> None:
    # z² = 3.8415; centre (0.8 + 0.19207) / 1.38415; half 1.95996 / 1.38415 · √(0.016 + 0.0096)
    assert interval(wilson(8, 10)) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    # No success: the upper end is z² / (n + z²).
    assert interval(wilson(0, 10)) == pytest.approx((0.0, 3.84146 / 13.84146), abs=1e-5)
    assert interval(wilson(10, 10)) == pytest.approx((10 / 13.84146, 1.0), abs=1e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_between_0_and_1_and_around_the_share(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = interval(wilson(successes, n))
    assert 0 <= low <= successes / n <= high <= 1
    mirrored = interval(wilson(n - successes, n))
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_wilson_narrows_with_more_examples() -> None:
    widths = [high - low for low, high in (interval(wilson(n // 2, n)) for n in (10, 100, 1000))]
    assert all(wider > narrower for wider, narrower in pairwise(widths))


def test_a_proportion_of_nothing_is_unknown() -> None:
    assert proportion([]) is None
    assert bootstrap_mean([]) is None
    assert paired_difference([], []) is None
    assert bootstrap(np.mean, np.array([])) is None


def test_more_successes_than_examples_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="11 successes of 10 examples"):
        wilson(11, 10)


@pytest.mark.parametrize(
    ("wins", "losses", "p_value"),
    [
        (6, 1, 2 * (1 + 7) / 2**7),
        (1, 6, 2 * (1 + 7) / 2**7),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (5, 5, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_is_the_binomial_test_on_the_disagreements(
    wins: int, losses: int, p_value: float
) -> None:
    first = [True] * wins + [False] * losses + [True, False] * 4
    second = [False] * wins + [True] * losses + [True, False] * 4
    found = mcnemar(first, second)
    assert (found.wins, found.losses) == (wins, losses)
    assert found.p_value == pytest.approx(p_value)


def test_pairs_of_different_lengths_are_refused() -> None:
    for compare in (mcnemar, paired_difference):
        with pytest.raises(ConfigurationError, match="not 2 and 1"):
            compare([True, False], [True])


def test_the_bootstrap_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    low, high = interval(bootstrap_mean(values.tolist()))
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / sqrt(400), rel=0.1)


def test_a_constant_difference_has_no_width() -> None:
    found = paired_difference([3.0, 2.0, 7.0], [2.0, 1.0, 6.0])
    assert found == Estimate(value=1.0, low=1.0, high=1.0, n=3)


def test_questions_of_one_group_are_drawn_together() -> None:
    """Ten copies of each value tell no more than one of each."""
    values = [float(i % 2) for i in range(40)]
    copies = [value for value in values for _ in range(10)]
    groups = [number for number in range(40) for _ in range(10)]
    alone = interval(bootstrap_mean(values))
    assert interval(bootstrap_mean(copies, groups=groups)) == pytest.approx(alone)
    low, high = interval(bootstrap_mean(copies))
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_the_general_bootstrap_draws_as_the_one_of_means_does() -> None:
    values = np.array([0.0, 1.0, 1.0, 4.0, 9.0])
    groups = ["a", "a", "b", "c", "c"]
    for seed in (0, 1):
        general = bootstrap(np.mean, values, groups=groups, seed=seed)
        special = bootstrap_mean(values.tolist(), groups=groups, seed=seed)
        assert interval(general) == pytest.approx(interval(special))


def test_the_columns_of_a_bootstrap_stay_together() -> None:
    values = np.arange(30.0)
    found = bootstrap(lambda a, b: float(np.abs(a - b).max()), values, values + 0.5)
    assert found == Estimate(value=0.5, low=0.5, high=0.5, n=30)


def test_a_seed_repeats_the_interval_and_another_moves_it() -> None:
    values = np.random.default_rng(0).random(50).tolist()
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)
