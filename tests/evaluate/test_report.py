"""The report: side by side on a screen, complete in JSON."""

import json
from functools import partial
from typing import Any

import pytest

from avalan.cli.console import cell_width
from avalan.evaluate.report import (
    BASELINE,
    NAME_WIDTH,
    Section,
    column,
    compare,
    document,
    estimate_text,
    headings,
    notes,
    shortened,
    table,
)
from avalan.evaluate.statistics import Estimate, mcnemar
from avalan.evaluate.tasks import Plan, run

PLAN = Plan(task="grounded-qa", levels=("G1",), num=12, seed=3)


@pytest.fixture
def report(stage: Any) -> Any:
    """A quiet judge, a chatty one, and a third under the name of the baseline."""
    judges = {
        "quiet": stage.judge(name="q"),
        "runs/some/where/a-chatty-model": stage.judge(stage.everything, name="c"),
        BASELINE: stage.judge(stage.everything, confidence=0.1, name="rules"),
    }
    return run(PLAN, {name: partial(stage.panel, judge) for name, judge in judges.items()})


def test_three_panels_fit_into_eighty_columns(report: Any) -> None:
    headers, rows = table(report.sections[0])
    widths = [max(map(cell_width, cells)) for cells in zip(headers, *rows, strict=True)]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80
    assert headers == ["", "quiet", "a-chatty-model", "rules"]
    assert [row[0] for row in rows[-2:]] == ["difference", "paired test"]


def test_the_baseline_is_not_compared_with_itself(report: Any) -> None:
    assert set(compare(report.sections[0])) == {"quiet", "runs/some/where/a-chatty-model"}
    _, rows = table(report.sections[0])
    assert [row[-1] for row in rows[-2:]] == ["(baseline)", ""]


def test_one_alone_is_compared_with_nobody(stage: Any) -> None:
    report = run(PLAN, {"quiet": lambda: stage.panel(stage.judge())})
    _, rows = table(report.sections[0])
    assert "paired test" not in [row[0] for row in rows]
    assert len(notes(report)) == 1


def test_without_the_rules_the_first_is_what_others_are_compared_with(stage: Any) -> None:
    panels = {
        "somewhere/runs/one/model": stage.judge(stage.everything),
        "somewhere/runs/two/model": stage.judge(),
    }
    report = run(PLAN, {name: partial(stage.panel, judge) for name, judge in panels.items()})

    headers, rows = table(report.sections[0])

    assert headers == ["", "one", "two"]
    assert rows[-2][:2] == ["difference", "(baseline)"]
    assert set(compare(report.sections[0])) == {"somewhere/runs/two/model"}
    assert "'one'" in notes(report)[-1]
    assert document(report)["levels"][0]["against"] == "somewhere/runs/one/model"


def test_the_document_can_be_tested_again(report: Any) -> None:
    found = json.loads(json.dumps(document(report), allow_nan=False))
    assert (found["task"], found["split"], found["seed"]) == ("grounded-qa", "validation", 3)
    (level,) = found["levels"]
    assert level["n"] == len(level["examples"]) == 12
    scores = {
        name: [example["results"][name]["score"] == 1 for example in level["examples"]]
        for name in level["panels"]
    }
    again = mcnemar(scores["quiet"], scores[level["against"]])
    told = level["comparisons"]["quiet"]["test"]
    assert told == {"wins": again.wins, "losses": again.losses, "p_value": again.p_value}
    share = sum(scores["quiet"]) / 12
    assert level["panels"]["quiet"]["figures"]["score"]["value"] == pytest.approx(share)
    assert len({example["id"] for example in level["examples"]}) == 12


def test_a_difference_is_the_first_minus_the_baseline(stage: Any) -> None:
    def made(name: str, flags: list[bool]) -> Any:
        questions = stage.questions.questions
        outcomes = [
            type("Outcome", (), {"id": question.id, "score": float(flag)})()
            for question, flag in zip(questions, flags, strict=True)
        ]
        return column(name, stage.panel(stage.judge()), {}, outcomes, 0.0)

    columns = (made("mine", [True, True, False]), made(BASELINE, [False, True, False]))
    section = Section(level="G3", examples=stage.questions.questions, columns=columns)
    found = compare(section)["mine"]
    assert found.difference is not None
    assert found.difference.value == pytest.approx(1 / 3)
    assert (found.test.wins, found.test.losses) == (1, 0)


def test_figures_are_written_with_their_interval() -> None:
    assert estimate_text(Estimate(value=0.71, low=0.641, high=0.768, n=9)) == "0.710 [0.64, 0.77]"
    assert estimate_text(Estimate(value=0.1234, low=None, high=None, n=9)) == "0.123"
    signed = estimate_text(Estimate(value=0.05, low=-0.011, high=0.1, n=9), signed=True)
    assert signed == "+0.050 [-0.01, +0.10]"
    assert estimate_text(None) == "–"


@pytest.mark.parametrize(
    ("names", "heads"),
    [
        (["runs/a/model", "runs/b/model", "rules"], ["runs/a/model", "runs/b/model", "rules"]),
        (["/home/me/runs/a/model", "/home/me/runs/b/model", "rules"], ["a", "b", "rules"]),
        (["/home/me/runs/a/x/model", "/home/me/runs/b/x/model"], ["a", "b"]),
        (["model", "/home/me/of/mine/model"], ["model", "/home/me/of/mine/model"]),
    ],
)
def test_columns_of_paths_that_end_alike_are_told_apart(names: list[str], heads: list[str]) -> None:
    assert headings(names) == heads


def test_long_names_are_cut_to_their_end() -> None:
    assert shortened("bundled") == "bundled"
    assert shortened("models/a/b/checkpoint-300") == "checkpoint-300"
    assert len(shortened("x" * 50)) == NAME_WIDTH
