"""How much of a sentence to quote: the words that answer, or all of it. Pure functions.

Where an encoder is unsure which words answer, or they are most of the sentence anyway, the whole
sentence says more and costs little. What it costs was fitted on validation data, by least squares
over the textbook, written pages, papers and Python's reference text: `scripts/extent.py`.

Who asks documentation of programs is answered with rules and conditions, which are sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import log

from avalan.reflection.judge import Reading
from avalan.reflection.rules import sentence_of
from avalan.retrieval.entities import Passage

MOST_WORDS = 40
"""A longer sentence is not quoted whole, …"""
MOST_TECHNICAL = 60
"""… nor is one of a program's documentation."""
MOST_LOST = 0.1
"""Of the words' F1. The least at which the F1 does not fall on any kind of page, on validation."""
MARKS_OF_CODE = 1.5
"""In a hundred words: .94 of Python's reference pages have more, .04 of the textbook's."""
MARKS_OF_REFERENCE = 3.0
"""From here on the reader, who was taught prose, points no better than shared words do: on
validation its F1 is .193, theirs .220 (n 125); between 1.5 and here .262 and .187 (n 56)."""

_CODE = re.compile(
    r"\b\w+\(\)|\b[a-z]\w*\.[a-z]\w+\("  # a call
    r"|\b[a-z]+_[a-z_]+\b|__\w+__|\b[a-z]+[A-Z]\w+"  # names that no one else makes
    r'|"[a-z_]+"|`[^`\n]+`'  # marked as one
    r"|>>> |::="
)


def lost(clarity: float, num_words: int, num_whole: int) -> float:
    """The words' F1 that is expected to be lost if the sentence is quoted whole.

    Args:
        clarity: how much the words are expected to have in common with the answer, 0 to 1.
        num_words: of the words that answer.
        num_whole: of the sentence.
    """
    return 0.328 * clarity + 0.165 * log(1 + num_whole) - 0.187 * log(1 + num_words) - 0.178


def is_whole_better(clarity: float, num_words: int, num_whole: int) -> bool:
    """Whether to quote the sentence."""
    return num_whole <= MOST_WORDS and lost(clarity, num_words, num_whole) < MOST_LOST


def marks_of_code(passages: Sequence[Passage]) -> float:
    """Names, calls and marks of code in a hundred words of what was found; 0 of nothing."""
    shares = [len(_CODE.findall(each.text)) / max(len(each.text.split()), 1) for each in passages]
    return 100 * sum(shares) / max(len(shares), 1)


def are_technical(passages: Sequence[Passage]) -> bool:
    """Whether what was found documents a program."""
    return marks_of_code(passages) > MARKS_OF_CODE


def are_reference(passages: Sequence[Passage]) -> bool:
    """Whether it is a program's reference text: mostly names and calls."""
    return marks_of_code(passages) >= MARKS_OF_REFERENCE


def widened(reading: Reading, passage: Passage) -> Reading:
    """The reading, with its quotation as long as its sentence, where that is of bearable length."""
    if reading.span is None:
        return reading
    start, end = sentence_of(passage.text, reading.span)
    bearable = len(passage.text[start:end].split()) <= MOST_TECHNICAL
    return replace(reading, span=(start, end)) if bearable else reading
