"""Shows a generation while it runs: takes steps as they come, draws what is due.

Taking never waits for drawing, and drawing never holds up the model, which works in its own thread.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from avalan.cli.console import Console
from avalan.cli.display.chart import is_interesting
from avalan.cli.display.figures import figures
from avalan.cli.display.flow import Flow, Line, advance, last_line
from avalan.cli.display.frames import FRAME_S, Schedule
from avalan.cli.display.generation import Frame, Size, View, is_reasoning, panel, span
from avalan.cli.display.screen import Screen, is_live, terminal_size
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.tokens import Glyphs, glyphs
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step

_WIDEST_MARGIN = 6
_SETTLES_S = 0.3
"""A window that is being resized has settled when it keeps its size so long."""
_PAGE_LINES = 60
"""What fits where the cursor cannot be moved, and the picture is drawn once."""


async def show(
    steps: AsyncIterator[Step],
    report: GenerationReport,
    settings: DisplaySettings,
    console: Console,
) -> None:
    """Show `steps` until the last one has been seen.

    Args:
        report: of the generation; filled while the steps come.

    Raises:
        BaseException: what the source raises, once everything before it is on the screen.
    """
    picture = Picture(report, settings, glyphs())
    if is_live(console):
        await _Live(steps, picture, settings, console).run()
    else:
        await _plainly(steps, picture, console)


class Picture:
    """The frames of one generation: what is finished, and what is redrawn below it."""

    def __init__(self, report: GenerationReport, settings: DisplaySettings, draw: Glyphs) -> None:
        self._report = report
        self._settings = settings
        self._draw = draw
        self._flow = Flow()
        self._num_flowed = 0
        self._origin = 0
        self._size = Size(width=0, height=0)
        self._tallest = 0

    def frame(
        self, steps: Sequence[Step], size: Size, *, is_over: bool = False, is_bare: bool = False
    ) -> Frame:
        """What changes since the last frame.

        Args:
            steps: all that are to be seen; those of the last frame and more.
            is_bare: the text alone.
        """
        spans = [span(step) for step in steps[self._num_flowed :] if self._flows(step)]
        self._num_flowed = max(len(steps), self._num_flowed)
        finished, self._flow = advance(self._flow, spans, size.width)
        writing = last_line(self._flow, size.width)
        below: list[Line] = []
        if not is_bare:
            below = self._steady(self.panel(steps, size, is_over=is_over), size, is_over=is_over)
        return Frame(
            size=size,
            finished=finished,
            writing=[] if is_over and not writing else [writing],
            below=below,
        )

    def _flows(self, step: Step) -> bool:
        """Whether the token's text is shown; its box always is."""
        return self._settings.reasoning or not is_reasoning(step)

    def panel(self, steps: Sequence[Step], size: Size, *, is_over: bool) -> list[Line]:
        """The lines below the text."""
        nth = self._settings.display_time_to_n_token
        view = View(
            steps=steps,
            figures=figures(steps, self._report, nth=nth, is_over=is_over),
            settings=self._settings,
            draw=self._draw,
            origin=self._origin if size == self._size else 0,
            is_over=is_over,
        )
        # A window that is made a little narrower must not wrap what is drawn before it is redrawn.
        margin = min(size.width // 20, _WIDEST_MARGIN)
        lines, view = panel(view, replace(size, width=size.width - margin))
        self._origin = view.origin
        return lines

    def _steady(self, lines: list[Line], size: Size, *, is_over: bool) -> list[Line]:
        """The figures stay where they are when a row of boxes goes."""
        if size != self._size:
            self._size, self._tallest = size, 0
        self._tallest = max(self._tallest, len(lines))
        blank: list[Line] = [[] for _ in range(self._tallest - len(lines))]
        return lines if is_over else [*lines[:-1], *blank, *lines[-1:]]


class _Live:
    """A screen, what is drawn on it, and the task that takes the steps."""

    def __init__(
        self,
        steps: AsyncIterator[Step],
        picture: Picture,
        settings: DisplaySettings,
        console: Console,
    ) -> None:
        self._steps = steps
        self._picture = picture
        self._settings = settings
        self._screen = Screen(console)
        self._schedule = Schedule(settings.pause_s)
        self._taken: list[Step] = []
        self._started = monotonic()
        self._size = terminal_size()
        self._resized_at = -_SETTLES_S

    async def run(self) -> None:
        taking = asyncio.create_task(self._take())
        with self._screen, _on_resize(self._resized):
            try:
                await self._draw(taking)
            finally:
                taking.cancel()
                await asyncio.wait({taking})
                self._screen.draw(self._picture.frame(self._taken, terminal_size(), is_over=True))
        taking.result()

    async def _take(self) -> None:
        async for step in self._steps:
            self._taken.append(step)
            self._schedule.add(self._now(), halts=_halts(step, self._settings))

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
            due = self._taken[: self._schedule.num_due(last)]
            bare = last < self._resized_at + _SETTLES_S
            self._screen.draw(self._picture.frame(due, self._size, is_bare=bare))

    def _resized(self) -> None:
        """Take away what is drawn, so that the next step of the mouse finds nothing to wrap."""
        self._size = terminal_size()
        self._resized_at = self._now()
        self._screen.draw(self._picture.frame([], self._size, is_bare=True))

    def _now(self) -> float:
        return monotonic() - self._started


@contextmanager
def _on_resize(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` between two frames when the window changes; where no signal tells, it does not."""
    number = getattr(signal, "SIGWINCH", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


def _halts(step: Step, settings: DisplaySettings) -> bool:
    """Whether the display waits after `step`: at what is worth a look, or else at every token."""
    return not settings.display_probabilities or is_interesting(step, settings)


async def _plainly(steps: AsyncIterator[Step], picture: Picture, console: Console) -> None:
    """Where the cursor cannot be moved: the text as it comes, and the picture of its end."""
    taken: list[Step] = []
    try:
        async for step in steps:
            taken.append(step)
            console.print(step.token.text, end="")
    finally:
        text = "".join(step.token.text for step in taken)
        if text and not text.endswith("\n"):
            console.print()
        size = Size(width=console.width, height=_PAGE_LINES)
        for line in picture.panel(taken, size, is_over=True):
            console.print("".join(text for text, _ in line).rstrip())
