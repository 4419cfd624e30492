"""Wrapped lines: whole words, every word, no line too long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.cli.console import cell_width, neutralise
from avalan.cli.display.layout import LEAST_BESIDE, Piece, fold, hang, wrap

# Words of all kinds but wide scripts, which break between any two characters.
LETTERS = st.characters(max_codepoint=0x2FF, exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"])
WORDS = st.lists(st.text(LETTERS, min_size=1, max_size=30), min_size=1, max_size=20)
STYLES = st.sampled_from(["", "bold", "dim"])
PARTS = st.lists(st.tuples(st.text(max_size=40), STYLES), max_size=5)
WIDTHS = st.integers(20, 100)


def texts(lines: list[list[Piece]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def split_by_column(words: list[str]) -> list[tuple[str, str]]:
    """The words in pieces of three characters, so that styles change inside words."""
    text = " ".join(words)
    return [(text[start : start + 3], "bold" * (start % 2)) for start in range(0, len(text), 3)]


@given(WORDS, WIDTHS)
def test_no_word_that_fits_on_a_line_is_ever_split(words: list[str], width: int) -> None:
    lines = texts(wrap(split_by_column(words), width))
    shown = " ".join(lines).split()
    assert all(word in shown for word in words if cell_width(word) <= width)
    assert "".join(shown) == "".join(words)
    assert all(cell_width(line) <= width for line in lines)


@given(WORDS, WIDTHS)
def test_uncut_no_word_is_split_at_all(words: list[str], width: int) -> None:
    assert " ".join(texts(wrap([" ".join(words)], width, cut=False))).split() == words


def test_uncut_a_word_that_fits_nowhere_begins_where_it_stands() -> None:
    assert texts(wrap(["[1] " + "x" * 30 + " end"], 20, cut=False)) == ["[1] " + "x" * 30, "end"]


def test_spaces_that_do_not_break_hold_a_number_together() -> None:
    assert texts(wrap(["seventeen columns: 12\u202f345 kB\xa0x"], 24)) == [
        "seventeen columns:",
        "12\u202f345 kB\xa0x",
    ]


@given(PARTS, WIDTHS, st.integers(0, 40), st.booleans())
def test_a_hanging_line_loses_nothing(
    parts: list[tuple[str, str]], width: int, indent: int, cut: bool
) -> None:
    shown = "".join(texts(hang(("label:", "dim"), parts, width, indent=indent, cut=cut)))
    whole = "label:" + "".join(neutralise(text) for text, _ in parts)
    assert "".join(shown.split()) == "".join(whole.split())


@given(WORDS, WIDTHS, st.integers(6, 40))
def test_a_hanging_line_fits_and_keeps_whole_what_fits_below_its_label(
    words: list[str], width: int, indent: int
) -> None:
    lines = texts(hang(f"{'label':<{indent}}", [" ".join(words)], width, indent=indent))
    assert all(cell_width(line) <= width for line in lines)
    room = width - indent if width - indent >= LEAST_BESIDE else width - 2
    shown = " ".join(lines).split()
    assert all(word in shown for word in words if cell_width(word) <= room)


def test_words_go_beside_their_label_or_below_it() -> None:
    text = "three and twenty words or so"
    assert texts(hang("label   ", [text], 80, indent=8)) == ["label   three and twenty words or so"]
    assert texts(hang("label   ", [text * 2], 40, indent=8)) == [
        "label   three and twenty words or",
        "        sothree and twenty words or so",
    ]
    assert texts(hang("label   ", [text], 30, indent=8)) == [
        "label",
        "  three and twenty words or so",
    ]
    assert texts(hang(" " * 8, [text], 20, indent=8, margin=4)) == [
        "    three and twenty",
        "    words or so",
    ]


def test_what_fits_is_left_as_it_is_space_for_space() -> None:
    assert texts(hang("a  ", ["b   c"], 20, indent=1)) == ["a  b   c"]
    assert fold(["a   b\n\n  c"], 20) == [("a   b", ""), ("\n", ""), ("\n", ""), ("  c", "")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two three four five", "one two three four\nfive"),
        ("  one two three four five", "  one two three four\n  five"),
        ("a\n" + "b" * 25 + " c", "a\n" + "b" * 25 + "\nc"),
        (" " * 15 + "one two", " " * 15 + "one\n" + " " * 6 + "two"),
    ],
)
def test_a_text_is_folded_line_by_line_under_its_indentation(text: str, shown: str) -> None:
    assert "".join(piece for piece, _ in fold([text], 20)) == shown


@given(PARTS, WIDTHS)
def test_a_folded_text_loses_nothing_and_its_words_stay_whole(
    parts: list[tuple[str, str]], width: int
) -> None:
    whole = "".join(neutralise(text) for text, _ in parts)
    shown = "".join(text for text, _ in fold(parts, width))
    if not re.search("[\u1100-\U0010ffff]", whole):
        assert shown.split() == whole.split()
    assert "".join(shown.split()) == "".join(whole.split())


@given(WORDS, WIDTHS)
def test_a_folded_line_is_too_long_only_where_a_word_is(words: list[str], width: int) -> None:
    shown = "".join(text for text, _ in fold([" ".join(words)], width))
    for line in shown.split("\n"):
        assert cell_width(line) <= width or any(cell_width(w) > width for w in line.split())
