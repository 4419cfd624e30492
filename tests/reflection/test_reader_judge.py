"""The reader as a judge: places count in the passage's own text, and probabilities are fitted."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avalan import testing
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.judge import END, NEED, NUM_HEADS, RELEVANCE, START, PairReader
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.reader_judge import ReaderJudge
from avalan.retrieval.entities import Passage


@pytest.fixture
def reader(tmp_path: Path) -> PairReader:
    """Points at every "mat", the last one most, and finds everything relevant."""
    tokenizer = read_tokenizer(testing.pico_bert(tmp_path))
    mat = tokenizer.token_to_id("mat")

    def run(
        ids: NDArray[np.int64], _mask: NDArray[np.int64], _kinds: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        logits = np.zeros((*ids.shape, NUM_HEADS), np.float32)
        logits[0, 0, RELEVANCE] = logits[0, 0, NEED] = np.log(3)
        for place in np.flatnonzero(ids[0] == mat):
            logits[0, place, START] = logits[0, place, END] = 9 + place / 100
        return logits

    return PairReader(tokenizer, run, longest=64)


def passage(text: str, heading: str = "") -> Passage:
    return Passage(
        source="a", start=0, end=len(text), text=text, heading=heading, offsets_in="file"
    )


@pytest.mark.parametrize("heading", ["", "the garden", "mat"])
def test_a_quote_stands_in_the_passage_whatever_its_heading(
    reader: PairReader, heading: str
) -> None:
    found = ReaderJudge(reader).read("where is the cat", passage("the cat sat on the mat", heading))
    assert found.span == (19, 22)
    assert found.relevance == pytest.approx(0.75)
    assert found.confidence > 0.95


@pytest.mark.parametrize(
    ("text", "is_number"),
    [("5.1. the cat", True), ("the cat\nD.3.4. the mat", True), ("5.1 the cat", False)],
)
def test_no_answer_is_the_number_of_a_section(tmp_path: Path, text: str, is_number: bool) -> None:
    tokenizer = read_tokenizer(testing.pico_bert(tmp_path))

    def first_of_the_page(
        ids: NDArray[np.int64], _mask: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        logits = np.zeros((*ids.shape, NUM_HEADS), np.float32)
        for place in np.flatnonzero(kinds[0])[:-1]:
            is_digit = not tokenizer.decode(ids[0, place : place + 1].tolist()).isalpha()
            logits[0, place, START] = logits[0, place, END] = 9 * is_digit
        return logits

    reader = PairReader(tokenizer, first_of_the_page, longest=64)
    span = ReaderJudge(reader).read("where is the cat", passage(text)).span
    assert span is not None
    assert text[slice(*span)][0].isdigit() != is_number


def test_where_the_words_are_unclear_the_sentence_is_quoted(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(testing.pico_bert(tmp_path))
    reader = PairReader(
        tokenizer, lambda ids, *_: np.zeros((*ids.shape, NUM_HEADS), np.float32), longest=64
    )
    text = "The cat sat on the mat. The mat looks at the garden."
    found = ReaderJudge(reader).read("where is the cat", passage(text))
    assert found.span is not None
    assert text[slice(*found.span)] == "The cat sat on the mat."
    assert found.signs["coverage"] == 1
    assert -2 < found.signs["focus"] < 0


def test_a_heading_is_not_quoted(reader: PairReader) -> None:
    text = "the mat at the garden"
    found = ReaderJudge(reader).read("where is the cat", passage(text, "the garden at the mat"))
    assert found.span is not None
    assert text[slice(*found.span)] == "mat"


def test_without_a_text_there_is_nothing_to_quote(reader: PairReader) -> None:
    found = ReaderJudge(reader).read("where is the cat", passage("", "mat"))
    assert (found.span, found.confidence, found.support) == (None, 0.0, None)
    assert all(map(math.isfinite, found.features.values()))


def test_calibrators_say_what_the_scores_mean(reader: PairReader) -> None:
    half = Calibrator(weights={}, bias=0.0)
    judge = ReaderJudge(reader, need=half, reading=half)
    assert judge.need("who are you") == 0.5
    assert judge.read("where", passage("the mat")).confidence == 0.5
    assert ReaderJudge(reader).need("who are you") == pytest.approx(0.75)
    assert judge.remember("who are you") is None


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("where is the cat", "the cat sat on the mat. " * 833),
        ("where is the cat", ""),
        ("where is the cat", "კატა ხალიჩაზე ზის და უყურებს ბაღს. " * 5),
        ("where is the cat", "猫坐在垫子上。" * 40),
        ("where is the cat", "| cat | mat |\n|-----|-----|\n" + "| 1 | 2 |\n" * 60),
        ("where is the cat " * 500, "the cat sat on the mat"),
        ("[SEP] [CLS] 🐈 \x00\u202e", "[MASK] the mat \ud83d".encode("utf-8", "replace").decode()),
    ],
)
def test_whatever_is_read_a_quote_stands_in_it_and_numbers_are_probabilities(
    reader: PairReader, question: str, text: str
) -> None:
    judge = ReaderJudge(reader)
    found = judge.read(question, passage(text, heading="the garden"))
    assert 0 <= found.relevance <= 1
    assert 0 <= found.confidence <= 1
    assert found.span is None or 0 <= found.span[0] < found.span[1] <= len(text)
    assert 0 <= judge.need(question) <= 1
    shares = judge.support(question, passage(text))
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0


def test_a_long_passage_is_read_to_its_end(reader: PairReader) -> None:
    text = "the garden looks at the cat. " * 600 + "it is on a mat"
    found = ReaderJudge(reader).read("where is the cat", passage(text))
    assert found.span is not None
    assert text[slice(*found.span)] == "mat"
