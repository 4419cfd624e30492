"""A model's reasoning as it comes, on stderr, so that a pipe holds the answer alone.

It is told apart by shape and by tone: a bar stands before each line. Light: no drawing library.
"""

import re

from avalan.cli.console import Console, cell_width
from avalan.cli.display.flow import GUTTER, TAB
from avalan.cli.display.layout import WIDE

STYLE = "dim italic"
_PARTS = re.compile(rf"\n|[^\S\n]+|[{WIDE}]|[^\s{WIDE}]+")
"""A line break, spaces, a character of a wide script, or a piece of another word."""


class ReasoningText:
    """Writes the text in lines of the terminal's width; a word is written when it is whole."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._room = max(console.width - len(GUTTER), 1)
        self._column: int | None = None
        """Columns that are taken on the line; None where none has begun."""
        self._word = ""
        self._gap = ""
        """White space before it, which a line does not end with."""
        self._any = False

    def add(self, text: str) -> None:
        """Write more of it."""
        for part in _PARTS.findall(text):
            is_wide = cell_width(part) > len(part)
            if part.isspace() or is_wide:
                self._place()
            if part == "\n":
                self._end_line()
            elif part.isspace():
                self._gap += part.replace("\t", TAB)
            else:
                self._word += part
            if is_wide:
                self._place()

    def close(self) -> None:
        """It is over: what follows stands below an empty line."""
        self._place()
        if self._column is not None:
            self._end_line()
        if self._any:
            self._console.note()
        self._any = False

    def _place(self) -> None:
        if not self._word:
            return
        if (self._column or 0) + cell_width(self._gap + self._word) > self._room:
            self._gap = ""
            if self._column:
                self._end_line()
        self._write(self._gap + self._word)
        self._word = self._gap = ""

    def _write(self, text: str) -> None:
        lead = GUTTER if self._column is None else ""
        self._console.note((lead + text, STYLE), end="")
        self._column = (self._column or 0) + cell_width(text)
        self._any = True

    def _end_line(self) -> None:
        lead = GUTTER.rstrip() if self._column is None else ""
        self._console.note((lead, STYLE))
        self._column = None
        self._gap = ""
        self._any = True
