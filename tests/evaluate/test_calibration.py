"""Calibration as a whole: from judges to the file that panels read."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avalan import testing
from avalan.compress.export import export
from avalan.evaluate import calibration
from avalan.evaluate.calibration import Validation, calibrate
from avalan.evaluate.cases import Recalled
from avalan.evaluate.examples import (
    Page,
    Question,
    QuestionSet,
    house_questions,
    python_questions,
)
from avalan.evaluate.progress import Step
from avalan.model.entities import Message
from avalan.model.load import Model, open_model
from avalan.model.prompt import load_tokenizer
from avalan.reflection import panel as panels
from avalan.reflection import tokens
from avalan.reflection.judge import Draft, certain
from avalan.reflection.panel import PARTS
from avalan.reflection.rules import RulesJudge
from avalan.reflection.token_judge import TokenJudge
from avalan.reflection.tokens import reflection_ids

DATA = Path(__file__).parents[1] / "data"
BOOK = Path(__file__).parents[2] / "data" / "textbook"


@pytest.fixture
def few(stage: Any) -> Validation:
    recalled = [Recalled(text=f"taught {i}", answer="yes") for i in range(20)]
    recalled += [Recalled(text=f"unknown {i}", answer=None) for i in range(20)]
    return Validation(
        prompts=stage.prompts * 3,
        recalled=tuple(recalled),
        written=(stage.questions,),
        taught=stage.questions,
        made=stage.questions,
        technical=stage.questions,
        book=stage.book,
        data={"decisions.jsonl": "0" * 64},
        seed=0,
    )


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A random model with reflection tokens, in ONNX."""
    folder = testing.pico_llama(
        tmp_path_factory.mktemp("pico"), special_tokens=tokens.ALL, max_position_embeddings=512
    )
    made = export(folder, tmp_path_factory.mktemp("pico-onnx")).folder
    with open_model(str(made)) as model:
        yield model


def draft(question: str) -> Draft:
    """Sure of what was taught, unsure of the rest."""
    sure = 0.9 if question.startswith("taught") else 0.2
    return Draft(text="yes", confidence=sure, features={"sure": sure})


def test_a_judge_that_does_better_serves_every_part(stage: Any, few: Validation) -> None:
    judge = stage.judge(stage.oracle, need=lambda text: 0.8 if "news" in text else 0.1, draft=draft)
    rules = stage.judge(name="rules")
    rules.support = lambda answer, passage, question="": certain("partial")
    found = calibrate({"model": judge, "rules": rules}, few)
    assert found["default"] == {part: ["model", "rules"] for part in PARTS} | {
        "reference": ["rules"]
    }
    choices = found["fitted_on"]["choices"]
    assert choices["need"]["scores"]["model"] == 1.0 > choices["need"]["scores"]["rules"]
    assert choices["memory"] == {"chosen": "model", "num_given": 20, "num_right": 20}
    assert choices["abstention"]["scores"] == {"model": 1.0, "rules": pytest.approx(1 / 3)}
    # By hand: of two answers that are there, the whole gold answer is quoted each time.
    assert choices["span"]["scores"] == {"model": 1.0, "rules": 0.0}
    assert choices["span"]["better_by"] == [1.0, 1.0, 1.0]
    assert choices["relevance"]["scores"] == {"model": 1.0, "rules": 0.5}


def test_a_judge_that_does_no_better_serves_nothing(stage: Any, few: Validation) -> None:
    judge = stage.judge(draft=lambda text: Draft(text="no", confidence=0.5, features={"a": 1.0}))
    found = calibrate({"model": judge, "rules": stage.judge(name="rules")}, few)
    assert found["default"] == {part: ["rules"] for part in (*PARTS, "reference")}


def test_who_reads_reference_text_is_chosen_by_the_words_that_they_get_right(
    stage: Any, few: Validation
) -> None:
    text = 'The "close" method, or os.close(), ends it; see __exit__. It opens at nine.\n'
    page = Page(name="manual.txt", text=text)
    question = Question(
        id="q", text="What does close do?", answers=("ends it; see __exit__",), page=page.name
    )
    manual = replace(few, technical=QuestionSet(pages=(page,), questions=(question,)))
    first, second = stage.judge(lambda question, text: (0, 9)), stage.judge(name="rules")
    # The whole sentence is quoted, whichever word of it is pointed at.
    second.span = lambda question, text: (max(text.find("It opens"), 0), len(text) - 1)
    found = calibrate({"first": first, "rules": second}, manual)
    assert found["default"]["reference"] == ["first", "rules"]
    assert found["fitted_on"]["n"]["reference"] == 1
    scores = found["fitted_on"]["choices"]["reference"]["scores"]
    assert scores["first"] > scores["rules"]


def test_the_second_best_stands_in_for_the_best(stage: Any, few: Validation) -> None:
    half = stage.judge(lambda question, text: (0, len(text)) if "tea" in question else None)
    judges = {"half": half, "best": stage.judge(stage.oracle), "rules": stage.judge(name="rules")}
    found = calibrate(judges, few)
    assert found["default"]["span"] == ["best", "half", "rules"]


def test_rules_alone_serve_every_part(few: Validation) -> None:
    found = calibrate({"rules": RulesJudge()}, few)
    assert all(ranked == ["rules"] for ranked in found["default"].values())
    assert set(found["judges"]["rules"]) == {"need", "reading", "answer"}


def test_the_rules_gate_has_a_threshold_alone(few: Validation) -> None:
    found = calibrate({"rules": RulesJudge()}, few)
    assert set(found["judges"]["rules"]["need"]) == {"threshold"}


def test_the_note_says_what_it_was_fitted_on(few: Validation) -> None:
    steps: list[Step] = []
    note = calibrate({"rules": RulesJudge()}, few, top_k=3, tell=steps.append)["fitted_on"]
    assert (note["split"], note["seed"], note["top_k"]) == ("validation", 0, 3)
    assert note["n"] == {
        "need": 12, "memory": 40, "relevance": 6, "span": 2, "abstention": 6, "answer": 9,
        "sure": 6, "reference": 0,
        "support": 2,
    }  # fmt: skip
    assert note["data"] == {"decisions.jsonl": "0" * 64}
    parts = ["need", "memory", "reading", "span", "support"]
    assert [step.what for step in steps if step.done == step.num] == parts


def test_a_model_is_calibrated_from_its_tokens_and_panels_read_the_result(
    pico: Model, few: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(pico.folder)
    found = json.loads(json.dumps(calibrate({name: TokenJudge(pico), "rules": RulesJudge()}, few)))
    monkeypatch.setattr(panels, "calibration", lambda: found)
    with panels.open_panel(name) as panel:
        for part, fitted in found["judges"][name].items():
            named = "sure" if part == "answer" else part
            assert getattr(panel.thresholds, named) == fitted["threshold"]
        assert panel.need.need("news") != TokenJudge(pico).need("news")
    with panels.open_panel("rules") as rules:
        told = found["judges"]["rules"]
        assert rules.thresholds.reading == told["reading"]["threshold"]
        assert rules.thresholds.sure == told["answer"]["threshold"]


def test_a_draft_of_a_model_shows_the_scores_behind_it(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(testing.pico_tokenizer(tmp_path, special_tokens=tokens.ALL))
    said = [*tokenizer.encode("a fox"), reflection_ids(tokenizer.token_id).utility[4]]
    before = len(tokenizer.encode_chat([Message(role="user", content="Who?")]))
    script = testing.saying(said, after=before + 1, vocab_size=384)
    engine = testing.ScriptedEngine(script, vocab_size=384)
    found = TokenJudge(testing.scripted_model(tmp_path, engine)).remember("Who?")
    assert found is not None
    assert found.text == "a fox"
    # Each token has the logit 10, and the other 383 have 0.
    logprob = 10 - math.log(math.exp(10) + 383)
    assert found.features["mean_logprob"] == pytest.approx(logprob, abs=1e-5)
    assert found.features["lowest_logprob"] == pytest.approx(logprob, abs=1e-5)
    odds = np.array([1.0, 1.0, 1.0, 1.0, math.exp(10)])
    expected = (odds / odds.sum()) @ np.arange(1, 6)
    assert found.features["utility"] == pytest.approx(expected, abs=1e-4)


def test_validation_holds_nothing_of_the_test_split() -> None:
    data = calibration.validation(DATA, BOOK, seed=0)
    prompts = {
        row["id"]: row["split"]
        for path in (DATA / "decisions.jsonl", BOOK / "prompts.jsonl")
        for row in map(json.loads, path.read_text().splitlines())
    }
    assert {prompts[prompt.id] for prompt in data.prompts} == {"validation"}
    assert len(data.made.questions) == len(data.written[0].questions)
    splits = {
        row["id"]: row["split"]
        for path in (*(DATA / "g3").glob("*.questions.jsonl"), BOOK / "questions.jsonl")
        for row in map(json.loads, path.read_text().splitlines())
    }
    *others, papers = data.written
    asked_for = [question.id for each in others for question in each.questions]
    assert {splits[name] for name in asked_for} == {"validation"}
    assert papers == house_questions(DATA, "validation")
    assert data.technical == python_questions(DATA, "validation")
    assert {page.split for page in data.book.pages} == {"validation"}
    asked = {each.text for each in data.recalled}
    assert not asked & {
        row["prompt"]
        for row in map(json.loads, (DATA / "decisions.jsonl").read_text().splitlines())
        if row["split"] == "test"
    }
