"""Where a question's words stand in a text, as the full-text search sees them: by their stems."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from avalan.retrieval import query
from avalan.retrieval.scripts import joined, spaced

# Of Unicode's private use area; a text that has one of its own is left unmarked.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"


def matches(question: str, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """For each text, the places of the question's words in it, in characters and in their order."""
    words = query.words(question)
    if not words:
        return [[] for _ in texts]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(text, "
            "tokenize = 'porter unicode61 remove_diacritics 2')"
        )
        rows = [(number, spaced(text)) for number, text in enumerate(texts, 1)]
        connection.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", rows)
        sql = "SELECT rowid, highlight(texts, 0, ?, ?) FROM texts WHERE texts MATCH ?"
        found = dict(connection.execute(sql, (_OPEN, _CLOSE, query.any_of(words))))
    return [_places(found.get(number, ""), text) for number, text in enumerate(texts, 1)]


def _places(marked: str, text: str) -> list[tuple[int, int]]:
    if _OPEN in text or _CLOSE in text:
        return []
    places: list[tuple[int, int]] = []
    position = start = 0
    for character in joined(marked):
        if character == _OPEN:
            start = position
        elif character == _CLOSE:
            places.append((start, position))
        else:
            position += 1
    return places
