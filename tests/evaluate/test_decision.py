"""The task retrieval-decision."""

from typing import Any

import pytest

from avalan.evaluate.decision import FIGURES, decide, summarise

SURE = {"news of today": 0.9, "seven times six": 0.6, "news of Kiel": 0.4, "hello": 0.1}


def test_decisions_follow_the_panels_own_threshold(stage: Any) -> None:
    judge = stage.judge(need=SURE.__getitem__)
    decided = list(decide(stage.panel(judge, need=0.5), stage.prompts))
    assert [each.retrieve for each in decided] == [True, True, False, False]
    assert [each.score for each in decided] == [1.0, 0.0, 0.0, 1.0]
    lower = list(decide(stage.panel(judge, need=0.4), stage.prompts))
    assert [each.score for each in lower] == [1.0, 0.0, 1.0, 1.0]


def test_the_figures_are_those_worked_out_by_hand(stage: Any) -> None:
    panel = stage.panel(stage.judge(need=SURE.__getitem__))
    found = summarise(stage.prompts, list(decide(panel, stage.prompts)))
    values = {name: each.value for name, each in found.items() if each}
    assert values["accuracy"] == 0.5
    assert values["macro-F1"] == 0.5
    assert values["AUROC"] == 0.75
    assert values["Brier score"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert values["ECE"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)
    assert values["looked up"] == 0.5


def test_no_prompts_give_no_figures() -> None:
    assert summarise([], []) == dict.fromkeys(FIGURES)
