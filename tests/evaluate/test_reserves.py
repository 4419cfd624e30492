"""A model's reserve: fitted on what it answered, rightly and wrongly."""

from pathlib import Path

import pytest

from avalan.errors import ConfigurationError, StateError
from avalan.evaluate.reserves import Given, fit_reserve
from avalan.reflection import reserves


def given(support: float, right: bool, number: int) -> Given:
    signs = {"support_logit": support, "relevance_logit": 0.0, "mean_logprob": -1.0}
    return Given(group=f"p{number}", right=right, confidence=0.5, signs=signs)


# Of each ten answers with a support of 2 nine are right, of those with -2 one.
ANSWERS = [given(2.0, number % 10 != 0, number) for number in range(50)] + [
    given(-2.0, number % 10 == 0, 50 + number) for number in range(50)
]


def test_what_is_right_more_often_is_trusted_more_and_what_is_not_is_held_back() -> None:
    fitted = fit_reserve("m", ANSWERS, num_asked=120, precision=0.85)
    well, badly = (fitted.calibrator(each.signs) for each in (ANSWERS[0], ANSWERS[-1]))
    assert well == pytest.approx(0.9, abs=0.05)
    assert badly == pytest.approx(0.1, abs=0.05)
    assert badly < fitted.least <= well
    # Nine of ten are enough to answer, and too few to answer without reserve.
    assert fitted.sure > well
    found = fitted.fitted_on
    assert (found["num_asked"], found["num_answered"], found["num_given"]) == (120, 100, 50)
    assert found["auroc"]["before"] == 0.5
    assert found["auroc"]["cross_fitted"] == pytest.approx(0.9, abs=0.05)


def test_who_is_always_right_is_sure() -> None:
    certain = [given(6.0, True, 100 + number) for number in range(30)]
    fitted = fit_reserve("m", [*ANSWERS, *certain], num_asked=200)
    well, best = (fitted.calibrator(each.signs) for each in (ANSWERS[0], certain[0]))
    assert well < fitted.sure <= best
    assert fitted.fitted_on["num_sure"] == 30


def test_a_precision_that_is_out_of_reach_silences_nobody() -> None:
    with pytest.raises(ConfigurationError, match="aim lower with --target-precision"):
        fit_reserve("m", ANSWERS, num_asked=100, precision=0.99)


def test_without_a_target_every_answer_is_given() -> None:
    assert fit_reserve("m", ANSWERS, num_asked=100).least == 0.0


@pytest.mark.parametrize("some", [[], ANSWERS[1:5]])
def test_answers_that_are_all_alike_teach_nothing(some: list[Given]) -> None:
    with pytest.raises(ConfigurationError, match="ask more with --num"):
        fit_reserve("m", some, num_asked=9)


def test_it_is_kept_by_the_models_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path))
    fitted = fit_reserve("org/model", ANSWERS, num_asked=100)
    assert reserves.saved("org/model") is None
    path = reserves.save(fitted)
    assert reserves.saved("org/model") == fitted
    path.write_text("{}")
    with pytest.raises(StateError, match="--task grounded-qa --calibrate"):
        reserves.saved("org/model")
