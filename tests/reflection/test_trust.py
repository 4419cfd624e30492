"""Trust in an answer, in view of what else was quoted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.trust import MAX_LEAD, backing, standing


def test_the_features_by_hand() -> None:
    # The odds are 4 to 1, 1 to 1 and 1 to 4.
    found = standing([0.5, 0.8, 0.2], 1)
    assert found == pytest.approx(
        {"quote_logit": math.log(4), "lead": math.log(4), "search_rank": 1.0, "technical": 0.0}
    )
    assert standing([0.5, 0.8, 0.2], 1, is_technical=True) == {**found, "technical": 1.0}
    assert standing([0.5, 0.8, 0.2], 0)["lead"] == pytest.approx(-math.log(4))


def test_who_has_no_rival_leads_by_the_most() -> None:
    assert standing([0.5], 0)["lead"] == MAX_LEAD
    assert standing([0.5], 0, {"focus": -0.5})["focus"] == -0.5
    assert standing([0.5, 0.0, 0.0], 0)["lead"] == MAX_LEAD


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0, 1))
def test_a_better_rival_never_adds_to_the_lead(confidences: list[float], more: float) -> None:
    before = standing(confidences, 0)["lead"]
    assert standing([*confidences, more], 0)["lead"] <= before <= MAX_LEAD


def test_an_answer_is_backed_by_its_weakest_sentence_and_its_best_passage() -> None:
    found = backing([0.8, 0.5], [0.2, 0.5], [-0.1, -2.0])
    assert found == pytest.approx(
        {"support_logit": 0.0, "relevance_logit": 0.0, "mean_logprob": -2.0}
    )
    assert backing([], [], []) == {
        "support_logit": 0.0, "relevance_logit": 0.0, "mean_logprob": 0.0,
    }  # fmt: skip
