"""Tokens as boxes: the text with its white space visible, the id below.

What a box says in colour it also says in shape: a control token has a double border, an added one
a heavy border, and a token that the model was not sure of carries a mark that fills as its
probability falls. Pure functions over a console's parts.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from avalan.cli.console import neutralise
from avalan.cli.display.flow import Line, columns, columns_of
from avalan.cli.display.layout import drawable, merged
from avalan.model.nlp.steps import Step, TokenKind

BOX_HEIGHT = 3
WIDEST_TEXT = 20
"""Columns of a token's text; a longer one is cut."""

STEPS = (0.8, 0.5, 0.2)
"""Below each of these probabilities a token is a step more surprising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """What boxes and charts are drawn with."""

    plain: str = "╭─╮│╰╯"
    """Corner, edge, corner, side, corner, corner."""
    special: str = "╔═╗║╚╝"
    added: str = "┏━┓┃┗┛"
    marks: str = " ○◐●"
    """By step of surprise."""
    space: str = "␣"
    newline: str = "↵"
    tab: str = "⇥"
    times: str = "×"
    nothing: str = "∅"
    cut: str = "…"
    eighths: str = " ▁▂▃▄▅▆▇█"
    baseline: str = "─"
    chosen: str = "▲"
    row: str = "▸"
    middle: str = "·"
    dash: str = "–"


ASCII = Glyphs(
    plain=".-.|''",
    special="#=##''",
    added="+++!++",
    marks=" oO@",
    space="_",
    newline="\\n",
    tab="\\t",
    times="x",
    nothing="0",
    cut="~",
    eighths="   ..::##",
    baseline="-",
    chosen="^",
    row=">",
    middle="-",
    dash="-",
)


def glyphs() -> Glyphs:
    """Those that the terminal's encoding has."""
    return drawable(Glyphs(), ASCII)


def surprise(probability: float) -> int:
    """How surprising a token is: 0 to 3."""
    return sum(probability < step for step in STEPS)


@lru_cache(maxsize=4096)
def visible(text: str, draw: Glyphs, *, width: int = WIDEST_TEXT) -> Line:
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
    if _has_no_carrier(text):
        pieces.insert(0, ("◌", "sign"))
    return merged(_shortened(pieces, width, draw))


def _sign(character: str, draw: Glyphs) -> str:
    named = {" ": draw.space, "\n": draw.newline, "\t": draw.tab}.get(character)
    if named is None and unicodedata.category(character) in ("Cf", "Zl", "Zp", "Zs"):
        return f"\\u{ord(character):04x}"
    return named or neutralise(character)


def _has_no_carrier(text: str) -> bool:
    """Whether the text begins with an accent for the token before, which a border cannot carry."""
    return unicodedata.category(text[0]).startswith("M")


def _shortened(pieces: Line, width: int, draw: Glyphs) -> Line:
    ends = list(accumulate(columns(text) for text, _ in pieces))
    if ends[-1] <= width:
        return pieces
    kept = bisect_right(ends, width - columns(draw.cut))
    return [*pieces[:kept], (draw.cut, "sign")]


# --- boxes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Box:
    """Three lines of the same width."""

    lines: tuple[Line, Line, Line]
    width: int


def box(
    step: Step,
    draw: Glyphs,
    *,
    width: int,
    current: bool = False,
    widest_text: int = WIDEST_TEXT,
) -> Box:
    """One token.

    Args:
        width: columns that the box may take at most; at least 8.
        current: whether it is the one that is looked at.
        widest_text: columns of its text at most.
    """
    token_id = str(step.token.token_id)
    level = surprise(step.probability)
    room = min(widest_text, width - 4)
    return _box(step.piece, token_id, step.kind, level, draw, room, current)


@lru_cache(maxsize=4096)
def _box(
    piece: str, token_id: str, kind: TokenKind, level: int, draw: Glyphs, room: int, current: bool
) -> Box:
    text = visible(piece, draw, width=room)
    used = columns_of(text)
    inner = min(max(used + 2, len(token_id)), room + 2)
    tone = BORDER_STYLES[kind] if kind != "plain" or not level else f"step{level}"
    left_top, edge, right_top, side, left_end, right_end = getattr(draw, kind)
    before = edge if inner > 1 else ""
    mark = (draw.marks[level], f"step{level}") if level else (edge, tone)
    after = edge * (inner - 1 - len(before)) + right_top
    if current:
        text = [(part, f"{style} current".strip()) for part, style in text]
    gap = " " * (inner - 1 - used)
    below = f"{left_end}{token_id[:inner]:{edge}^{inner}}{right_end}"
    return Box(
        (
            merged([(left_top + before, tone), mark, (after, tone)]),
            [(f"{side} ", tone), *text, (f"{gap}{side}", tone)],
            _numbered(below, token_id, tone),
        ),
        inner + 2,
    )


def _numbered(line: str, token_id: str, tone: str) -> Line:
    before, number, after = line.partition(token_id)
    return [(before, tone), (number, "sign"), (after, tone)]


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
        for line, part in zip(lines, each.lines, strict=True):
            line += part
    return lines


BORDER_STYLES: Mapping[TokenKind, str] = {
    "plain": "border",
    "special": "special",
    "added": "added",
}
