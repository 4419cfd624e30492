"""Cloze records: a question made from a sentence, and the part of it that was left out."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data import cloze
from avalan.data.cloze import cloze_record, sentences
from avalan.data.reading import ABSTENTION
from avalan.data.worlds import Level
from avalan.reflection.record import Record

SEEDS = st.integers(0, 2**32 - 1)
LEVELS = st.sampled_from(("train", "G0", "G1", "G2"))


def made(seed: int, level: Level = "train") -> Record:
    return cloze_record(Random(seed), level, identifier="x", split="train")


RECORDS = [made(seed) for seed in range(1000)]


@given(seed=SEEDS, level=LEVELS)
def test_an_answer_is_a_span_inside_one_sentence_of_the_cited_passage(
    seed: int, level: Level
) -> None:
    record = made(seed, level)
    (segment,) = record.segments
    (passage,) = segment.passages
    if segment.span is None:
        return
    start, end = segment.span
    assert passage.text[start:end] == segment.text == record.answers[0]
    assert segment.text.strip() == segment.text != ""
    assert segment.cite == (passage.pid,)
    assert any(a <= start and end <= b for a, b in sentences(passage.text))


@given(seed=SEEDS)
def test_an_answer_is_at_most_eight_words_unless_it_is_a_facts_value(seed: int) -> None:
    (segment,) = made(seed).segments
    assert segment.span is None or len(segment.text.split()) <= 12


@given(seed=SEEDS)
def test_what_is_not_there_is_not_answered(seed: int) -> None:
    record = made(seed)
    (segment,) = record.segments
    found = segment.span is not None
    assert segment.passages[0].relevant == found
    assert (segment.support, record.utility) == (("full", 5) if found else (None, 1))
    assert found or (segment.text == ABSTENTION and record.answers == ())


def test_about_a_quarter_asks_for_what_another_passage_says() -> None:
    absent = sum(record.segments[0].span is None for record in RECORDS)
    assert 200 < absent < 300


def test_no_other_sentence_shares_as_many_words_with_the_question() -> None:
    # The promise is about the question before it is typed with slips and courtesies.
    for seed in range(300):
        page = cloze.worlds.passage(Random(seed), "train")
        gap = cloze._gap(page, Random(seed))
        if gap is None:
            continue
        asked = cloze._content(gap.question)
        shares = {(a, b): cloze._overlap(asked, page.text[a:b]) for a, b in sentences(page.text)}
        home = next((a, b) for a, b in shares if a <= gap.span[0] and gap.span[1] <= b)
        assert all(share < shares[home] for place, share in shares.items() if place != home)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("## Title\n\n- item one\n- item two", ["## Title", "- item one", "- item two"]),
        ("It costs 3.50 euros. Pay at 10.30 a.m.", ["It costs 3.50 euros.", "Pay at 10.30 a.m."]),
        ("no full stop", ["no full stop"]),
        ("", []),
        ("\n \n", []),
    ],
)
def test_sentences_end_at_marks_before_a_space_and_at_line_ends(
    text: str, found: list[str]
) -> None:
    assert [text[a:b] for a, b in sentences(text)] == found


@given(text=st.text(alphabet="ab .!?\n"))
def test_sentences_hold_all_that_is_not_white_once_and_in_order(text: str) -> None:
    places = list(sentences(text))
    assert "".join("".join(text[a:b].split()) for a, b in places) == "".join(text.split())
    assert all(b <= c for (_, b), (c, _) in pairwise(places))


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        ("because it rained", {"why"}),
        ("in the stairwell", {"where", "in what", "when"}),
        ("40 pages", {"how many", "how much", "when", "what", "which"}),
        ("Anna Costa", {"who", "which", "where", "what"}),
    ],
)
def test_the_question_word_follows_the_kind_of_the_answer(gap: str, words: set[str]) -> None:
    assert {cloze._question_word(gap, Random(seed)) for seed in range(200)} == words


@given(seed=SEEDS, level=LEVELS)
def test_the_seed_decides_the_record(seed: int, level: Level) -> None:
    assert made(seed, level) == made(seed, level)
