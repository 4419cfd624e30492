"""Shows a generation while it runs: takes steps as they come, draws what is due.

Taking never waits for drawing, and drawing never holds up the model, which works in its own thread.
"""

import asyncio
import signal
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from time import monotonic

from avalan.cli.console import Console, terminal_size
from avalan.cli.display.chart import is_interesting
from avalan.cli.display.generation import Picture
from avalan.cli.display.screen import FRAME_S, Screen
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.signs import signs
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step

_SETTLES_S = 0.3
"""A window that is being resized has settled when it keeps its size so long."""


class Schedule:
    """The moments at which tokens are shown, in seconds from the start.

    The model is never halted: what comes during a pause waits, and is shown at once after it.
    """

    def __init__(self, pause_s: float) -> None:
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


class Live:
    """A screen, what is drawn on it, and the task that takes the steps."""

    def __init__(
        self,
        steps: AsyncIterator[Step],
        report: GenerationReport,
        settings: DisplaySettings,
        console: Console,
        seen: Callable[[Step], None],
    ) -> None:
        """
        Args:
            report: that of the generation; it is filled while the steps come.
            seen: called once with each step that is shown.
        """
        self._steps = steps
        self._picture = Picture(report, settings, signs())
        self._settings = settings
        self._screen = Screen(console)
        self._schedule = Schedule((settings.display_pause or 0) / 1000)
        self._taken: list[Step] = []
        self._seen = seen
        self._num_seen = 0
        self._started = monotonic()
        self._size = terminal_size()
        self._resized_at = -_SETTLES_S

    async def run(self) -> None:
        """Show the steps until the last one has been seen.

        Raises:
            BaseException: what the source raises, once everything before it is on the screen.
        """
        taking = asyncio.create_task(self._take())
        loop, resize = asyncio.get_running_loop(), getattr(signal, "SIGWINCH", None)
        with self._screen:
            if resize is not None:  # Where no signal tells, the next frame sees it.
                loop.add_signal_handler(resize, self._resized)
            seen_all = False
            try:
                await self._draw(taking)
                seen_all = True
            finally:
                if resize is not None:
                    loop.remove_signal_handler(resize)
                taking.cancel()
                await asyncio.wait({taking})
                # Whoever has had enough of it is not given the rest.
                num = len(self._taken) if seen_all else self._schedule.num_due(self._now())
                steps = self._see(num)
                self._screen.draw(self._picture.frame(steps, terminal_size(), is_over=True))
        taking.result()

    async def _take(self) -> None:
        async for step in self._steps:
            self._taken.append(step)
            # What is worth a look halts, or else every token.
            halts = not self._settings.display_probabilities or is_interesting(step, self._settings)
            self._schedule.add(self._now(), halts=halts)

    async def _draw(self, taking: "asyncio.Task[None]") -> None:
        """Frames, none sooner than `FRAME_S` after the one before, until all has been seen."""
        last = self._now() - FRAME_S
        while True:
            await asyncio.wait({taking}, timeout=FRAME_S)
            await asyncio.sleep(last + FRAME_S - self._now())
            last = self._now()
            if taking.done() and self._schedule.is_over(last):
                return
            if terminal_size() != self._size:
                self._resized()
            due = self._see(self._schedule.num_due(last))
            bare = last < self._resized_at + _SETTLES_S
            self._screen.draw(self._picture.frame(due, self._size, is_bare=bare))

    def _see(self, num: int) -> list[Step]:
        """The steps that are shown, once there are `num` of them."""
        for step in self._taken[self._num_seen : num]:
            self._seen(step)
        self._num_seen = max(num, self._num_seen)
        return self._taken[:num]

    def _resized(self) -> None:
        """Take away what is drawn, so that the next step of the mouse finds nothing to wrap."""
        self._size = terminal_size()
        self._resized_at = self._now()
        self._screen.draw(self._picture.frame([], self._size, is_bare=True))

    def _now(self) -> float:
        return monotonic() - self._started
