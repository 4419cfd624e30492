"""Stop strings: the answer ends before them, and no piece of one is ever shown."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scan:
    """What one piece of text led to."""

    text: str
    """What can be shown now."""
    stopped: bool
    """Whether a stop string is complete; nothing is shown after it."""


class StopScanner:
    """Reads a text in pieces and ends it at the stop string that is complete first.

    Of two that are complete at the same character the longer counts. What was shown does not
    depend on where the pieces were cut.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stop_strings = tuple(stop_strings)
        self._held = ""

    def push(self, text: str) -> Scan:
        """Read `text`; hold back an end that may be the beginning of a stop string."""
        text = self._held + text
        start = _first_match(text, self._stop_strings)
        if start is not None:
            self._held = ""
            return Scan(text[:start], True)
        cut = len(text) - _num_held(text, self._stop_strings)
        self._held = text[cut:]
        return Scan(text[:cut], False)

    def flush(self) -> str:
        """What is held, when no more text will come."""
        held, self._held = self._held, ""
        return held


def _first_match(text: str, stop_strings: Sequence[str]) -> int | None:
    """Where the match that ends first starts; of several, the leftmost start."""
    found = [(text.find(stop), len(stop)) for stop in stop_strings]
    matches = [(start + size, start) for start, size in found if start >= 0]
    return min(matches)[1] if matches else None


def _num_held(text: str, stop_strings: Sequence[str]) -> int:
    """Length of the longest end of `text` that begins a stop string."""
    longest = min(len(text), max(map(len, stop_strings), default=1) - 1)
    return next(
        (
            size
            for size in range(longest, 0, -1)
            if any(stop.startswith(text[-size:]) for stop in stop_strings)
        ),
        0,
    )
