"""What a terminal can show: the signs to draw with, and small drawings of them."""

import os
import sys
from typing import NamedTuple

from avalan.cli.console import Console


class Signs(NamedTuple):
    """What is drawn with."""

    bar: str = "▰▱"
    """Full and empty, as the next two."""
    stars: str = "★☆"
    dots: str = "●○"
    edge: str = "┃"
    open: str = "«"
    close: str = "»"
    dash: str = "–"
    ellipsis: str = "…"
    middle: str = "·"
    plain: str = "╭─╮│╰╯"
    """Of the box around a token: corner, edge, corner, side, corner, corner."""
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


ASCII = Signs(
    bar="#-",
    stars="*-",
    dots="*-",
    edge="|",
    open=">>",
    close="<<",
    dash="-",
    ellipsis="...",
    middle="-",
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
)


def signs(*, interactive: bool = True) -> Signs:
    """Those that a terminal's encoding has; a pipe is UTF-8."""
    if interactive:
        try:
            "".join(Signs()).encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return ASCII
    return Signs()


def is_live(console: Console) -> bool:
    """Whether stdout is a terminal whose cursor can be moved."""
    return console.interactive and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def bar(probability: float, draw: Signs, *, width: int = 10) -> tuple[str, str]:
    """The full and the empty part of a bar; only 0 has no full cell and only 1 no empty one."""
    full = round(probability * width)
    if 0 < probability < 1:
        full = min(max(full, 1), width - 1)
    full = min(max(full, 0), width)
    return draw.bar[0] * full, draw.bar[1] * (width - full)


def stars(grade: int, draw: Signs) -> str:
    """`★★★★☆` for 4 of 5."""
    return draw.stars[0] * grade + draw.stars[1] * (5 - grade)
