"""How much of a sentence is quoted."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.extent import (
    MOST_TECHNICAL,
    MOST_WORDS,
    are_reference,
    are_technical,
    is_whole_better,
    lost,
    widened,
)
from avalan.reflection.judge import Reading
from avalan.retrieval.entities import Passage


def test_what_a_whole_sentence_costs_by_hand() -> None:
    # Two clear words of a sentence of nineteen.
    expected = 0.328 * 0.9 + 0.165 * log(20) - 0.187 * log(3) - 0.178
    assert lost(0.9, 2, 19) == pytest.approx(expected) == pytest.approx(0.406, abs=1e-3)


def test_clear_words_stand_alone_and_unclear_ones_in_their_sentence() -> None:
    assert not is_whole_better(0.9, 2, 19)
    assert is_whole_better(0.2, 8, 19)
    # Most of the sentence anyway.
    assert is_whole_better(0.6, 16, 19)
    assert not is_whole_better(0.0, MOST_WORDS, MOST_WORDS + 1)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 30), st.integers(0, 30))
def test_the_clearer_the_less_of_it(one: float, other: float, num_words: int, more: int) -> None:
    low, high = sorted([one, other])
    assert lost(low, num_words, num_words + more) <= lost(high, num_words, num_words + more)
    assert lost(low, num_words, num_words + more) <= lost(low, num_words, num_words + more + 1)
    assert is_whole_better(high, num_words, num_words + more) <= is_whole_better(
        low, num_words, num_words + more
    )


def passage(text: str) -> Passage:
    return Passage(source="a", start=0, end=len(text), text=text, heading="", offsets_in="file")


CODE = 'The "close" method, or os.close(), ends it; see also __exit__ and file_number.'
PROSE = (
    'She said "no," to the man_ of the house (twice). It was e.g. cold, and 3.5 degrees at noon.'
)


def test_documentation_of_programs_is_known_by_its_names() -> None:
    assert are_technical([passage(CODE)])
    assert not are_technical([passage(PROSE * 2)])
    assert not are_technical([])
    # It is the mean of all that was found that counts.
    assert not are_technical([passage("Four words of prose.")] * 40 + [passage(CODE)])
    assert are_technical([passage("Four words of prose.")] * 2 + [passage(CODE)])


def test_reference_text_is_mostly_names() -> None:
    assert are_reference([passage(CODE)])
    # One mark in thirty words or so.
    assert not are_reference([passage(f"{CODE} {'word ' * 200}")])
    assert not are_reference([])


def reading(span: tuple[int, int] | None) -> Reading:
    return Reading(relevance=1.0, span=span, confidence=0.5, features={"margin": 2.0})


def test_a_widened_quotation_is_its_sentence() -> None:
    text = "It opens. The file is closed at the end. Then it is gone."
    found = widened(reading((19, 25)), passage(text))
    assert found.span is not None
    assert text[slice(*found.span)] == "The file is closed at the end."
    assert (found.confidence, found.features) == (0.5, {"margin": 2.0})
    long = f"It {'very ' * MOST_TECHNICAL}closed."
    assert widened(reading((0, 2)), passage(long)).span == (0, 2)
    assert widened(reading(None), passage(text)).span is None
