"""When tokens appear: as they come, later where the display halts, and so many frames a second."""

from bisect import bisect_right

FRAMES_PER_S = 12
FRAME_S = 1 / FRAMES_PER_S


class Schedule:
    """The moments at which tokens are shown, in seconds from the start.

    The model is never halted: what comes during a pause waits, and is shown at once after it.
    """

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._times: list[float] = []
        self._free_at = 0.0

    def add(self, arrival_s: float, *, halts: bool) -> None:
        """The next token came at `arrival_s`; with `halts`, the one after it waits."""
        time = max(arrival_s, self._free_at)
        self._times.append(time)
        self._free_at = time + self._pause_s if halts else time

    def num_due(self, now_s: float) -> int:
        """How many tokens are shown at `now_s`."""
        return bisect_right(self._times, now_s)

    def is_over(self, now_s: float) -> bool:
        """Whether all tokens were shown, and the last one for as long as it halts."""
        return now_s >= self._free_at
