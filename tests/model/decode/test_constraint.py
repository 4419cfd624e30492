"""Which ids are allowed next."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avalan.model.decode.constraint import allowed_in_span, restrict

END = 9
IDS = st.lists(st.integers(0, 4), max_size=8)


def following(source: list[int], span: list[int]) -> set[int]:
    """By brute force: what comes after `span` somewhere in the source."""
    size = len(span)
    starts = range(len(source) - size)
    return {source[i + size] for i in starts if source[i : i + size] == span}


@given(source=IDS, data=st.data())
def test_allowed_tokens_are_those_that_continue_a_piece_of_the_source(
    source: list[int], data: st.DataObject
) -> None:
    span: list[int] = []
    while choices := following(source, span):
        ends = {END} if span else set()
        assert set(allowed_in_span(source, span, [END]).tolist()) == choices | ends
        span.append(data.draw(st.sampled_from(sorted(choices))))


@given(source=IDS, span=IDS.filter(bool))
def test_what_is_no_piece_of_the_source_may_only_end(source: list[int], span: list[int]) -> None:
    expected = following(source, span) | {END}
    assert set(allowed_in_span(source, span, [END]).tolist()) == expected


def test_piece_may_not_end_before_it_begins() -> None:
    assert allowed_in_span([1, 2], [], [END]).tolist() == [1, 2]
    assert allowed_in_span([], [], [END]).tolist() == []


def test_what_is_not_allowed_is_impossible() -> None:
    logits = np.array([1, 2, 3, 4], np.float32)
    np.testing.assert_array_equal([1, -np.inf, 3, -np.inf], restrict(logits, np.array([0, 2])))
