"""From a person's question to a search expression of SQLite's FTS5."""

import re
from collections.abc import Sequence
from unicodedata import normalize

from avalan.retrieval.scripts import phrases, without_vowel_signs

MAX_TERMS = 64

_WORD = re.compile(r"[^\W_]+")
# Words of grammar and of asking, which say nothing about where an answer stands.
_GRAMMAR = """
a about am an and any are as at be been but by can could did do does doing for from had happen
happens has have having he her hers him his how i if in into is it its just many me mean means much
my of on or our ours out please she should so some such tell than that the their theirs them then
there these they this those to too us was we were what when where which while who whom whose why
will with would you your yours s t d ll re ve m don
"""
_STOP_WORDS = frozenset(_GRAMMAR.split())


def terms(question: str) -> list[str]:
    """The words to look for, in their order and once each; stop words only if there is no other."""
    return (content_terms(question) or _words(question))[:MAX_TERMS]


def content_terms(question: str) -> list[str]:
    """The words that are no stop words; there may be none, as in "Who are you?"."""
    return [word for word in _words(question) if word not in _STOP_WORDS]


def _words(question: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(normalize("NFC", question).lower())))


def words(question: str) -> list[str]:
    """What a search by words looks for: the question's words; in some scripts, pairs of letters."""
    plain = terms(without_vowel_signs(question))
    return list(dict.fromkeys(phrase for word in plain for phrase in phrases(word)))[:MAX_TERMS]


def any_of(words: Sequence[str]) -> str:
    """Any of the words, each quoted, so that nothing in a question is search syntax.

    Source: https://www.sqlite.org/fts5.html, "Full-text Query Syntax".
    """
    return " OR ".join(f'"{word}"' for word in words)
