"""A terminal while something is drawn on it: keys that are pressed do not show.

Their echo would fall into the drawing. What was typed stays for the shell to read, so commands that
were pasted together all run, and Ctrl-C and Ctrl-Z work on.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Self

if sys.platform != "win32":  # Whose terminals have no such modes.
    import termios

ENDING = ("SIGTERM", "SIGHUP", "SIGQUIT")
"""The signals by which others end a command; not every system has all."""
_LOCAL_MODES = 3
"""Where `termios.tcgetattr` keeps the flags of the echo."""


class Keyboard:
    """As a context, keeps keys from showing; the terminal comes back as it was however it ends."""

    def __init__(self, terminal: int | None, leave: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            terminal: its descriptor, if there is one.
            leave: sees to an orderly screen before the shell gets it, at the end and at Ctrl-Z.
        """
        self._terminal = terminal
        self._leave = leave
        self._modes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        handlers = dict.fromkeys(ENDING, self._end)
        for name, handler in (handlers | {"SIGTSTP": self._stop}).items():
            for number in unhandled([name]):
                self._handlers[number] = signal.signal(number, handler)
        self._hush()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if not isinstance(error, OSError):  # There may be no terminal any more.
                self._leave()
        finally:
            self._restore()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def _hush(self) -> None:
        if self._terminal is not None and _is_ours(self._terminal):
            self._modes = termios.tcgetattr(self._terminal)
            modes = self._modes.copy()
            modes[_LOCAL_MODES] &= ~(termios.ECHO | termios.ECHONL)
            termios.tcsetattr(self._terminal, termios.TCSANOW, modes)

    def _restore(self) -> None:
        modes, self._modes = self._modes, None
        if modes is not None and self._terminal is not None and _is_ours(self._terminal):
            termios.tcsetattr(self._terminal, termios.TCSANOW, modes)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Ended from outside: the terminal is put in order first."""
        raise SystemExit(128 + number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets an orderly terminal; afterwards it goes on below."""
        self._leave()
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)
        self._hush()


def unhandled(names: Iterable[str]) -> list[int]:
    """The numbers of those signals that this system has and nobody handles or ignores."""
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    return [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]


def _is_ours(terminal: int) -> bool:
    """Whether its modes are ours to set: in the background they are another's, who would see us
    stopped for it."""
    if sys.platform == "win32":
        return False
    try:
        termios.tcgetattr(terminal)
    except termios.error:  # It was closed meanwhile.
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # Of no job control, so nobody else's.
        return True
