"""Colours for light and for dark terminals alike, told apart by colour-blind people too.

Each colour has a contrast of at least 3 to white and to black, and the three steps of surprise
stay apart under the three kinds of colour blindness. Nothing is said by colour alone.
"""

import os
from functools import cache

from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style

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
        self._system = COLOR_SYSTEMS[name or "standard"]
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
