"""A model's gate: several signs, one probability, kept between two questions."""

from dataclasses import replace
from pathlib import Path

import pytest

from avalan.errors import StateError
from avalan.reflection import gates
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.gates import CombinedGate, FittedGate
from avalan.reflection.language import LANGUAGES, language_of

from .conftest import ToldJudge

FITTED = FittedGate(
    model="org/model",
    signs=("token", "length"),
    calibrator=Calibrator(weights={"token_logit": 1.0, "words": 0.5}, bias=-1.0),
    languages={"de": Calibrator(weights={"combined_logit": 2.0}, bias=0.0)},
    threshold=0.4,
    fitted_on={"n": 3},
)
SIGNS = {
    "token": lambda question: {"token_logit": 2.0},
    "length": lambda question: {"words": float(len(question.split()))},
    "unused": lambda question: {"words": 1e9},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path))
    return tmp_path


def test_the_signs_are_weighed_and_scaled_for_the_language() -> None:
    gate = CombinedGate(ToldJudge(), FITTED, SIGNS)
    # Of two words: 2 + 1 - 1 = 2, of which the odds are e².
    assert gate.need("hello world") == pytest.approx(1 / (1 + 2.718281828**-2))
    assert gate.features == {"token_logit": 2.0, "words": 2.0}
    # In German, twice that logit: 2 · (2 + 1.5 - 1).
    assert gate.need("wo ist das") == pytest.approx(1 / (1 + 2.718281828**-5))


def test_in_the_middle_of_an_answer_the_judge_decides() -> None:
    judge = ToldJudge(need=0.3)
    assert CombinedGate(judge, FITTED, SIGNS).need("hello world", "At six.") == 0.3
    assert judge.asked == ["need after At six."]


def test_a_gate_is_kept_for_its_model_alone() -> None:
    assert gates.saved("org/model") is None
    path = gates.save(FITTED)
    assert gates.saved("org/model") == FITTED
    assert gates.saved("org-model") is None
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    gates.save(replace(FITTED, threshold=0.7))
    found = gates.saved("org/model")
    assert found is not None
    assert found.threshold == 0.7


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": "m", "signs": 3}', "\x00"])
def test_a_broken_file_is_named(content: str) -> None:
    path = gates.save(FITTED)
    path.write_text(content)
    with pytest.raises(StateError, match=r"remove the file, or fit it again") as told:
        gates.saved("org/model")
    assert str(path) in str(told.value)


@pytest.mark.parametrize("name", ["/models/a model", "ai://local/x:8080", "…", "a" * 300])
def test_any_name_makes_a_file_of_its_own(name: str) -> None:
    gates.save(replace(FITTED, model=name))
    found = gates.saved(name)
    assert found is not None
    assert found.model == name


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of Sweden?", "en"),
        ("Wie lange ist die Garantie auf unsere Heizung?", "de"),
        ("Combien de jours de congé avons-nous dans notre contrat ?", "fr"),
        ("¿Cuánto cuesta el billete para los niños?", "es"),
        ("2 + 2", ""),
        ("Stockholm", ""),
        ("", ""),
    ],
)
def test_the_language_is_that_of_the_words_of_grammar(text: str, language: str) -> None:
    assert language_of(text) == language
    assert not language or language in LANGUAGES
