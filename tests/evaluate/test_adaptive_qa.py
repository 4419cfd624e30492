"""The task adaptive-qa: three ways to answer a question, and what deciding between them gains."""

from dataclasses import replace
from typing import Any

import pytest

from avalan.evaluate.adaptive_qa import FIGURES, Weighed, answer, mixed, summarise
from avalan.evaluate.grounded import indexed
from avalan.reflection.judge import Draft


def weighed(name: int, probability: float, never: float, always: float) -> Weighed:
    retrieved = probability >= 0.5
    return Weighed(
        id=f"q{name}",
        probability=probability,
        retrieved=retrieved,
        never=never,
        always=always,
        score=always if retrieved else never,
        rules=0.5,
        router=-probability,
    )


def test_the_figures_by_hand(stage: Any) -> None:
    asked = mixed(stage.questions, split="validation", seed=0).questions[:4]
    found = summarise(
        asked,
        [
            weighed(0, 0.9, 0.0, 1.0),
            weighed(1, 0.8, 0.0, 1.0),
            weighed(2, 0.6, 1.0, 0.0),
            weighed(3, 0.1, 1.0, 0.0),
        ],
    )
    values = {name: each and each.value for name, each in found.items()}
    assert values == {
        "score": 0.75,
        "never": 0.5,
        "always": 0.5,
        # Three of four are looked up: ¾ · ½ + ¼ · ½.
        "at random": 0.5,
        "oracle": 1.0,
        "looked up": 0.75,
        # Never looking up is as good as always, so that every call can be saved.
        "savings": 1.0,
        "above rules": 0.0,
        "above router": 0.0,
        # None of them needs a look-up for what the rules' and the router's scores come to.
        "spared, rules": 0.0,
        "spared, router": 0.0,
        "oracle gap": 0.5,
    }
    assert set(summarise([], []).values()) == {None}


def test_gates_are_compared_on_the_same_answers(stage: Any) -> None:
    asked = mixed(stage.questions, split="validation", seed=0).questions[:4]
    # What documents know and what memory knows, two of each; the panel tells them apart.
    rows = [
        weighed(0, 0.9, 0.0, 1.0),
        weighed(1, 0.8, 0.0, 1.0),
        weighed(2, 0.2, 1.0, 1.0),
        weighed(3, 0.1, 1.0, 1.0),
    ]
    found = summarise(asked, rows)
    assert found["savings"].value == 0.5
    # The rules' score is one for all, and the router's puts all in the wrong order.
    assert found["above rules"].value == found["above router"].value == 0.5
    ahead = [replace(row, router=row.probability) for row in rows]
    assert summarise(asked, ahead)["above router"].value == 0.0


def test_half_of_the_questions_are_known_by_heart(stage: Any) -> None:
    found = mixed(stage.questions, split="validation", seed=0)
    num = len(stage.questions.questions)
    assert found.questions[:num] == stage.questions.questions
    assert len(found.questions) == 2 * num
    assert len({each.group for each in found.questions[num:]}) == num
    assert all(
        each.answerable and each.page.startswith("by-heart-") for each in found.questions[num:]
    )
    assert found == mixed(stage.questions, split="validation", seed=0)


def test_a_panel_that_decides_well_gains_what_there_is(stage: Any) -> None:
    asked = mixed(stage.questions, split="validation", seed=0)
    num = len(stage.questions.questions)
    known = {each.text: each.answers[0] for each in asked.questions[num:]}

    def remember(question: str) -> Draft | None:
        sure = question in known
        return Draft(text=known.get(question, "?"), confidence=float(sure), features={"a": 1.0})

    def read(question: str, text: str) -> tuple[int, int] | None:
        return None if question in known else stage.oracle(question, text)

    judge = stage.judge(read, need=lambda text: 0.1 if text in known else 0.9, draft=remember)
    with indexed(asked) as index:
        outcomes = list(answer(stage.panel(judge), index, asked.questions, top_k=5))
    found = summarise(asked.questions, outcomes)
    values = {name: each and each.value for name, each in found.items()}
    # Two of six are about documents, one about nothing: without a look-up, three and silence.
    assert values["never"] == pytest.approx(4 / 6)
    assert values["score"] == values["oracle"] == 1.0
    assert values["looked up"] == 0.5
    assert list(values) == list(FIGURES)
