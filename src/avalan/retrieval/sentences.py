"""Where sentences end: list items and other lines of their own are sentences, too."""

import re
from collections.abc import Iterator
from typing import NamedTuple

ITEM, SENTENCE = 0.05, 0.15
"""What a cut costs there, in units of a chunk that is empty; between paragraphs it is free."""
NEWLINE = r"(?:\r\n|\r(?!\n)|\n)"
_BOUNDARY = re.compile(
    rf"""
      [.!?…]["'”’»)\]*_`]*(?P<gap>\s+)
    | (?P<wide>[。！？]["'”’」』）]*)
    | (?P<blank>{NEWLINE}[^\S\r\n]*{NEWLINE}\s*)
    | (?P<line>{NEWLINE}[^\S\r\n]*)(?=(?:[-*+•]|\d{{1,3}}[.)]|[A-Za-z]\))\s|\|)
    """,
    re.VERBOSE,
)
_BLANK = re.compile(rf"{NEWLINE}[^\S\r\n]*{NEWLINE}")
_ITEM_START = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|[A-Za-z]\))\s|\|")
_LAST_WORD = re.compile(r"(?:^|[\s(\[\"'“‘])([^\s(\[\"'“‘]+)\Z")
_NUMBERING = re.compile(r"(?:[A-Z]\.)?\d+(?:\.\d+)*")
"""Of an item or a section, without its last full stop: 3, 5.1, D.3.4"""
_MARKS_OF_ITEM = ("", "-", "*", "+", "•", "–")
_NO_SENTENCE_END = """
mr mrs ms dr prof st sr jr vs e.g i.e cf fig figs sec eq vol pp ed approx dept a.m p.m u.s u.k ph.d
"""
_ABBREVIATIONS = frozenset(_NO_SENTENCE_END.split())


class Piece(NamedTuple):
    """A part that is never divided; `cut` is what it costs to begin a chunk with it."""

    start: int
    end: int
    cut: float


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences, list items and other lines of their own, in characters."""
    return [(piece.start, piece.end) for piece in sentence_pieces(text, 0, len(text))]


def around(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The sentences of `text` that `span` lies in, as one span."""
    touched = [each for each in sentences(text) if each[0] < span[1] and each[1] > span[0]]
    return min(start for start, _ in [span, *touched]), max(end for _, end in [span, *touched])


def sentence_pieces(text: str, start: int, end: int) -> Iterator[Piece]:
    """The sentences of `text[start:end]`, with what it costs to cut before each."""
    start, end = trimmed(text, start, end)
    cut = 0.0
    for match in _BOUNDARY.finditer(text, start, end):
        gap = match.span(match.lastgroup or 0)
        if match.lastgroup == "wide":
            gap = (match.end(), match.end())
        if gap[1] >= end or not _is_boundary(text, match, start):
            continue
        yield Piece(start, gap[0], cut)
        start, cut = gap[1], _cost(text, *gap)
    if start < end:
        yield Piece(start, end, cut)


def _is_boundary(text: str, match: re.Match[str], start: int) -> bool:
    """Whether a match ends a sentence, and not an abbreviation, an initial or a list number."""
    if match.lastgroup != "gap" or _BLANK.search(match["gap"]):
        return True
    if _ITEM_START.match(text, match.end()) and "\n" in match["gap"]:
        return True
    if text[match.end()].islower():
        return False
    if match[0][0] != ".":
        return True
    word = _LAST_WORD.search(text[max(start, match.start() - 12) : match.start()])
    if word is None:
        return True
    last = word[1]
    before = text[start : match.start() - len(last)].strip()
    is_numbering = before in _MARKS_OF_ITEM and _NUMBERING.fullmatch(last) is not None
    is_initial = len(last) == 1 and last.isupper()
    return not (is_numbering or is_initial or last.lower() in _ABBREVIATIONS)


def _cost(text: str, gap_start: int, gap_end: int) -> float:
    gap = text[gap_start:gap_end]
    if _BLANK.search(gap):
        return 0.0
    has_newline = "\n" in gap or "\r" in gap
    return ITEM if has_newline and _ITEM_START.match(text, gap_end) else SENTENCE


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends; empty at `end` where there is nothing else."""
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return start, end
