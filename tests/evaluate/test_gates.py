"""Gates fitted on prompts: which signs, and a threshold for an aim."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.evaluate.examples import Prompt
from avalan.evaluate.gates import (
    LEAST_OF_A_LANGUAGE,
    Aim,
    Asked,
    compared,
    cross_fitted,
    fit_gate,
    fit_languages,
    threshold_for,
)
from avalan.evaluate.metrics import auroc


def prompts(num: int = 200, *, seed: int = 0, language: str = "en") -> list[Asked]:
    """Two signs that each tell a half, and one that tells nothing."""
    random = Random(seed)
    found = []
    for _ in range(num):
        a, b, noise = (random.gauss(0, 1) for _ in range(3))
        found.append(
            Asked(
                retrieve=a + b + random.gauss(0, 0.5) > 0,
                language=language,
                signs={"a": {"a_logit": a}, "b": {"b_logit": b}, "noise": {"noise": noise}},
            )
        )
    return found


def test_signs_that_complete_each_other_are_weighed_together() -> None:
    asked = prompts()
    fitted = fit_gate("m", asked, Aim())
    assert fitted.signs == ("a", "b", "noise")
    weights = fitted.calibrator.weights
    assert weights["a_logit"] > 5 * abs(weights["noise"])
    alone = fitted.fitted_on["cross_fitted_auroc"]
    assert alone["a + b + noise"] > 0.95 > max(alone["a"], alone["b"]) > 0.7
    assert alone["noise"] == pytest.approx(0.5, abs=0.1)


def test_a_sign_that_is_better_alone_stays_alone() -> None:
    random = Random(3)
    asked = [
        Asked(
            retrieve=i % 2 == 0,
            language="",
            signs={
                "good": {"good": float(i % 2 == 0) + random.gauss(0, 0.05)},
                "bad": {f"n{k}": random.gauss(0, 1) for k in range(12)},
            },
        )
        for i in range(30)
    ]
    fitted = fit_gate("m", asked, Aim())
    found = fitted.fitted_on["cross_fitted_auroc"]
    assert found["good"] == 1.0
    assert fitted.signs == (("good",) if found["good + bad"] < 1.0 else ("good", "bad"))


def test_no_prompt_is_scored_with_what_was_fitted_on_it() -> None:
    """Labels at random cannot be told, however many features there are."""
    random = Random(1)
    asked = [
        Asked(
            retrieve=random.random() < 0.5,
            language="",
            signs={"noise": {f"n{k}": random.gauss(0, 1) for k in range(30)}},
        )
        for _ in range(120)
    ]
    labels = [each.retrieve for each in asked]
    assert auroc(labels, cross_fitted(asked, ("noise",))) < 0.65


def test_each_language_with_prompts_enough_is_scaled_by_itself() -> None:
    few = prompts(LEAST_OF_A_LANGUAGE - 1, seed=1, language="fr")
    one_kind = [each for each in prompts(200, seed=2, language="es") if each.retrieve]
    asked = [*prompts(60, language="de"), *few, *one_kind, *prompts(60, seed=3, language="")]
    found = fit_languages(asked, [0.3] * len(asked))
    assert set(found) == {"de"}
    # Of a score that is the same for all, what is learnt is the share of look-ups.
    share = sum(each.retrieve for each in asked[:60]) / 60
    assert found["de"]({"combined_logit": -0.8473}) == pytest.approx(share, abs=0.01)


def test_prompts_of_one_kind_fit_nothing() -> None:
    asked = [each for each in prompts() if each.retrieve]
    with pytest.raises(ConfigurationError, match="both kinds"):
        fit_gate("m", asked, Aim())


SCORES = [0.9, 0.8, 0.7, 0.6, 0.2]
LABELS = [True, True, False, True, False]


def looked_up(aim: Aim) -> list[bool]:
    threshold = threshold_for(SCORES, LABELS, aim)
    return [score >= threshold for score in SCORES]


def test_a_threshold_for_each_aim_by_hand() -> None:
    assert looked_up(Aim()) == [True, True, True, True, False]
    assert looked_up(Aim(budget=0.4)) == [True, True, False, False, False]
    assert looked_up(Aim(budget=0.0)) == [False] * 5
    assert looked_up(Aim(budget=1.0)) == [True] * 5
    # Three of five are right when one is looked up; four, when two are.
    assert looked_up(Aim(accuracy=0.6)) == [True, False, False, False, False]
    assert looked_up(Aim(accuracy=0.8)) == [True, True, False, False, False]
    assert looked_up(Aim(accuracy=0.4)) == [False] * 5
    assert looked_up(Aim(accuracy=1.0)) == looked_up(Aim())


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1),
    st.floats(0, 1),
)
def test_a_budget_is_kept_whatever_is_equal(cases: list[tuple[float, bool]], share: float) -> None:
    scores, labels = [score for score, _ in cases], [label for _, label in cases]
    threshold = threshold_for(scores, labels, Aim(budget=share))
    assert sum(score >= threshold for score in scores) <= share * len(scores) + 1e-6


# --- side by side ------------------------------------------------------------------------------


def as_prompts(asked: list[Asked]) -> list[Prompt]:
    return [
        Prompt(id=str(number), text="", retrieve=each.retrieve, kind="")
        for number, each in enumerate(asked)
    ]


@pytest.mark.parametrize("unseen", [True, False])
def test_every_sign_stands_beside_the_combination_and_what_decides_nothing(*, unseen: bool) -> None:
    asked = prompts(160, seed=5)
    found = compared(as_prompts(asked), asked, prompts(seed=6) if unseen else None)
    assert list(found) == ["a", "b", "noise", "combined", "always", "never", "at random"]
    right = {name: sum(each.score for each in said) / 160 for name, (_, said) in found.items()}
    assert right["combined"] > max(right["a"], right["b"]) > right["noise"]
    share = sum(each.retrieve for each in asked) / 160
    assert (right["always"], right["never"]) == (share, pytest.approx(1 - share))
    looked = {name: sum(each.retrieve for each in said) for name, (_, said) in found.items()}
    assert looked["at random"] == pytest.approx(looked["combined"], abs=20)
    assert right["at random"] == pytest.approx(0.5, abs=0.12)
