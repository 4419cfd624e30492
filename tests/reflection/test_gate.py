"""The gate's formulas, against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.gate import (
    expected_utility,
    group_probabilities,
    relevance_probability,
    retrieval_probability,
)
from avalan.reflection.tokens import ReflectionIds

IDS = ReflectionIds(
    retrieval=0,
    no_retrieval=1,
    proceed=2,
    relevant=3,
    irrelevant=4,
    support=(5, 6, 7),
    utility=(8, 9, 10, 11, 12),
    paragraph=13,
    paragraph_end=14,
)
SIZE = 20


def logprobs(**named: float) -> np.ndarray:
    """Log-probabilities with the named tokens' probabilities; the rest share what is left."""
    places = {name: getattr(IDS, name) for name in named}
    rest = (1 - sum(named.values())) / (SIZE - len(named))
    row = np.full(SIZE, math.log(rest))
    for name, place in places.items():
        row[place] = math.log(named[name])
    return row.astype(np.float32)


@pytest.mark.parametrize(
    ("retrieve", "not_retrieve", "expected"),
    [(0.8, 0.1, 8 / 9), (0.1, 0.8, 1 / 9), (0.3, 0.3, 0.5), (0.72, 0.18, 0.8), (1e-6, 3e-6, 0.25)],
)
def test_the_decision_is_the_share_of_retrieval_among_both_decisions(
    retrieve: float, not_retrieve: float, expected: float
) -> None:
    row = logprobs(retrieval=retrieve, no_retrieval=not_retrieve)

    assert retrieval_probability(row, IDS) == pytest.approx(expected, rel=1e-4)


def test_a_ratio_of_log_probabilities_would_turn_the_decision_around() -> None:
    """The mistake of a published script: it looks up exactly when it should not."""
    sure, unsure = (
        logprobs(retrieval=0.9, no_retrieval=0.05),
        logprobs(retrieval=0.05, no_retrieval=0.9),
    )

    def mistaken(row: np.ndarray) -> float:
        return float(row[0] / (row[0] + row[1]))

    assert mistaken(sure) < 0.05 < 0.95 < mistaken(unsure)
    assert retrieval_probability(sure, IDS) == pytest.approx(0.9 / 0.95, rel=1e-4)
    assert retrieval_probability(unsure, IDS) == pytest.approx(0.05 / 0.95, rel=1e-4)


def test_the_third_decision_token_has_no_part_in_the_gate() -> None:
    row = logprobs(retrieval=0.2, no_retrieval=0.2)
    row[IDS.proceed] = 50.0
    assert retrieval_probability(row, IDS) == pytest.approx(0.5)


@given(
    st.lists(st.floats(-40, 40), min_size=SIZE, max_size=SIZE),
    st.floats(-30, 30),
)
def test_logits_and_log_probabilities_give_the_same_decision(
    logits: list[float], shift: float
) -> None:
    row = np.array(logits)
    of_logits = retrieval_probability(row.astype(np.float64), IDS)  # type: ignore[arg-type]
    of_shifted = retrieval_probability(row + shift, IDS)  # type: ignore[arg-type]

    assert of_logits == pytest.approx(1 / (1 + math.exp(row[1] - row[0])), abs=1e-12)
    assert of_shifted == pytest.approx(of_logits, abs=1e-9)


@given(st.floats(-30, 30), st.floats(0.1, 5))
def test_the_decision_rises_with_the_retrieve_token(at: float, more: float) -> None:
    row = np.zeros(SIZE)
    row[0] = at
    before = retrieval_probability(row, IDS)  # type: ignore[arg-type]
    row[0] = at + more
    assert retrieval_probability(row, IDS) > before  # type: ignore[arg-type]


def test_an_impossible_token_counts_as_impossible() -> None:
    row = np.zeros(SIZE, np.float32)
    row[IDS.retrieval] = -np.inf
    assert retrieval_probability(row, IDS) == 0.0
    row[IDS.retrieval], row[IDS.no_retrieval] = 0.0, -np.inf
    assert retrieval_probability(row, IDS) == 1.0


def test_huge_logits_do_not_overflow() -> None:
    row = np.zeros(SIZE, np.float32)
    row[:2] = 1000.0, 998.0
    assert retrieval_probability(row, IDS) == pytest.approx(1 / (1 + math.exp(-2)))


def test_relevance_is_the_share_of_relevant_among_both() -> None:
    row = logprobs(relevant=0.06, irrelevant=0.02)
    assert relevance_probability(row, IDS) == pytest.approx(0.75, rel=1e-4)


def test_probabilities_of_a_group_sum_to_one_in_the_order_asked() -> None:
    row = np.log(np.arange(1, SIZE + 1)).astype(np.float32)
    assert group_probabilities(row, (3, 0, 1)) == pytest.approx([4 / 7, 1 / 7, 2 / 7], rel=1e-5)


@pytest.mark.parametrize(
    ("probabilities", "mean"),
    [((0, 0, 0, 0, 1), 5), ((1, 0, 0, 0, 0), 1), ((0.2,) * 5, 3), ((0, 0.5, 0, 0.25, 0.25), 3.25)],
)
def test_the_expected_grade_is_the_mean_over_the_five_tokens(
    probabilities: tuple[float, ...], mean: float
) -> None:
    row = np.full(SIZE, 3.0)
    with np.errstate(divide="ignore"):
        row[list(IDS.utility)] = np.log(probabilities)
    assert expected_utility(row, IDS) == pytest.approx(mean)  # type: ignore[arg-type]
