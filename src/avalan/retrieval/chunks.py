"""Split a text into chunks that can be read, ranked and cited alone.

A chunk is a span of its source, never a rewording: `source[chunk.start:chunk.end] == chunk.text`.
Headings separate chunks; below a heading, the cuts are those of least total cost, where a chunk
costs more the further its length is from the target, and a cut costs nothing between paragraphs,
a little between list items and sentences, and most inside a sentence. In code nothing separates:
definitions are only the cheapest places to cut, as the ends of records are in tables and logs.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from avalan.retrieval.formats import Cuts, csv
from avalan.retrieval.headings import Heading, Trail, follow, title

TARGET = 650
"""Characters a chunk should have: about 110 English words."""
MAX = 1000
"""Characters no chunk exceeds."""

_SMALL = 40
"""Characters below which a piece of a paragraph joins a neighbour: too little to decide about."""
_ITEM, _SENTENCE, _BLANK_LINE, _INSIDE = 0.05, 0.15, 0.1, 1.0
"""What a cut costs, in units of a chunk that is empty (or twice as long as the target)."""

_NEWLINE = r"(?:\r\n|\r(?!\n)|\n)"
_BOUNDARY = re.compile(
    rf"""
      [.!?…]["'”’»)\]*_`]*(?P<gap>\s+)
    | (?P<wide>[。！？]["'”’」』）]*)
    | (?P<blank>{_NEWLINE}[^\S\r\n]*{_NEWLINE}\s*)
    | (?P<line>{_NEWLINE}[^\S\r\n]*)(?=(?:[-*+•]|\d{{1,3}}[.)]|[A-Za-z]\))\s|\|)
    """,
    re.VERBOSE,
)
_BLANK = re.compile(rf"{_NEWLINE}[^\S\r\n]*{_NEWLINE}")
_ITEM_START = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|[A-Za-z]\))\s|\|")
_CODE_BLANK = re.compile(rf"{_NEWLINE}(?:[^\S\r\n]*{_NEWLINE})+")
_LINE_END = re.compile(_NEWLINE)
_LAST_WORD = re.compile(r"(?:^|[\s(\[\"'“‘])([^\s(\[\"'“‘]+)\Z")
_NUMBERING = re.compile(r"(?:[A-Z]\.)?\d+(?:\.\d+)*")
"""Of an item or a section, without its last full stop: 3, 5.1, D.3.4"""
_MARKS_OF_ITEM = ("", "-", "*", "+", "•", "–")
_NO_SENTENCE_END = """
mr mrs ms dr prof st sr jr vs e.g i.e cf fig figs sec eq vol pp ed approx dept a.m p.m u.s u.k ph.d
"""
_ABBREVIATIONS = frozenset(_NO_SENTENCE_END.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A span of a text."""

    start: int
    end: int
    """Characters of the text that was split."""
    text: str
    heading: str
    """The headings it stands under, outermost first, as in "Sequences > Lists"; may be empty."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part that is never divided; `cut` is what it costs to begin a chunk with it."""

    start: int
    end: int
    cut: float


def split(
    text: str, headings: Sequence[Heading] = (), *, above: Trail = (), cuts: Cuts = "prose"
) -> list[Chunk]:
    """The chunks of `text`, in order, without overlap; between them there is only white space.

    Args:
        text: a document, or a block of one that ends where a paragraph does.
        headings: those of `text`, in order.
        above: the headings that the start of `text` stands under.
        cuts: "code" is cut at definitions and blank lines instead of headings and sentences,
            "csv" and "lines" between records.
    """
    if cuts != "prose":
        found = {"code": _code_cuts, "csv": _record_cuts, "lines": _line_cuts}[cuts](text, headings)
        return _split_at(text, found, headings, above)
    chunks = []
    for start, end, inner in _sections(text, headings):
        above = follow(above, inner)
        pieces = _fitting(text, _join_small(_sentence_pieces(text, start, end)))
        chunks += [_chunk(text, span, above) for span in _pack(list(pieces))]
    return chunks


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences, list items and other lines of their own, in characters."""
    return [(piece.start, piece.end) for piece in _sentence_pieces(text, 0, len(text))]


def around(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The sentences of `text` that `span` lies in, as one span."""
    touched = [each for each in sentences(text) if each[0] < span[1] and each[1] > span[0]]
    return min(start for start, _ in [span, *touched]), max(end for _, end in [span, *touched])


def _chunk(text: str, span: tuple[int, int], trail: Trail) -> Chunk:
    start, end = span
    return Chunk(start=start, end=end, text=text[start:end], heading=title(trail))


def _sections(
    text: str, headings: Sequence[Heading]
) -> Iterator[tuple[int, int, Sequence[Heading]]]:
    """(start, end, headings) of each run of headings with the text below it."""
    start = first = position = 0
    for number, heading in enumerate(headings):
        # A heading straight under another belongs to the same section: alone it says little.
        if text[position : heading.start].strip():
            yield start, heading.start, headings[first:number]
            start, first = heading.start, number
        position = heading.end
    yield start, len(text), headings[first:]


# --- prose ----------------------------------------------------------------------------------


def _sentence_pieces(text: str, start: int, end: int) -> Iterator[_Piece]:
    start, end = _trimmed(text, start, end)
    cut = 0.0
    for match in _BOUNDARY.finditer(text, start, end):
        gap = match.span(match.lastgroup or 0)
        if match.lastgroup == "wide":
            gap = (match.end(), match.end())
        if gap[1] >= end or not _is_boundary(text, match, start):
            continue
        yield _Piece(start, gap[0], cut)
        start, cut = gap[1], _cost(text, *gap)
    if start < end:
        yield _Piece(start, end, cut)


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
    return _ITEM if has_newline and _ITEM_START.match(text, gap_end) else _SENTENCE


# --- code, tables, logs ---------------------------------------------------------------------


def _split_at(
    text: str, cuts: dict[int, float], headings: Sequence[Heading], above: Trail
) -> list[Chunk]:
    """Chunks that begin at the places, and for the costs, of `cuts`."""
    pieces = _fitting(text, _join_small(_pieces_between(text, cuts)))
    chunks = []
    number = 0
    for span in _pack(list(pieces)):
        while number < len(headings) and headings[number].start <= span[0]:
            above = follow(above, headings[number : number + 1])
            number += 1
        chunks.append(_chunk(text, span, above))
    return chunks


def _code_cuts(text: str, headings: Sequence[Heading]) -> dict[int, float]:
    cuts = {match.end(): _BLANK_LINE for match in _CODE_BLANK.finditer(text)}
    return cuts | {heading.start: _ITEM * (heading.level > 1) for heading in headings}


def _record_cuts(text: str, _headings: Sequence[Heading]) -> dict[int, float]:
    return dict.fromkeys(csv.record_ends(text), 0.0)


def _line_cuts(text: str, _headings: Sequence[Heading]) -> dict[int, float]:
    return {match.end(): 0.0 for match in _LINE_END.finditer(text)}


def _pieces_between(text: str, cuts: dict[int, float]) -> Iterator[_Piece]:
    start, cost = 0, 0.0
    for end in (*sorted(cuts), len(text)):
        if text[start:end].strip():
            yield _Piece(*_without_blank_lines(text, start, end), cost)
        start, cost = end, cuts.get(end, 0.0)


def _without_blank_lines(text: str, start: int, end: int) -> tuple[int, int]:
    """Trimmed, but for the first line's indentation, which means something in code."""
    first, end = _trimmed(text, start, end)
    newline = max(text.rfind("\n", start, first), text.rfind("\r", start, first))
    return max(newline + 1, start), end


# --- packing --------------------------------------------------------------------------------


def _join_small(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    held: _Piece | None = None
    for piece in pieces:
        if held and _belong_together(held, piece):
            held = _Piece(held.start, piece.end, held.cut)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _belong_together(first: _Piece, second: _Piece) -> bool:
    shorter = min(first.end - first.start, second.end - second.start)
    # Across a paragraph's end only scraps: single words, or a heading and a word.
    most = 3 * _SMALL if second.cut else _SMALL
    return shorter < _SMALL and second.end - first.start <= most


def _fitting(text: str, pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """The pieces, with those that exceed a chunk divided: at lines, else words, else anywhere."""
    for piece in pieces:
        start, cut = piece.start, piece.cut
        while piece.end - start > MAX:
            end = _last_break(text, start)
            yield _Piece(*_trimmed(text, start, end), cut)
            start, cut = _trimmed(text, end, piece.end)[0], _INSIDE
        yield _Piece(start, piece.end, cut)


def _last_break(text: str, start: int) -> int:
    earliest, latest = start + TARGET // 3, start + TARGET
    window = text[earliest:latest]
    if newline := max(window.rfind("\n"), window.rfind("\r")) + 1:
        return earliest + newline
    spaces = [position for position, character in enumerate(window) if character.isspace()]
    if spaces:
        return earliest + spaces[-1] + 1
    # A word of this length is no word; only combining marks are kept with their letter.
    while latest > earliest and unicodedata.combining(text[latest]):
        latest -= 1
    return latest


def _pack(pieces: Sequence[_Piece]) -> list[tuple[int, int]]:
    """Spans of the chunks with the least total cost; pieces stay whole and in order.

    With `best[i]` the least cost of the first i pieces, the last chunk of the best division
    starts at the piece j that minimises `best[j] + cut(j) + ((length(j..i) - TARGET) / TARGET)²`.
    """
    best, origin = [0.0], [0]
    for number, last in enumerate(pieces):
        least, first = float("inf"), number
        for candidate in range(number, -1, -1):
            piece = pieces[candidate]
            length = last.end - piece.start
            if length > MAX:
                break
            cost = best[candidate] + piece.cut + (length / TARGET - 1) ** 2
            if cost < least:
                least, first = cost, candidate
        best.append(least)
        origin.append(first)
    return _spans(pieces, origin)


def _spans(pieces: Sequence[_Piece], origin: Sequence[int]) -> list[tuple[int, int]]:
    spans = []
    end = len(pieces)
    while end:
        spans.append((pieces[origin[end]].start, pieces[end - 1].end))
        end = origin[end]
    return spans[::-1]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends; empty at `end` where there is nothing else."""
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return start, end
