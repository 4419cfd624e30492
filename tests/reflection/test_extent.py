"""How much of a sentence is quoted."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.extent import MOST_WORDS, is_whole_better, lost


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
