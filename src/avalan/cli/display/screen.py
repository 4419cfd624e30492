"""The terminal: finished lines are written once, and below them a few lines are redrawn.

Between two frames the (hidden) cursor waits at the first of the redrawn lines. A terminal that is
resized wraps its lines anew, but keeps the cursor where its text is, so the next frame begins in
the right place without knowing how many rows the last one has now.
"""

import re
from dataclasses import replace
from typing import Self

from avalan.cli.console import Console, cell_width
from avalan.cli.display.generation import Frame
from avalan.cli.display.keyboard import Keyboard
from avalan.cli.display.layout import Line, trimmed
from avalan.cli.display.palette import Painter

FRAME_S = 1 / 12
"""A screen is drawn twelve times a second at most."""
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
# A terminal that knows these shows the frame at once; others ignore them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_CLEAR_LINE = "\x1b[K"
# Not from the first column: from the first cell of all, tmux keeps what it clears as history.
_CLEAR_BELOW = "\x1b[2G\x1b[J\r\x1b[K"
_SURE = re.compile("[\x00-\u02ff\u2010-\u25ff]*")
"""Letters below the accents, lines, blocks and signs: their width no terminal doubts."""


class Screen:
    """Draws frames; as a context, it leaves the terminal as it should be whatever happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._painter = Painter()
        self._last: Frame | None = None
        self._keyboard = Keyboard(console.terminal(), self.leave)

    def draw(self, frame: Frame) -> None:
        """Write the finished lines above, and the others in place of those of the last frame."""
        if not frame.finished and frame == self._last:
            return
        self._console.write(self._sequence(frame))
        self._last = replace(frame, finished=())

    def _sequence(self, frame: Frame) -> str:
        above = [f"{_CLEAR_LINE}{self._words(line)}\r\n" for line in frame.finished]
        live = [self._words(line) for line in frame.writing]
        live += [self._drawing(line) for line in frame.below]
        # Clearing comes first: after a line as wide as the screen it would eat its last character.
        cleared = [f"{_CLEAR_LINE}{line}" for line in live[:-1]]
        cleared += [f"{_CLEAR_BELOW}{line}" for line in live[-1:] or [""]]
        up = f"\x1b[{len(live) - 1}A" if len(live) > 1 else ""
        return "".join(
            [_BEGIN, _HIDE, "\r", *above, _NO_WRAP, "\r\n".join(cleared), _WRAP, up, "\r", _END]
        )

    def leave(self) -> None:
        """Let what is shown stand, and give the cursor back below it."""
        if self._last is None:
            self._console.write(_SHOW)
            return
        # Once more, over the ^C or ^Z that the terminal itself may have written into it.
        again = self._sequence(self._last)
        down = "\r\n" * (len(self._last.writing) + len(self._last.below))
        self._console.write(f"{again}{down}{_SHOW}")
        self._last = None

    def _words(self, line: Line) -> str:
        """A line of text; spaces at its end would only wrap."""
        return "".join(self._painter.paint(text, names) for text, names in trimmed(line))

    def _drawing(self, line: Line) -> str:
        """A line whose pieces stand where they should on any terminal.

        A terminal may count other columns for emoji or accents than we do; the next piece that
        begins with a blank is set to its column.
        """
        painted, column, is_sure = [], 0, True
        for text, names in trimmed(line):
            if not is_sure and text.startswith(" "):
                painted.append(f"\x1b[{column + 1}G")
                is_sure = True
            painted.append(self._painter.paint(text, names))
            column += cell_width(text)
            is_sure = is_sure and _SURE.fullmatch(text) is not None
        return "".join(painted)

    # --- leaving and coming back ---------------------------------------------------------------

    def __enter__(self) -> Self:
        self._keyboard.__enter__()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._keyboard.__exit__(kind, error, traceback)
