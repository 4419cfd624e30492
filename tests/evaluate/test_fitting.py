"""Calibrators and thresholds, and scores where nothing was fitted."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.evaluate.cases import MemoryCase, NeedCase, Quote, ReadingCase
from avalan.evaluate.fitting import (
    NUM_SURE,
    SURE,
    Fitted,
    cross_fitted,
    fit_answer,
    fit_memory,
    fit_need,
    fit_reading,
    precise_threshold,
    refusal_threshold,
    score_memory,
    score_need,
    score_reading,
)
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.trust import standing

PLAIN = Fitted(calibrator=None, threshold=0.5)


RAWS = [(0.01, 2), (0.3, 9), (0.7, 9), (0.99, 6)]


def need(raw: float, retrieve: bool, group: str = "g") -> NeedCase:
    return NeedCase(group=group, raw=raw, retrieve=retrieve)


def quote(raw: float, score: float, rank: int = 0) -> Quote:
    return Quote(rank=rank, raw=raw, features={"x": raw}, signs={}, right=score == 1, score=score)


def reading(
    *quotes: Quote, answerable: bool = True, group: str = "g", is_technical: bool = False
) -> ReadingCase:
    return ReadingCase(group=group, answerable=answerable, is_technical=is_technical, quotes=quotes)


RANKED = [reading(quote(0.95 - i / 120, float(i < 40))) for i in range(100)]
"""Forty right answers above sixty wrong ones."""


def memory(raw: float, right: bool, group: str = "g") -> MemoryCase:
    return MemoryCase(group=group, raw=raw, features={"x": raw}, right=right)


# --- the gate ----------------------------------------------------------------------------------


def test_the_gates_threshold_is_the_most_accurate_one() -> None:
    cases = [need(0.1, False), need(0.2, True), need(0.3, False), need(0.4, True), need(0.9, True)]
    fitted = fit_need(cases, scaled=False)
    assert fitted.calibrator is None
    assert fitted.threshold == pytest.approx(0.15)
    assert [score_need(fitted, case) for case in cases] == [1, 1, 0, 1, 1]


def test_the_gates_calibration_mends_a_judge_that_is_surer_of_one_side() -> None:
    random = Random(2)
    truths = [random.random() for _ in range(4000)]
    # p' with a = 2 and b = 0.5: ln(p' / (1 - p')) = 2 ln p - 0.5 ln(1 - p), which is undone here.
    cases = [need(raw, random.random() < 1 / (1 + (1 - raw) ** 0.5 / raw**2)) for raw in truths]
    calibrator = fit_need(cases, scaled=True).calibrator
    assert calibrator is not None
    assert calibrator.weights["log_for"] == pytest.approx(2, abs=0.25)
    assert calibrator.weights["log_against"] == pytest.approx(0.5, abs=0.25)
    assert calibrator.bias == pytest.approx(0, abs=0.25)


def test_the_gates_calibration_never_turns_the_order_around() -> None:
    # In the middle most need a look-up, at both ends half: unbound, one weight would be negative.
    cases = [need(raw, k < most) for raw, most in RAWS for k in range(10)]
    fitted = fit_need(cases, scaled=True)
    assert fitted.calibrator is not None
    assert len(fitted.calibrator.weights) == 1
    found = [fitted.probability(need(raw, True).features, raw) for raw, _most in RAWS]
    assert found == sorted(found)


def test_beta_calibration_keeps_the_order_and_makes_rates_of_scores() -> None:
    random = Random(1)
    raws = [random.random() * 0.2 for _ in range(400)]
    cases = [need(raw, random.random() < 5 * raw) for raw in raws]
    fitted = fit_need(cases, scaled=True)
    found = [fitted.probability(case.features, case.raw) for case in cases]
    order = sorted(range(len(cases)), key=lambda i: raws[i])
    assert all(found[a] <= found[b] for a, b in pairwise(order))
    rate = sum(case.retrieve for case in cases) / len(cases)
    assert sum(found) / len(found) == pytest.approx(rate, abs=0.01)


# --- reading -----------------------------------------------------------------------------------


def test_the_most_confident_quote_is_the_answer() -> None:
    case = reading(quote(0.6, 0.0), quote(0.8, 1.0), quote(0.8, 0.0))
    assert score_reading(PLAIN, case) == 1.0
    assert score_reading(Fitted(calibrator=None, threshold=0.9), case) == 0.0


def test_silence_is_right_where_there_is_no_answer() -> None:
    assert score_reading(PLAIN, reading(quote(0.2, 0.0), answerable=False)) == 1.0
    assert score_reading(PLAIN, reading(quote(0.7, 0.0), answerable=False)) == 0.0
    assert score_reading(PLAIN, reading(answerable=False)) == 1.0
    assert score_reading(PLAIN, reading(answerable=True)) == 0.0


def test_the_readings_threshold_refuses_the_share_that_it_may() -> None:
    cases = [reading(quote(i / 20, float(i % 2))) for i in range(1, 21)]
    fitted = fit_reading(cases)
    refused = [case for case in cases if not answers(fitted, case)]
    assert len(refused) == 2


def answers(fitted: Fitted, case: ReadingCase) -> bool:
    return any(fitted.probability(q.features, q.raw) >= fitted.threshold for q in case.quotes)


def test_unanswerable_questions_do_not_move_the_readings_threshold() -> None:
    cases = [reading(quote(i / 10, 0.0)) for i in range(1, 11)]
    more = [reading(quote(0.99, 0.0), answerable=False) for _ in range(30)]
    assert fit_reading([*cases, *more]).threshold == fit_reading(cases).threshold


# --- the answer --------------------------------------------------------------------------------


def test_what_is_given_without_reserve_is_right_as_often_as_it_should_be() -> None:
    # Forty right ones lie above sixty wrong ones, of which some may be given with them.
    fitted = fit_answer(RANKED, Fitted(calibrator=None, threshold=0.0))
    given = [case.quotes[0].right for case in RANKED if sure(fitted, case.quotes[0].raw)]
    assert sum(given) == 40
    assert len(given) == int(40 / SURE)


def test_too_few_right_answers_show_no_share() -> None:
    def given(num: int) -> bool:
        cases = [reading(quote(0.95 - i / 120, float(i < num))) for i in range(100)]
        return any(sure(fit_answer(cases, PLAIN), case.quotes[0].raw) for case in cases)

    # One wrong one may be the twentieth.
    assert given(NUM_SURE - 1)
    assert not given(NUM_SURE - 2)


def sure(fitted: Fitted, *confidences: float, is_technical: bool = False) -> bool:
    """Whether the first of the quotations, by rank, is given without reserve."""
    signs = standing(confidences, 0, is_technical=is_technical)
    return fitted.probability(signs, confidences[0]) >= fitted.threshold


def test_an_answer_with_a_rival_is_trusted_less() -> None:
    alone = [reading(quote(0.6, 1.0), quote(0.1, 0.0, rank=1)) for _ in range(20)]
    rivalled = [reading(quote(0.6, 0.0), quote(0.55, 0.0, rank=1)) for _ in range(20)]
    fitted = fit_answer([*alone, *rivalled], Fitted(calibrator=None, threshold=0.0))
    assert sure(fitted, 0.6, 0.1)
    assert not sure(fitted, 0.6, 0.55)


def test_what_documents_a_program_is_trusted_less_where_it_was_right_less_often() -> None:
    prose = [reading(quote(0.6, float(i % 20 > 0))) for i in range(60)]
    code = [reading(quote(0.6, float(i % 3 == 0)), is_technical=True) for i in range(60)]
    fitted = fit_answer([*prose, *code], PLAIN)
    assert sure(fitted, 0.6)
    assert not sure(fitted, 0.6, is_technical=True)


def test_pages_like_those_that_were_taught_do_not_move_the_threshold() -> None:
    easy = [reading(quote(0.58 + i / 1e5, 1.0)) for i in range(60)]
    apart, mixed = fit_answer(RANKED, PLAIN, more=easy), fit_answer([*RANKED, *easy], PLAIN)
    assert apart.calibrator == mixed.calibrator
    given = [case.quotes[0].right for case in RANKED if sure(apart, case.quotes[0].raw)]
    assert sum(given) / len(given) >= SURE
    lax = [case.quotes[0].right for case in RANKED if sure(mixed, case.quotes[0].raw)]
    assert sum(lax) / len(lax) < SURE


def test_a_passage_without_a_quotation_is_no_rival() -> None:
    cases = [reading(quote(0.3 + i / 40, float(i % 2), rank=2)) for i in range(20)]
    fitted = fit_answer(cases, PLAIN)
    assert fitted.calibrator is not None
    # All have the same lead and rank, so that nothing is learnt of these.
    assert fitted.calibrator.weights["lead"] == pytest.approx(0)
    assert fitted.calibrator.weights["search_rank"] == pytest.approx(0)


def test_what_is_refused_anyhow_does_not_count_for_the_reserve() -> None:
    right = [reading(quote(0.5 + i / 80, 1.0)) for i in range(30)]
    wrong = [reading(quote(0.1 + i // 2 / 100, 0.0)) for i in range(10)]
    all_, few, fewer = (
        fit_answer([*right, *wrong], Fitted(calibrator=None, threshold=refused)).threshold
        for refused in (0.0, 0.3, 0.5)
    )
    assert all_ < few == fewer


def test_who_is_always_right_is_trusted_as_the_quotation_is() -> None:
    always = fit_answer([reading(quote(1 - i / 60, 1.0)) for i in range(40)], PLAIN)
    assert always.calibrator is None
    assert always.threshold == pytest.approx(0.5, abs=1e-4)
    assert fit_answer([], PLAIN) == PLAIN


def test_the_refusal_threshold_by_hand() -> None:
    assert refusal_threshold([0.5, 0.1, 0.4, 0.2, 0.3], 0.2) == 0.2
    assert refusal_threshold([0.5, 0.1, 0.4, 0.2, 0.3], 0.0) == 0.1
    assert refusal_threshold([], 0.2) == 0.5


def test_who_quotes_nothing_has_refused_already() -> None:
    # Two of ten may be refused, and one is: so one more, the least confident.
    confidences = [None, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert refusal_threshold(confidences, 0.2) == 0.2
    assert refusal_threshold([None, None, None, 0.5, 0.6], 0.2) == 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 0.99))
def test_no_more_are_refused_than_may_be(confidences: list[float], share: float) -> None:
    threshold = refusal_threshold(confidences, share)
    assert sum(c < threshold for c in confidences) <= share * len(confidences)


# --- memory ------------------------------------------------------------------------------------


def test_the_precise_threshold_is_the_lowest_that_is_precise_enough() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    labels = [True, True, False, True, False]
    assert precise_threshold(scores, labels, precision=1.0) == pytest.approx(0.75)
    assert precise_threshold(scores, labels, precision=0.75) == pytest.approx(0.55)
    assert precise_threshold(scores, labels, precision=0.5) == pytest.approx(0.5, abs=1e-4)


def test_equal_scores_are_given_or_kept_together() -> None:
    assert precise_threshold([0.9, 0.9, 0.4], [True, False, True], precision=0.9) > 0.9


def test_a_precision_out_of_reach_gives_nothing() -> None:
    cases = [memory(0.9, False), memory(0.8, True), memory(0.7, False)]
    fitted = Fitted(calibrator=None, threshold=precise_threshold([0.9, 0.8], [False, True]))
    assert [score_memory(fitted, case) for case in cases] == [0, 0, 0]


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.8]), st.booleans()), max_size=30))
def test_what_lies_above_the_precise_threshold_is_precise(cases: list[tuple[float, bool]]) -> None:
    scores, labels = [score for score, _ in cases], [label for _, label in cases]
    threshold = precise_threshold(scores, labels, precision=0.7)
    given = [label for score, label in cases if score >= threshold]
    assert not given or sum(given) / len(given) >= 0.7


def test_memory_counts_wrong_drafts_against_right_ones() -> None:
    cases = [memory(i / 40, i >= 20) for i in range(40)]
    fitted = fit_memory(cases)
    assert [score_memory(fitted, case) for case in cases] == [0.0] * 19 + [-1.0] + [1.0] * 20


# --- cross-fitting -----------------------------------------------------------------------------


def test_no_case_is_scored_with_what_was_fitted_on_its_group() -> None:
    cases = [need(0.5, True, group=str(number // 2)) for number in range(20)]
    fits: list[set[str]] = []

    def fitting(kept: Any) -> Fitted:
        fits.append({case.group for case in kept})
        return Fitted(calibrator=None, threshold=float(len(fits) - 1))

    def scoring(fitted: Fitted, case: NeedCase) -> float:
        return float(case.group not in fits[int(fitted.threshold)])

    assert cross_fitted(cases, fitting, scoring, seed=0) == (1.0,) * 20
    assert [len(groups) for groups in fits] == [8] * 5


def test_a_single_case_can_be_cross_fitted() -> None:
    cases = [need(0.9, True)]
    found = cross_fitted(cases, lambda kept: fit_need(kept, scaled=True), score_need, seed=0)
    assert found == (1.0,)


def test_a_part_is_written_as_panels_read_it() -> None:
    assert PLAIN.to_json() == {"threshold": 0.5}
    scaled = Fitted(calibrator=Calibrator(weights={"x": 2.0}, bias=-1.0), threshold=0.3)
    assert scaled.to_json() == {"weights": {"x": 2.0}, "bias": -1.0, "threshold": 0.3}
