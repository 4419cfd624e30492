"""Tokens as boxes: the text with its white space visible, the id below.

What a box says in colour it also says in shape: a special token has a double border, an added one
a heavy border, and a token that the model was not sure of carries a mark that fills as its
probability falls. Pure functions over a console's parts.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

from avalan.cli.console import cell_width, neutralise
from avalan.cli.display.layout import Line, columns_of, merged
from avalan.cli.display.signs import Signs
from avalan.model.entities import TokenKind

BOX_HEIGHT = 3
WIDEST_TEXT = 20
"""Columns of a token's text; a longer one is cut."""

STEPS = (0.8, 0.5, 0.2)
"""Below each of these probabilities a token is a step more surprising."""


def surprise(probability: float) -> int:
    """How surprising a token is: 0 to 3."""
    return sum(probability < step for step in STEPS)


@lru_cache(maxsize=4096)
def visible(text: str, draw: Signs, *, width: int = WIDEST_TEXT) -> Line:
    """A token's text in at most `width` columns: its white space and what is invisible as signs."""
    if not text:
        return [(draw.nothing, "sign")]
    if len(text) > 3 and text[0] in " \n\t" and not text.strip(text[0]):
        return [(f"{_sign(text[0], draw)}{draw.times}{len(text)}", "sign")]
    signs = [_sign(character, draw) for character in text[: width + 1]]
    pieces = [
        (sign, "" if sign == character else "sign")
        for sign, character in zip(signs, text, strict=False)
    ]
    # An accent for the token before, which a border cannot carry.
    if unicodedata.category(text[0]).startswith("M"):
        pieces.insert(0, ("◌", "sign"))
    return merged(_shortened(pieces, width, draw))


def _sign(character: str, draw: Signs) -> str:
    named = {" ": draw.space, "\n": draw.newline, "\t": draw.tab}.get(character)
    if named is None and unicodedata.category(character) in ("Cf", "Zl", "Zp", "Zs"):
        return f"\\u{ord(character):04x}"
    return named or neutralise(character)


def _shortened(pieces: Line, width: int, draw: Signs) -> Line:
    ends = list(accumulate(cell_width(text) for text, _ in pieces))
    if ends[-1] <= width:
        return pieces
    kept = bisect_right(ends, width - cell_width(draw.cut))
    return [*pieces[:kept], (draw.cut, "sign")]


Box = tuple[Line, ...]
"""Three lines of the same width."""


@lru_cache(maxsize=4096)
def box(
    piece: str,
    token_id: int,
    kind: TokenKind,
    draw: Signs,
    *,
    width: int,
    widest_text: int = WIDEST_TEXT,
    level: int = 0,
    current: bool = False,
) -> Box:
    """One token: its text above its id.

    Args:
        width: columns that the box may take at most; at least 8.
        widest_text: columns of its text at most.
        level: how surprising it is, 0 to 3.
        current: whether it is the one that is looked at.
    """
    room, number = min(widest_text, width - 4), str(token_id)
    text = visible(piece, draw, width=room)
    used = columns_of(text)
    inner = min(max(used + 2, len(number)), room + 2)
    tone = (f"step{level}" if level else "border") if kind == "plain" else str(kind)
    left_top, edge, right_top, side, left_end, right_end = getattr(draw, kind)
    before = edge if inner > 1 else ""
    mark = (draw.marks[level], f"step{level}") if level else (edge, tone)
    after = edge * (inner - 1 - len(before)) + right_top
    if current:
        text = [(part, f"{style} current".strip()) for part, style in text]
    gap = " " * (inner - 1 - used)
    below = f"{left_end}{number[:inner]:{edge}^{inner}}{right_end}"
    lead, found, rest = below.partition(number)
    return (
        merged([(left_top + before, tone), mark, (after, tone)]),
        [(f"{side} ", tone), *text, (f"{gap}{side}", tone)],
        [(lead, tone), (found, "sign"), (rest, tone)],
    )


def row_starts(widths: Sequence[int], width: int) -> list[int]:
    """Which box begins each row, where rows are filled from the left; at least one box in each.

    Further boxes never change the rows before them.
    """
    starts: list[int] = []
    used = width + 1
    for index, size in enumerate(widths):
        if used + size > width:
            starts.append(index)
            used = 0
        used += size
    return starts


def row_lines(boxes: Iterable[Box], indent: int = 0) -> list[Line]:
    """The three lines of a row of boxes, beside each other."""
    lines: list[Line] = [[(" " * indent, "")] if indent else [] for _ in range(BOX_HEIGHT)]
    for each in boxes:
        for line, part in zip(lines, each, strict=True):
            line += part
    return lines
