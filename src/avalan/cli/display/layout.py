"""Lines of text: wrapped, beside a label, shortened. Pure functions over a console's parts."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from avalan.cli.console import Part, cell_width, neutralise
from avalan.cli.display.signs import Signs

MAX_WIDTH = 100
"""Columns; longer lines are hard to read."""

LEAST_BESIDE = 28
"""Columns that words need beside a label; with fewer, they go below it."""

Piece = tuple[str, str]
"""A text and its style."""

Line = list[Piece]

# They join what is before them with what follows: a family of emoji is one picture.
_ZERO_WIDTH_JOINER = "\u200d"
_SELECTORS = "\ufe0e\ufe0f"
_ATOMS = re.compile(r"\n| +|[!-~]+|[^\n -~]")
"""A line break, spaces, a word of ASCII, or one other character."""


def fill_lines(
    pieces: Iterable[Piece], width: int, *, start: int = 0, cut: bool = True
) -> list[Line]:
    """Lines of at most `width` columns, broken between words, spaces hanging over the end.

    Wide scripts break between any two characters.

    Args:
        start: columns that are taken on the first line already.
        cut: break words that are wider than a line; otherwise they stay whole and begin where they
            stand, for the terminal to break, so that what is copied from it has no line break
            inside.
    """
    lines: list[Line] = [[]]
    used = start
    for word in _words(pieces, width if cut else None):
        size, text = columns_of(word), word[0][0]
        has_no_room = used > 0 and used + size > width and (size <= width or used > width)
        if text == "\n" or (has_no_room and text[0] != " "):
            lines.append([])
            used = 0
        if text != "\n":
            lines[-1] += word
            used += size
    return [merged(line) for line in lines]


def _words(pieces: Iterable[Piece], most: int | None) -> Iterator[Line]:
    """What stays together on a line: a line break, spaces, a word, a character of a wide script.

    A word of more than `most` columns comes in parts.
    """
    word: Line = []
    has_wide = False
    for part, style in ((part, style) for text, style in pieces for part in _ATOMS.findall(text)):
        is_gap = part[0] in " \n"
        is_wide = not part.isascii() and cell_width(part) > 1
        breaks = is_gap or ((is_wide or has_wide) and not _joins(word, part))
        if word and breaks:
            yield from _cut(word, most)
            word, has_wide = [], False
        if is_gap:
            yield [(part, style)]
        else:
            word.append((part, style))
            has_wide = has_wide or is_wide
    if word:
        yield from _cut(word, most)


def _cut(word: Line, most: int | None) -> Iterator[Line]:
    """The word, in parts of at most `most` columns where it is wider."""
    if most is None or columns_of(word) <= most:
        yield word
        return
    held: Line = []
    for cluster in _clusters(word):
        if held and columns_of([*held, *cluster]) > most:
            yield held
            held = []
        held += cluster
    yield held


def _clusters(word: Line) -> Iterator[Line]:
    """Characters with what is joined to them."""
    held: Line = []
    for character, style in ((each, style) for text, style in word for each in text):
        if held and not _joins(held, character):
            yield held
            held = []
        held.append((character, style))
    yield held


def _joins(before: Line, part: str) -> bool:
    """Whether `part` makes one picture with the end of `before`."""
    if before and before[-1][0] == _ZERO_WIDTH_JOINER:
        return True
    if part.isascii():
        return False
    return part == _ZERO_WIDTH_JOINER or part in _SELECTORS or cell_width(part) == 0


def wrap(parts: Sequence[Part], width: int, *, start: int = 0, cut: bool = True) -> list[Line]:
    """Lines of at most `width` columns; white space between words becomes one space or a break.

    Control characters are made visible first, because they then take columns.

    Args:
        start, cut: as of `fill_lines`.
    """
    collapsed: Line = []
    after_gap = True
    for text, style in _pieces(parts):
        words = re.sub(r"[^\S\u202f\xa0]+", " ", text)  # Those two do not break.
        words = words.removeprefix(" ") if after_gap else words
        after_gap = words.endswith(" ") if words else after_gap
        collapsed.append((words, style))
    return [trimmed(line) for line in fill_lines(collapsed, width, start=start, cut=cut)]


def hang(
    lead: Part,
    parts: Sequence[Part],
    width: int,
    *,
    indent: int,
    margin: int = 2,
    cut: bool = True,
) -> list[Line]:
    """Lines of at most `width` columns that begin with `lead`, and then with `indent` spaces.

    What fits on one line stays as it is, space for space. Where the words would have too few
    columns beside `lead`, they go below it, under `margin` spaces; one of blanks is left out.

    Args:
        cut: as of `wrap`.
    """
    first, rest = _pieces([lead]), _pieces(parts)
    is_narrow = width - indent < LEAST_BESIDE
    is_blank = not "".join(text for text, _ in first).strip()
    fits = columns_of([*first, *rest]) <= width and not any("\n" in text for text, _ in rest)
    if fits and not (is_narrow and is_blank):
        return [[*first, *rest]]
    if not is_narrow:
        start = max(columns_of(first) - indent, 0)
        lines = wrap(rest, width - indent, start=start, cut=cut)
        return [[*first, *lines[0]], *([(" " * indent, ""), *line] for line in lines[1:])]
    below = [[(" " * margin, ""), *line] for line in wrap(rest, width - margin, cut=cut)]
    return below if is_blank else [[(text.rstrip(), style) for text, style in first], *below]


def fold(parts: Sequence[Part], width: int) -> Line:
    """The parts with line breaks in place of spaces wherever a line would exceed `width`.

    A line that fits stays as it is, one that does not keeps its indentation, and words stay whole.
    """
    folded: Line = []
    for number, line in enumerate(fill_lines(_pieces(parts), sys.maxsize)):
        rows = [line] if columns_of(line) <= width else _indented(line, width)
        for place, row in enumerate(rows):
            folded += [("\n", ""), *row] if number or place else row
    return folded


def _indented(line: Line, width: int) -> list[Line]:
    text = "".join(text for text, _ in line)
    margin = len(text) - len(text.lstrip(" "))
    indent = min(margin, width // 3)
    first, *others = wrap(line, width - indent, start=margin - indent, cut=False)
    return [[(" " * margin, ""), *first], *([(" " * indent, ""), *row] for row in others)]


def _pieces(parts: Sequence[Part]) -> Line:
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return [(neutralise(text), style) for text, style in pairs if text]


def columns_of(line: Iterable[Piece]) -> int:
    """Columns that a line takes, at most."""
    return sum(cell_width(text) for text, _ in line)


def trimmed(line: Line) -> Line:
    """`line` without the spaces at its end."""
    pieces = list(line)
    while pieces:
        text, style = pieces.pop()
        if shown := text.rstrip(" "):
            return [*pieces, (shown, style)]
    return []


def merged(line: Line) -> Line:
    """The same line, neighbours of one style in one piece."""
    groups = groupby(line, key=lambda piece: piece[1])
    return [("".join(text for text, _ in group), style) for style, group in groups]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` in at least `width` columns, spaces after it; with `right`, before it."""
    gap = " " * (width - cell_width(text))
    return gap + text if right else text + gap


def shorten(text: str, width: int, draw: Signs) -> str:
    """`text` on one line of at most `width` columns, its end left out."""
    text = " ".join(neutralise(text).split())
    if cell_width(text) <= width:
        return text
    while text and cell_width(text) > width - cell_width(draw.ellipsis):
        text = text[:-1]
    return text.rstrip() + draw.ellipsis


def shorten_path(source: str, width: int, draw: Signs) -> str:
    """A path in at most `width` columns: outer folders go first, then the beginning of the name."""
    whole = neutralise(path_text(source)).replace("\t", " ")
    if cell_width(whole) <= width:
        return whole
    text = whole
    while "/" in text and cell_width(text) > width - cell_width(draw.ellipsis) - 1:
        text = text.partition("/")[2]
    lead = draw.ellipsis + "/"
    while text and cell_width(lead + text) > width:
        lead, text = draw.ellipsis, text[1:]
    return lead + text


def path_text(source: str) -> str:
    """A path as one would type it here: relative inside this folder, `~` for one's home.

    A line break in a name is shown as its picture, so that a path stays on its line.
    """
    # Where the system knows no home folder, `~` stays as it is, and no path lies in it.
    path, here, home = Path(source), Path.cwd(), Path(os.path.expanduser("~"))
    if path.is_relative_to(here):
        shown = os.path.relpath(path, here)
    else:
        shown = f"~/{path.relative_to(home)}" if path.is_relative_to(home) else source
    return shown.replace("\n", "\u240a")
