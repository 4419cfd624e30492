"""Look-up records: the value beside the key, or an honest abstention."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data.lookup import copy_record, drill_record, lookup_record
from avalan.data.reading import ABSTENTION
from avalan.reflection.record import Record

SEEDS = st.integers(0, 2**32 - 1)
KINDS = pytest.mark.parametrize("make", [lookup_record, drill_record])
Make = Callable[..., Record]


def made(make: Make, seed: int) -> Record:
    return make(Random(seed), identifier="x", split="train")


@KINDS
@given(seed=SEEDS)
def test_the_answer_stands_right_after_the_key_that_is_asked_for(make: Make, seed: int) -> None:
    record = made(make, seed)
    (segment,) = record.segments
    (passage,) = segment.passages
    if segment.span is None:
        return
    start, end = segment.span
    assert passage.text[start:end] == segment.text
    line = passage.text[:start]
    # Key, then joint: the key is in the question and next to the value.
    question = record.messages[0].content
    joints = (": ", " = ", " -> ", " - ", "\t", " is ", " means ", " | ")
    keys = [line.removesuffix(joint) for joint in joints if line.endswith(joint)]
    assert any(key[-length:] in question for key in keys for length in (2, 1) if key)


@KINDS
@given(seed=SEEDS)
def test_what_is_not_there_is_not_answered(make: Make, seed: int) -> None:
    record = made(make, seed)
    (segment,) = record.segments
    found = segment.span is not None
    assert segment.decision == "retrieve"
    assert segment.passages[0].relevant == found
    assert (segment.support, record.utility) == (("full", 5) if found else (None, 1))
    assert found or segment.text == ABSTENTION


@KINDS
def test_about_a_quarter_asks_for_an_absent_key(make: Make) -> None:
    absent = sum(made(make, seed).segments[0].span is None for seed in range(1000))
    assert 200 < absent < 300


def test_a_drill_is_small_and_asked_by_the_key_alone() -> None:
    for seed in range(100):
        record = made(drill_record, seed)
        assert len(record.segments[0].passages[0].text) < 200
        assert len(record.messages[0].content.split()) == 1


@KINDS
@given(seed=SEEDS)
def test_the_seed_decides_the_record(make: Make, seed: int) -> None:
    assert made(make, seed) == made(make, seed)


@given(seed=SEEDS)
def test_a_copy_goes_to_the_end_from_the_beginning_or_from_after_the_word_asked_for(
    seed: int,
) -> None:
    record = made(copy_record, seed)
    (segment,) = record.segments
    (passage,) = segment.passages
    assert segment.span is not None
    start, end = segment.span
    assert passage.text[start:end] == segment.text
    assert end == len(passage.text)
    if start > 0:
        before = passage.text[:start].rstrip(" ,;\n")
        keys = {
            word
            for frame in ("Go on after ", "What follows ", "all after ", "after ", "")
            for word in [record.messages[0].content.removeprefix(frame).rstrip("?…").rstrip()]
            if before.endswith(word) and passage.text.count(word) == 1
        }
        assert keys


def test_half_of_the_copies_begin_at_a_word() -> None:
    from_a_word = sum(made(copy_record, seed).segments[0].span[0] > 0 for seed in range(1000))
    # The other half repeats the whole; a few words stand twice in their string.
    assert 380 < from_a_word < 520
