"""Any model as a judge: what it is asked, and what is made of its choices."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avalan.model.entities import Message, Usage
from avalan.model.load import open_model
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Reading
from avalan.reflection.word_judge import MAX_DRAFT_TOKENS, WordJudge
from avalan.retrieval.entities import Passage
from avalan.testing import CHAT_TEMPLATE, pico_speaker

QUESTION = "When are the beds watered?"
BEDS = "The house opens at seven. The beds are watered at six in the evening. Dogs stay outside."


def passage(text: str = BEDS, heading: str = "Garden") -> Passage:
    end = len(text.encode())
    return Passage(
        source="/a.md", start=0, end=end, text=text, heading=heading, lexical=3.0, offsets_in="file"
    )


class Choosing:
    """In place of the chooser: probable is what it is told, by the first option that fits."""

    way = "logits"

    def __init__(self, **shares: float) -> None:
        self._shares = shares
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def usage(self) -> Usage:
        return Usage()

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append((messages[-1].content, tuple(options)))
        told = np.array([self._shares.get(option, 0.0) for option in options])
        return np.asarray(told / told.sum(), np.float64)


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that always says the same."""
    return str(
        pico_speaker(
            tmp_path_factory.mktemp("speaker"),
            ["At", " six", "."],
            chat_template=CHAT_TEMPLATE,
            max_position_embeddings=4_096,
        )
    )


@pytest.fixture
def judge(speaker: str) -> Iterator[WordJudge]:
    with open_model(speaker) as model:
        yield WordJudge(model)


def told(judge: WordJudge, **shares: float) -> Choosing:
    chooser = Choosing(**shares)
    judge._chooser = chooser  # type: ignore[assignment]
    return chooser


def test_the_need_is_the_share_of_one_word(judge: WordJudge) -> None:
    chooser = told(judge, search=0.3, know=0.1)
    assert judge.need(QUESTION) == pytest.approx(0.75)
    ((asked, options),) = chooser.asked
    assert asked.endswith(f"Question:\n{QUESTION}")
    assert options == ("search", "know")


def test_a_calibrator_turns_the_share_into_a_probability(speaker: str) -> None:
    with open_model(speaker) as model:
        judge = WordJudge(
            model, need=Calibrator(weights={"log_for": 2.0, "log_against": 2.0}, bias=0.0)
        )
        told(judge, search=0.3, know=0.1)
        assert judge.need(QUESTION) == pytest.approx(9 / 10)


def test_a_passages_sentences_are_chosen_by_letter(judge: WordJudge) -> None:
    chooser = told(judge, A=0.1, B=0.6, C=0.1, none=0.2)
    reading = judge.read(QUESTION, passage())
    assert reading.span is not None
    assert BEDS[slice(*reading.span)] == "The beds are watered at six in the evening."
    assert [reading.confidence, reading.relevance] == pytest.approx([0.6, 0.8])
    assert reading.features == {
        "sentence_logit": pytest.approx(logit(0.6)),
        "relevance_logit": pytest.approx(logit(0.8)),
        "passage_bm25": 3.0,
    }
    ((asked, options),) = chooser.asked
    assert options == ("A", "B", "C", "none")
    assert "Garden\nA. The house opens at seven.\nB. The beds" in asked


def test_a_passage_of_very_many_sentences_is_read_as_far_as_there_are_letters(
    judge: WordJudge,
) -> None:
    chooser = told(judge, Z=0.6, none=0.4)
    text = " ".join(f"It is written that this is number {n}." for n in range(40))
    reading = judge.read(QUESTION, passage(text))
    assert reading.span is not None
    assert text[slice(*reading.span)] == "It is written that this is number 25."
    assert len(chooser.asked[0][1]) == 27


def test_a_passage_that_does_not_fit_is_read_as_far_as_it_does(tmp_path: Path) -> None:
    folder = pico_speaker(
        tmp_path, ["At"], chat_template=CHAT_TEMPLATE, max_position_embeddings=700
    )
    text = " ".join(f"It is written that this is number {n}." for n in range(40))
    with open_model(str(folder)) as model:
        judge = WordJudge(model)
        reading = judge.read(QUESTION, passage(text))
        assert reading.span is not None
        assert sum(judge.support("at six", passage(text), QUESTION)) == pytest.approx(1)
        chooser = told(judge, none=1.0)
        judge.read(QUESTION, passage(text))
    ((asked, options),) = chooser.asked
    assert 2 < len(options) < 27
    assert f"\n{options[-2]}. It is" in asked


def test_an_empty_passage_answers_nothing(judge: WordJudge) -> None:
    told(judge, none=1.0)
    reading = judge.read(QUESTION, passage(" ", heading=""))
    assert (reading.span, reading.confidence, reading.relevance) == (None, 0.0, 0.0)


def test_support_is_shared_among_four_words(judge: WordJudge) -> None:
    chooser = told(judge, fully=0.6, partly=0.2, opposite=0.1, silent=0.1)
    shares = judge.support("at six", passage(), QUESTION)
    assert shares == pytest.approx((0.6, 0.2, 0.1, 0.1))
    ((asked, _),) = chooser.asked
    assert f"Claim:\n{QUESTION} at six" in asked
    assert "Passage:\nGarden\n" in asked


def test_utility_is_the_expected_number(judge: WordJudge) -> None:
    told(judge, **{"2": 0.5, "5": 0.5})
    assert judge.utility(QUESTION, "at six", passage()) == pytest.approx(3.5)


def test_a_draft_is_what_the_model_says_with_its_log_probabilities(judge: WordJudge) -> None:
    told(judge, **{"2": 0.5, "5": 0.5})
    draft = judge.remember(QUESTION)
    assert draft is not None
    assert draft.text == "At six."
    assert draft.utility == 4  # round(3.5), to even
    lowest, mean = draft.features["lowest_logprob"], draft.features["mean_logprob"]
    assert lowest <= mean <= 0
    assert draft.confidence == pytest.approx(float(np.exp(lowest)))
    assert 0 < judge.usage().completion_tokens <= MAX_DRAFT_TOKENS


def test_who_tells_no_probabilities_remembers_nothing(judge: WordJudge) -> None:
    told(judge, **{"5": 1.0}).way = "grammar"
    assert judge.remember(QUESTION) is None


def test_a_real_model_judges_everything(pico_qwen_folder: Path) -> None:
    """A recurrent one with random weights: whatever it says, it is a judgement."""
    with open_model(str(pico_qwen_folder)) as model:
        judge = WordJudge(model)
        assert (judge.name, judge.way) == (str(pico_qwen_folder), "logits")
        assert 0 < judge.need(QUESTION) < 1
        reading = judge.read(QUESTION, passage("The beds are watered at six."))
        assert isinstance(reading, Reading)
        assert 0 < reading.confidence <= reading.relevance < 1
        assert sum(judge.support("At six.", passage("The beds."))) == pytest.approx(1)
        assert judge.usage().prompt_tokens > 0
