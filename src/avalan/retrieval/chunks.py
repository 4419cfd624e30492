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
from avalan.retrieval.sentences import ITEM, NEWLINE, Piece, sentence_pieces, trimmed

TARGET = 650
"""Characters a chunk should have: about 110 English words."""
MAX = 1000
"""Characters no chunk exceeds."""

_SMALL = 40
"""Characters below which a piece of a paragraph joins a neighbour: too little to decide about."""
_BLANK_LINE, _INSIDE = 0.1, 1.0
"""What a cut costs, in units of a chunk that is empty (or twice as long as the target)."""

_CODE_BLANK = re.compile(rf"{NEWLINE}(?:[^\S\r\n]*{NEWLINE})+")
_LINE_END = re.compile(NEWLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A span of a text."""

    start: int
    end: int
    """Characters of the text that was split."""
    text: str
    heading: str
    """The headings it stands under, outermost first, as in "Sequences > Lists"; may be empty."""


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
        pieces = _fitting(text, _join_small(sentence_pieces(text, start, end)))
        chunks += [_chunk(text, span, above) for span in _pack(list(pieces))]
    return chunks


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
    return cuts | {heading.start: ITEM * (heading.level > 1) for heading in headings}


def _record_cuts(text: str, _headings: Sequence[Heading]) -> dict[int, float]:
    return dict.fromkeys(csv.record_ends(text), 0.0)


def _line_cuts(text: str, _headings: Sequence[Heading]) -> dict[int, float]:
    return {match.end(): 0.0 for match in _LINE_END.finditer(text)}


def _pieces_between(text: str, cuts: dict[int, float]) -> Iterator[Piece]:
    start, cost = 0, 0.0
    for end in (*sorted(cuts), len(text)):
        if text[start:end].strip():
            yield Piece(*_without_blank_lines(text, start, end), cost)
        start, cost = end, cuts.get(end, 0.0)


def _without_blank_lines(text: str, start: int, end: int) -> tuple[int, int]:
    """Trimmed, but for the first line's indentation, which means something in code."""
    first, end = trimmed(text, start, end)
    newline = max(text.rfind("\n", start, first), text.rfind("\r", start, first))
    return max(newline + 1, start), end


# --- packing --------------------------------------------------------------------------------


def _join_small(pieces: Iterable[Piece]) -> Iterator[Piece]:
    held: Piece | None = None
    for piece in pieces:
        if held and _belong_together(held, piece):
            held = Piece(held.start, piece.end, held.cut)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held


def _belong_together(first: Piece, second: Piece) -> bool:
    shorter = min(first.end - first.start, second.end - second.start)
    # Across a paragraph's end only scraps: single words, or a heading and a word.
    most = 3 * _SMALL if second.cut else _SMALL
    return shorter < _SMALL and second.end - first.start <= most


def _fitting(text: str, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces, with those that exceed a chunk divided: at lines, else words, else anywhere."""
    for piece in pieces:
        start, cut = piece.start, piece.cut
        while piece.end - start > MAX:
            end = _last_break(text, start)
            yield Piece(*trimmed(text, start, end), cut)
            start, cut = trimmed(text, end, piece.end)[0], _INSIDE
        yield Piece(start, piece.end, cut)


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


def _pack(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
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


def _spans(pieces: Sequence[Piece], origin: Sequence[int]) -> list[tuple[int, int]]:
    spans = []
    end = len(pieces)
    while end:
        spans.append((pieces[origin[end]].start, pieces[end - 1].end))
        end = origin[end]
    return spans[::-1]
