"""Which ids are allowed now."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avalan.model.decode.constraint import SpanConstraint, is_nothing, restrict

END = 9
SOURCES = st.lists(st.lists(st.integers(0, 4), max_size=8), max_size=3)


def following(sources: list[list[int]], piece: list[int]) -> set[int]:
    """By brute force: what comes after `piece` somewhere in the sources."""
    size = len(piece)
    return {
        source[i + size]
        for source in sources
        for i in range(len(source) - size)
        if source[i : i + size] == piece
    }


@given(sources=SOURCES, data=st.data())
def test_allowed_tokens_are_those_that_continue_a_piece_of_a_source(
    sources: list[list[int]], data: st.DataObject
) -> None:
    constraint = SpanConstraint(sources, end_ids=[END])
    generated: list[int] = []
    for _ in range(5):
        allowed = constraint.allowed(generated)
        assert allowed is not None
        ends = {END} if generated else set()
        assert set(allowed.tolist()) == following(sources, generated) | ends
        choices = sorted(following(sources, generated))
        if not choices:
            break
        generated.append(data.draw(st.sampled_from(choices)))


@given(sources=SOURCES, pieces=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4))
def test_answer_depends_only_on_what_is_asked(
    sources: list[list[int]], pieces: list[list[int]]
) -> None:
    constraint = SpanConstraint(sources, end_ids=[END])
    for piece in pieces:
        fresh = SpanConstraint(sources, end_ids=[END]).allowed(piece)
        np.testing.assert_array_equal(fresh, constraint.allowed(piece))


@given(sources=SOURCES, piece=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_places_are_every_occurrence(sources: list[list[int]], piece: list[int]) -> None:
    size = len(piece)
    expected = [
        (number, i, i + size)
        for number, source in enumerate(sources)
        for i in range(len(source) - size + 1)
        if source[i : i + size] == piece
    ]

    assert SpanConstraint(sources, end_ids=()).places(piece) == expected


def test_piece_may_not_end_before_it_begins() -> None:
    allowed = SpanConstraint([[1, 2]], end_ids=[END]).allowed([])

    assert allowed is not None
    assert allowed.tolist() == [1, 2]


def test_piece_does_not_run_from_one_source_into_the_next() -> None:
    allowed = SpanConstraint([[1, 2], [3]], end_ids=[END]).allowed([1, 2])

    assert allowed is not None
    assert allowed.tolist() == [END]


def test_no_sources_allow_nothing() -> None:
    assert is_nothing(SpanConstraint([], end_ids=[END]).allowed([]))


def test_mask_lets_out_what_it_does_not_allow() -> None:
    logits = np.array([1, 2, 3, 4], np.float32)
    allowed = np.array([True, False, True, False])

    np.testing.assert_array_equal([1, -np.inf, 3, -np.inf], restrict(logits, allowed))
    assert not is_nothing(allowed)
    assert is_nothing(np.zeros(4, np.bool_))
    np.testing.assert_array_equal(logits, restrict(logits, None))
    assert not is_nothing(None)
