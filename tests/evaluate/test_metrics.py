"""Metrics against values worked out by hand, and against slower definitions."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.evaluate.metrics import (
    abstention,
    accuracy,
    auroc,
    brier,
    calibrated_error,
    cohens_kappa,
    expected_calibration_error,
    macro_f1,
)

PROBABILITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
LABELLED = st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=1, max_size=40)
T, F = True, False


def test_accuracy_is_the_share_of_right_predictions() -> None:
    assert accuracy([T, T, F, F], [T, F, F, F]) == 0.75


def test_macro_f1_gives_both_classes_the_same_weight() -> None:
    # True: 2·2 / (3 + 2) = 4/5. False: 2·2 / (2 + 3) = 4/5; then one more false alarm.
    assert macro_f1([T, T, T, F, F], [T, T, F, F, F]) == pytest.approx(4 / 5)
    # True: 2·2 / (3 + 3) = 2/3. False: 2·3 / (4 + 4) = 3/4.
    found = macro_f1([T, T, T, F, F, F, F], [T, T, F, T, F, F, F])
    assert found == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_macro_f1_leaves_out_a_class_that_occurs_nowhere() -> None:
    assert macro_f1([T, T], [T, T]) == 1.0
    assert macro_f1([T, T], [F, F]) == 0.0


def test_cohens_kappa_of_a_table_worked_by_hand() -> None:
    # Fifty examples: both say yes of 20 and no of 15; .5 is expected by chance, .7 is the same.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_cohens_kappa_at_its_ends() -> None:
    assert cohens_kappa("abab", "abab") == 1
    assert cohens_kappa("aabb", "abab") == 0
    assert cohens_kappa("aaaa", "aaaa") == 1
    assert cohens_kappa("ab", "ba") == -1


def test_auroc_counts_a_tie_as_half() -> None:
    # Of four pairs three are in order and one is tied.
    assert auroc([T, T, F, F], [0.9, 0.5, 0.5, 0.1]) == pytest.approx(3.5 / 4)
    assert auroc([T, F], [0.3, 0.3]) == 0.5
    assert auroc([T, F], [0.2, 0.3]) == 0.0


def test_auroc_of_one_kind_of_label_is_chance() -> None:
    assert auroc([T, T], [0.1, 0.9]) == 0.5


@given(LABELLED)
def test_auroc_is_the_share_of_pairs_in_order(cases: list[tuple[bool, float]]) -> None:
    positive = [score for label, score in cases if label]
    negative = [score for label, score in cases if not label]
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    expected = sum(pairs) / len(pairs) if pairs else 0.5
    labels, scores = zip(*cases, strict=True)
    assert auroc(labels, scores) == pytest.approx(expected)


def test_calibration_error_weighs_bins_by_their_size() -> None:
    # Two bins of three and two: |0.2 - 1/3| · 3/5 + |0.9 - 1| · 2/5.
    labels, scores = [F, F, T, T, T], [0.2, 0.2, 0.2, 0.9, 0.9]
    found = expected_calibration_error(labels, scores, num_bins=2)
    assert found == pytest.approx(0.08 + 0.04)


def test_calibration_error_has_fifteen_bins_of_equal_mass() -> None:
    # Thirty examples, two to a bin: in each, one of two is positive at a mean of 0.5 or so.
    scores = [(i + 0.5) / 30 for i in range(30)]
    labels = [i % 2 == 0 for i in range(30)]
    expected = sum(abs((2 * i + 1) / 30 - 0.5) for i in range(15)) / 15
    assert expected_calibration_error(labels, scores) == pytest.approx(expected)


def test_calibration_error_of_few_examples_has_as_many_bins() -> None:
    assert expected_calibration_error([T, F], [0.9, 0.2]) == pytest.approx((0.1 + 0.2) / 2)


def test_chance_alone_misses_by_the_binomial_deviation() -> None:
    # Four coins in one bin: 2/16 · 1/2 + 8/16 · 1/4 = 3/16.
    found = calibrated_error([0.5] * 4, num_bins=1, num_draws=20_000)
    assert found == pytest.approx(3 / 16, abs=0.005)
    assert calibrated_error([0.0, 1.0, 1.0]) == 0


@given(LABELLED, st.integers(0, 9))
def test_calibration_error_does_not_depend_on_the_order(
    cases: list[tuple[bool, float]], seed: int
) -> None:
    mixed = list(cases)
    Random(seed).shuffle(mixed)
    first = expected_calibration_error(*zip(*cases, strict=True), num_bins=3)
    second = expected_calibration_error(*zip(*mixed, strict=True), num_bins=3)
    assert first == pytest.approx(second)


def test_brier_score_is_the_mean_squared_error() -> None:
    assert brier([T, F], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)


def test_abstentions_are_counted_over_the_questions_that_they_concern() -> None:
    found = abstention([T, T, T, F, F], [F, T, F, T, F])
    assert found.precision == (F, T)
    assert found.rejection == (T, F)
    assert found.over_refusal == (F, T, F)
