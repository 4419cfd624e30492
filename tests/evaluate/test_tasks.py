"""Runs over several panels, and what is refused before one begins."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from avalan.errors import ConfigurationError
from avalan.evaluate.progress import Step
from avalan.evaluate.tasks import Plan, check, levels_of, run
from avalan.reflection.panel import PARTS

PLAN = Plan(task="retrieval-decision", levels=("G0", "G1"), num=6)


def test_every_panel_meets_the_same_examples(stage: Any) -> None:
    asked: dict[str, list[str]] = {"first": [], "second": []}

    def panel(name: str) -> Any:
        judge = stage.judge(name=name, need=lambda text: asked[name].append(text) or 0.9)
        return stage.panel(judge)

    report = run(PLAN, {name: partial(panel, name) for name in asked})
    assert asked["first"] == asked["second"]
    assert len(asked["first"]) == 12
    assert [section.level for section in report.sections] == ["G0", "G1"]
    for section in report.sections:
        ids = [example.id for example in section.examples]
        for column in section.columns:
            assert [outcome.id for outcome in column.outcomes] == ids


def test_the_column_says_which_judge_served_at_which_threshold(stage: Any) -> None:
    panel = stage.panel(stage.judge(name="told"), need=0.7)
    (section, _) = run(PLAN, {"mine": lambda: panel}).sections
    (column,) = section.columns
    assert column.name == "mine"
    assert column.judges == dict.fromkeys(PARTS, "told")
    assert column.thresholds["need"] == 0.7


def test_a_run_tells_how_far_it_is(stage: Any) -> None:
    steps: list[Step] = []
    run(PLAN, {"mine": lambda: stage.panel(stage.judge())}, tell=steps.append)
    assert steps[0] == Step(who="mine", what="G0", done=1, num=6)
    assert steps[-1] == Step(who="mine", what="G1", done=6, num=6)
    assert len(steps) == 12


def test_panels_are_open_one_at_a_time(stage: Any) -> None:
    events: list[str] = []

    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name
            events.append(f"open {name}")

        def close(self) -> None:
            events.append(f"close {self.name}")

    def panel(name: str) -> Any:
        return stage.panel(stage.judge(name=name)).closes(Resource(name))

    run(PLAN, {name: partial(panel, name) for name in ("a", "b")})
    assert events == ["open a", "close a", "open b", "close b"]


def test_levels_come_once_and_in_their_order() -> None:
    assert levels_of(["G3", "G1", "G3"]) == ("G1", "G3")


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (replace(PLAN, task="poetry"), "no task called 'poetry'; choose one of: grounded-qa"),
        (replace(PLAN, levels=("G7",)), "no level 'G7'; choose from: G0, G1, G2, G3"),
        (replace(PLAN, split="training"), "no split called 'training'; choose validation or test"),
        (replace(PLAN, num=0), "--num is 0"),
        (replace(PLAN, top_k=-1), "--top-k is -1"),
        (replace(PLAN, levels=("G3",)), "--data DIR"),
        (replace(PLAN, levels=("G3",), data=Path("nowhere")), "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_said_before_a_panel_is_opened(
    plan: Plan, complaint: str
) -> None:
    def never() -> Any:
        raise AssertionError("a panel was opened")

    with pytest.raises(ConfigurationError, match=complaint):
        run(plan, {"mine": never})


def test_a_plan_that_can_be_carried_out_passes() -> None:
    check(PLAN)
