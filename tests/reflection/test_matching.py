"""Matching of answers, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.matching import (
    best,
    contains,
    exact_match,
    normalise,
    standing,
    token_f1,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Beatles!", "beatles"),
        ("an apple, a day", "apple day"),
        ("theatre", "theatre"),
        ("“Six” o’clock—sharp", "six oclocksharp"),
        ("  A ", ""),
        ("$5.00", "500"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [("The mill.", "mill", 1), ("Mill", "the mill", 1), ("mills", "mill", 0), ("", "", 1)],
)
def test_exact_match(answer: str, gold: str, expected: float) -> None:
    assert exact_match(answer, gold) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("behind the old mill, it says", "old mill", 1),
        ("behind the old windmill", "mill", 0),
        ("mill old", "old mill", 0),
        ("six", "six in the evening", 0),
        ("anything", "", 0),
        ("anything", "the", 0),
        ("", "the", 0),
    ],
)
def test_containment_is_of_whole_words_in_order(answer: str, gold: str, expected: float) -> None:
    assert contains(answer, gold) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("six in the evening", "six in the evening", 1),
        ("at six in evening", "six in the morning", 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)),
        ("six", "seven", 0),
        # One "to" is shared, however often it is said.
        ("to to to", "to be", 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),
        ("", "seven", 0),
    ],
)
def test_token_f1(answer: str, gold: str, expected: float) -> None:
    assert token_f1(answer, gold) == pytest.approx(expected)


WORDS = st.lists(st.sampled_from(["red", "blue", "six", "the", "Mill."])).map(" ".join)


@given(WORDS, WORDS)
def test_scores_are_symmetric_where_they_should_be_and_agree(one: str, other: str) -> None:
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))
    assert exact_match(one, other) == exact_match(other, one)
    if exact_match(one, other) and normalise(one):
        assert token_f1(one, other) == contains(one, other) == 1


def test_the_best_gold_answer_counts() -> None:
    assert best(exact_match, "two", ["one", "Two!"]) == 1
    assert best(token_f1, "two", []) == 0


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("4", "VX-410 needs 4 of 24, 4", [13, 22]),
        ("(pink halo)", "spoiled(pink halo)s", [7]),
        ("7.30", "17.30 or 7.30–16", [9]),
        ("été", "L'été; étés", [2]),
        ("", "anything", []),
    ],
)
def test_a_phrase_stands_as_whole_words(phrase: str, text: str, found: list[int]) -> None:
    assert [start for start, _ in standing(phrase, text)] == found
    assert all(text[slice(*span)] == phrase for span in standing(phrase, text))
