"""Markdown as a terminal shows it, in colours for light and for dark ones."""

from typing import Any, TextIO

from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import ANSISyntaxTheme
from rich.theme import Theme

from avalan.cli.display.palette import COLORS

_THEME = Theme(
    {
        "markdown.code": f"bold {COLORS['step1']}",
        "markdown.code_block": "none",
        "markdown.block_quote": "italic",
        "markdown.list": "none",
        "markdown.item.number": "bold",
        "markdown.h2": "bold underline",
        "markdown.h3": "bold",
        "markdown.h4": "bold italic",
        "markdown.link": COLORS["step1"],
        "markdown.link_url": f"underline {COLORS['step1']}",
        "markdown.table.border": "dim",
        "markdown.table.header": "bold",
    }
)
"""In place of rich's own, which are for dark terminals."""
_CODE: Any = ANSISyntaxTheme({})
"""A block of code has no colours: a theme's background would be black or white."""


def drawn(text: str, file: TextIO, width: int) -> str:
    """`text` in lines of `width` columns, with what `file` understands."""
    console = Console(file=file, width=width, highlight=False, theme=_THEME)
    with console.capture() as captured:
        console.print(Markdown(text, code_theme=_CODE))
    return captured.get()
