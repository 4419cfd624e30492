"""Colours for light and for dark terminals alike, told apart by colour-blind people too.

Each colour has a contrast of at least 3 to white and to black, and the three steps of surprise
stay apart under the three kinds of colour blindness. Nothing is said by colour alone.
"""

import os
from collections.abc import Sequence
from functools import cache

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from avalan.cli.display.layout import Piece

COLORS = {
    "step1": "#3592b0",
    "step2": "#a964f5",
    "step3": "#f05a10",
    "special": "#d6409f",
    "added": "#b08600",
}
STYLES = {
    **COLORS,
    "step0": "",
    "text1": COLORS["step1"],
    "text2": f"underline {COLORS['step2']}",
    "text3": f"bold underline {COLORS['step3']}",
    "reasoning": "dim italic",
    "border": "dim",
    "sign": "dim",
    "other": COLORS["step1"],
    "figures": "dim",
    "current": "bold reverse",
    "bold": "bold",
}
"""What the names in lines of pieces stand for; several are joined by spaces."""

_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.STANDARD,
}


@cache
def style(names: str) -> Style:
    """The style that `names` stand for together."""
    wanted = [STYLES[name] for name in names.split()]
    # What looks at a sign wants it seen.
    if "bold" in names.split() or "current" in names.split():
        wanted = [each for each in wanted if each != "dim"]
    return Style.parse(" ".join(wanted)) if any(wanted) else Style.null()


class Painter:
    """Turns lines into what this terminal understands: its colours, or none with `NO_COLOR`."""

    def __init__(self) -> None:
        # Without a colour system rich would leave out weight and underline too.
        name = Console(force_terminal=True).color_system
        self._system = _SYSTEMS.get(name or "", ColorSystem.STANDARD)
        self._is_colored = name is not None and not os.environ.get("NO_COLOR")
        self._around: dict[str, tuple[str, str]] = {}

    def paint(self, text: str, names: str) -> str:
        """`text` between the escape sequences of its style."""
        if not text or not names:
            return text
        if names not in self._around:
            look = style(names) if self._is_colored else style(names).without_color
            before, _, after = look.render("x", color_system=self._system).partition("x")
            self._around[names] = before, after
        before, after = self._around[names]
        return f"{before}{text}{after}"


def as_rich(line: Sequence[Piece]) -> Text:
    """A line for rich, which makes pictures of it."""
    return Text.assemble(*((text, style(names)) for text, names in line))
