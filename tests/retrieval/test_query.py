"""Queries: which words are looked for, and that no text is search syntax."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval.query import MAX_TERMS, any_of, terms, words


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long may a file name be?", ["long", "may", "file", "name"]),
        ("What is it?", ["what", "is", "it"]),
        ("str.format and str.format_map", ["str", "format", "map"]),
        ("Don't I pay £27?", ["pay", "27"]),
        ("Où est l'Été?", ["où", "est", "l", "été"]),
        ("?!", []),
        ("", []),
    ],
)
def test_terms(question: str, expected: list[str]) -> None:
    assert terms(question) == expected


def test_a_long_question_is_cut() -> None:
    assert terms(" ".join(f"w{n}" for n in range(1000))) == [f"w{n}" for n in range(MAX_TERMS)]


FULL_TEXT = sqlite3.connect(":memory:", check_same_thread=False)
FULL_TEXT.execute("CREATE VIRTUAL TABLE t USING fts5(a, tokenize = 'porter unicode61')")
FULL_TEXT.execute("INSERT INTO t VALUES ('alpha beta')")
SYNTAX = st.sampled_from(['"', "'", "*", "(", ")", "AND", "OR", "NOT", "NEAR(", "^", ":", "+", "-"])
WORDS = st.sampled_from(["alpha", "a:", "t", "\0", "\ud800", "--", "; DROP TABLE t", "{a}", " "])


@given(st.lists(SYNTAX | WORDS | st.text(), max_size=8).map(" ".join))
def test_any_question_is_a_valid_search_for_its_words(question: str) -> None:
    sought = any_of(words(question))
    if sought:
        sql = "SELECT count(*) FROM t WHERE t MATCH ?"
        (count,) = FULL_TEXT.execute(sql, (sought,)).fetchone()
        assert count == bool({"alpha", "beta"} & set(terms(question)))
