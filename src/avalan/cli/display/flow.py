"""Text that flows: wrapped once, line by line, while it is still being written.

A line that is followed by another never changes again, whatever comes after it, so it can be
committed to the terminal's scrollback. Nothing of the text is lost: the lines, with a line break
where the text has one, are the text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from avalan.cli.console import neutralise
from avalan.cli.display.layout import Line, Piece, fill_lines

TAB = "    "
GUTTER = "¦ "
"""What stands before a line of reasoning."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text, as one token added it."""

    text: str
    style: str = ""
    reasoning: bool = False


class Flow:
    """The end of a text that is not committed yet: less than a line, mostly."""

    def __init__(self) -> None:
        self._line: Line = []
        self._reasoning: bool | None = None

    def advance(self, spans: Iterable[Span], width: int) -> list[Line]:
        """Add to the text; the lines that are finished now."""
        finished = self._add([], width)  # The width may have changed.
        said = (span for span in spans if span.text)
        for reasoning, group in groupby(said, key=lambda span: span.reasoning):
            if reasoning != self._reasoning:
                finished += [self.last_line] if self._line else []
                finished += [] if self._reasoning is None else [[]]
                self._line, self._reasoning = [], reasoning
            finished += self._add([(span.text, span.style) for span in group], width)
        return finished

    @property
    def last_line(self) -> Line:
        """The line that is being written."""
        return self._with_gutter(self._line)

    def _add(self, pieces: Line, width: int) -> list[Line]:
        room = width - len(GUTTER) if self._reasoning else width
        *done, self._line = fold([*self._line, *pieces], room)
        return [self._with_gutter(line) for line in done]

    def _with_gutter(self, line: Line) -> Line:
        return [(GUTTER, "reasoning"), *line] if self._reasoning else line


def fold(pieces: Iterable[Piece], width: int) -> list[Line]:
    """The lines of a text, which with a break where the text has one are the text.

    Control characters are made visible, because as pictures they take columns.
    """
    parts = [
        # Of a space there is nothing to see, and no underline under it.
        (part, "" if part[0] == " " else style)
        for text, style in pieces
        for part in re.findall(r" +|[^ ]+", neutralise(text).replace("\t", TAB))
    ]
    return fill_lines(parts, max(width, 2))
