"""Small drawings of text: bars, grades, wrapped lines. Pure functions over a console's parts."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from avalan.cli.console import Part, cell_width, neutralise

MAX_WIDTH = 100
"""Columns; longer lines are hard to read."""

LEAST_BESIDE = 28
"""Columns that words need beside a label; with fewer, they go below it."""

Piece = tuple[str, str]
"""A text and its style."""


Signs = TypeVar("Signs", bound=Any)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """What is drawn with."""

    full: str = "▰"
    empty: str = "▱"
    star: str = "★"
    no_star: str = "☆"
    dot: str = "●"
    no_dot: str = "○"
    edge: str = "┃"
    open: str = "«"
    close: str = "»"
    dash: str = "–"
    ellipsis: str = "…"
    middle: str = "·"


ASCII = Symbols(
    full="#",
    empty="-",
    star="*",
    no_star="-",
    dot="*",
    no_dot="-",
    edge="|",
    open=">>",
    close="<<",
    dash="-",
    ellipsis="...",
    middle="-",
)


def symbols(*, interactive: bool) -> Symbols:
    """Those that a terminal's encoding has; a pipe is UTF-8."""
    return drawable(Symbols(), ASCII) if interactive else Symbols()


def drawable(every: Signs, plain: Signs) -> Signs:
    """`every`, or `plain` where the terminal's encoding lacks one of its signs."""
    try:
        text = "".join(getattr(every, name) for name in every.__slots__)
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return plain
    return every


def bar(probability: float, draw: Symbols, *, width: int = 10) -> tuple[str, str]:
    """The full and the empty part of a bar; only 0 has no full cell and only 1 no empty one."""
    full = round(probability * width)
    if 0 < probability < 1:
        full = min(max(full, 1), width - 1)
    full = min(max(full, 0), width)
    return draw.full * full, draw.empty * (width - full)


def stars(grade: int, draw: Symbols, *, most: int = 5) -> str:
    """`★★★★☆` for 4 of 5."""
    return draw.star * grade + draw.no_star * (most - grade)


def wrap(
    parts: Sequence[Part], width: int, *, start: int = 0, cut: bool = True
) -> list[list[Piece]]:
    """Lines of at most `width` columns; white space between words becomes one space or a break.

    Control characters are made visible first, because they then take columns. Wide scripts break
    between any two characters; other words break only where they are wider than a line.

    Args:
        start: columns that are taken on the first line already.
        cut: break such words; otherwise they stay whole, for the terminal to break, so that what
            is copied from it has no line break inside.
    """
    lines: list[list[Piece]] = [[]]
    used = start
    for gap, word in _words(parts, max(width, 8) if cut else None):
        size = _width(word)
        if used and used + gap + size > width and (size <= width or used > width):
            lines.append([])
            used = 0
        if lines[-1] and gap:
            before, after = lines[-1][-1][1], word[0][1]
            lines[-1].append((" ", before if before == after else ""))
            used += 1
        lines[-1] += word
        used += size
    return [merged(line) for line in lines]


def hang(
    lead: Part,
    parts: Sequence[Part],
    width: int,
    *,
    indent: int,
    margin: int = 2,
    cut: bool = True,
) -> list[list[Piece]]:
    """Lines of at most `width` columns that begin with `lead`, and then with `indent` spaces.

    What fits on one line stays as it is, space for space. Where the words would have too few
    columns beside `lead`, they go below it, under `margin` spaces; one of blanks is left out.

    Args:
        cut: as of `wrap`.
    """
    first, rest = _pieces([lead]), _pieces(parts)
    is_narrow = width - indent < LEAST_BESIDE
    is_blank = not "".join(text for text, _ in first).strip()
    fits = _width([*first, *rest]) <= width and not any("\n" in text for text, _ in rest)
    if fits and not (is_narrow and is_blank):
        return [[*first, *rest]]
    if not is_narrow:
        start = max(_width(first) - indent, 0)
        lines = wrap(rest, width - indent, start=start, cut=cut)
        return [[*first, *lines[0]], *([(" " * indent, ""), *line] for line in lines[1:])]
    below = [[(" " * margin, ""), *line] for line in wrap(rest, width - margin, cut=cut)]
    return below if is_blank else [[(text.rstrip(), style) for text, style in first], *below]


def fold(parts: Sequence[Part], width: int) -> list[Piece]:
    """The parts with line breaks in place of spaces wherever a line would exceed `width`.

    A line that fits stays as it is, one that does not keeps its indentation, and words stay whole.
    """
    folded: list[Piece] = []
    for number, line in enumerate(_lines(_pieces(parts))):
        rows = [line] if _width(line) <= width else _indented(line, width)
        for place, row in enumerate(rows):
            folded += [("\n", ""), *row] if number or place else row
    return folded


def _indented(line: list[Piece], width: int) -> list[list[Piece]]:
    text = "".join(text for text, _ in line)
    margin = len(text) - len(text.lstrip(" "))
    indent = min(margin, width // 3)
    first, *others = wrap(line, width - indent, start=margin - indent, cut=False)
    return [[(" " * margin, ""), *first], *([(" " * indent, ""), *row] for row in others)]


def _pieces(parts: Sequence[Part]) -> list[Piece]:
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return [(neutralise(text), style) for text, style in pairs if text]


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    lines: list[list[Piece]] = [[]]
    for text, style in pieces:
        first, *others = text.split("\n")
        lines[-1] += [(first, style)] if first else []
        lines += [[(other, style)] if other else [] for other in others]
    return lines


WIDE = "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60"
"""Ranges of the wide scripts, which break between any two characters."""
_TOKEN = re.compile(rf"\s+|[{WIDE}]|[^\s{WIDE}]+")


def _words(parts: Sequence[Part], width: int | None) -> Iterator[tuple[int, list[Piece]]]:
    """What stays together on a line, and whether (1 or 0) a space stands before it."""
    word: list[Piece] = []
    gap = 0
    for text, style in _pieces(parts):
        for token in _TOKEN.findall(text):
            breaks = bool(word) and re.search(f"[{WIDE}]", word[-1][0] + token)
            if token.isspace() or breaks:
                yield from _cut(word, gap, width)
                word, gap = [], int(token.isspace())
            if not token.isspace():
                word.append((token, style))
    yield from _cut(word, gap, width)


def _cut(word: list[Piece], gap: int, width: int | None) -> Iterator[tuple[int, list[Piece]]]:
    """The word, in pieces where it is wider than a line."""
    held: list[Piece] = []
    characters = [(character, style) for text, style in word for character in text]
    if width is None or _width(word) <= width:
        width, held, characters = 0, word, []
    for character in characters:
        if _width([*held, character]) > width:
            yield gap, held
            held, gap = [], 0
        held.append(character)
    if held:
        yield gap, held


def _width(word: Sequence[Piece]) -> int:
    return sum(cell_width(text) for text, _ in word)


def merged(line: Sequence[Piece]) -> list[Piece]:
    """The same line, neighbours of one style in one piece."""
    pieces: list[Piece] = []
    for text, style in line:
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + text, style)
        else:
            pieces.append((text, style))
    return pieces


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` in at least `width` columns, spaces after it; with `right`, before it."""
    gap = " " * (width - cell_width(text))
    return gap + text if right else text + gap


def shorten(text: str, width: int, draw: Symbols) -> str:
    """`text` on one line of at most `width` columns, its end left out."""
    text = " ".join(neutralise(text).split())
    if cell_width(text) <= width:
        return text
    while text and cell_width(text) > width - cell_width(draw.ellipsis):
        text = text[:-1]
    return text.rstrip() + draw.ellipsis


def shorten_path(source: str, width: int, draw: Symbols) -> str:
    """A path in at most `width` columns: outer folders go first, then the beginning of the name."""
    whole = neutralise(path_text(source)).replace("\n", "␊").replace("\t", " ")
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
