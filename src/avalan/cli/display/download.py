"""A download on the screen: its files, those on their way with a bar each, and all together.

On a terminal a few lines are redrawn, at most twelve times a second; in a pipe a line follows when
a file is there, and from time to time while a large one comes.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from avalan.cli.console import Console, cell_width, terminal_size
from avalan.cli.display.generation import Frame
from avalan.cli.display.layout import Line, columns_of, padded, shorten, shorten_path
from avalan.cli.display.screen import FRAME_S, Screen
from avalan.cli.display.signs import Signs, bar, is_live, signs
from avalan.cli.display.units import bytes_text, seconds_text
from avalan.hub.events import (
    Event,
    FileAdvanced,
    FileBroken,
    FileFinished,
    FileStarted,
    Finished,
    Started,
    Waiting,
    watching,
)
from avalan.locale import _

_LINE_EVERY_S = 10.0
_WINDOW_S = 5.0
"""Over which the speed is a mean."""
_BAR = 20
_WIDE, _NARROW = 72, 52


class Progress:
    """How far a download is; fed with events, in the order in which they happen."""

    def __init__(self) -> None:
        self.name = ""
        self.sizes: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.active: list[str] = []
        self.finished: list[str] = []
        self.remark = ""
        self._resumed_bytes = 0
        self._samples: list[tuple[float, int]] = []

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(self.sizes.values())

    @property
    def done_bytes(self) -> int:
        """Of all files, what is here."""
        return sum(self.done.values())

    def take(self, event: Event, now: float) -> None:
        """`event` happened at `now`, in seconds; files that were not announced are passed over."""
        if getattr(event, "file", None) not in (None, *self.sizes):
            return
        match event:
            case Waiting(name=name):
                self.remark = _("another program downloads {name}; waiting for it", name=name)
            case Started(name=name, sizes=sizes):
                self.name = name
                self.sizes, self.done, self.remark = dict(sizes), dict.fromkeys(sizes, 0), ""
                self.active, self.finished, self._samples = [], [], []
                self._resumed_bytes = 0
            case FileStarted(file=file, num_bytes=size):
                self.active.append(file)
                self.done[file] = size
                self._resumed_bytes += size
            case FileAdvanced(file=file, num_bytes=size):
                self.done[file] = size
                self.remark = ""
            case FileBroken(file=file, reason=reason, wait_s=wait):
                again = seconds_text(wait)
                self.remark = _(
                    "{file}: {reason}; again in {time}", file=file, reason=reason, time=again
                )
            case FileFinished(file=file):
                self.active.remove(file)
                self.done[file] = self.sizes[file]
                self.finished.append(file)
            case Finished():
                self.remark = ""
        self._samples.append((now, self.done_bytes - self._resumed_bytes))
        while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW_S:
            self._samples.pop(0)

    @property
    def bytes_per_s(self) -> float | None:
        """Of the last seconds; None where that is too little to tell."""
        if len(self._samples) < 2:
            return None
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end - start > 0.2 and after > before else None

    @property
    def left_s(self) -> float | None:
        """Until all is there, at the speed of the last seconds."""
        speed = self.bytes_per_s
        return (self.size_bytes - self.done_bytes) / speed if speed else None


def progress_lines(progress: Progress, width: int, draw: Signs) -> list[Line]:
    """A line for each file on its way, one for all, and a remark if there is one."""
    remark = [_remark(progress.remark, width, draw)] if progress.remark else []
    if not progress.sizes:
        return remark
    everything, longest_sizes = _("in all"), _sizes(999_900_000, 999_900_000)
    bar_width = _BAR if width >= _WIDE else _BAR // 2 if width >= _NARROW else 0
    taken = 2 + 2 + bar_width + 5 + (cell_width(longest_sizes) + 2 if bar_width else 0)
    longest = max(map(cell_width, [*progress.sizes, everything]))
    room = max(min(longest, width - taken), 6)

    def line(name: str, done: int, size: int, style: str = "") -> Line:
        share = min(done / size, 1.0) if size else 1.0
        full, empty = bar(share, draw, width=bar_width)
        sizes = f"  {_sizes(done, size)}" if bar_width else ""
        lead = f"  {padded(name, room)}  "
        return [(lead, style), (full, "step1"), (empty, "sign"), (f" {share:4.0%}{sizes}", style)]

    lines = [
        line(shorten_path(file, room, draw), progress.done[file], progress.sizes[file])
        for file in progress.active
    ]
    lines.append(line(everything, progress.done_bytes, progress.size_bytes, "bold"))
    figures = _figures(progress)
    if figures and columns_of(lines[-1]) + cell_width(figures) + 3 <= width:
        lines[-1].append((f" {draw.middle} {figures}", "figures"))
    elif figures:
        lines.append(_remark(figures, width, draw))
    return [*lines, *remark]


def finished_line(file: str, size: int, width: int, draw: Signs) -> Line:
    """A file that is here."""
    text = f"  {bytes_text(size)}"
    name = shorten_path(file, max(width - len(text) - 2, 4), draw)
    return [(f"  {name}", ""), (text, "figures")]


def _remark(text: str, width: int, draw: Signs) -> Line:
    return [(f"  {shorten(text, width - 2, draw)}", "figures")]


def _sizes(done: int, size: int) -> str:
    return _("{done} of {size}", done=bytes_text(done), size=bytes_text(size))


def _figures(progress: Progress) -> str:
    speed, left = progress.bytes_per_s, progress.left_s
    if speed is None or left is None:
        return ""
    return _("{speed}/s, {time} left", speed=bytes_text(round(speed)), time=seconds_text(left))


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Downloads that happen inside are shown."""
    if console.quiet or console.as_json:
        yield
        return
    progress = Progress()
    try:
        with ExitStack() as stack:
            view = (_Moving if is_live(console) else _Plain)(console, progress, stack)
            stack.enter_context(watching(view.see))
            yield
    except KeyboardInterrupt:
        if progress.done_bytes < progress.size_bytes:
            console.note(_stopped(progress))
        raise


def _stopped(progress: Progress) -> str:
    return _(
        "The download of {name} was stopped; {sizes} are kept, and the same command goes on from "
        "there.",
        name=progress.name,
        sizes=_sizes(progress.done_bytes, progress.size_bytes),
    )


class _Moving:
    """On a terminal. It takes the screen with the first event, so that no other is troubled."""

    def __init__(self, console: Console, progress: Progress, stack: ExitStack) -> None:
        self._console = console
        self._stack = stack
        self._draw = signs()
        self._screen: Screen | None = None
        self._progress = progress
        self._drawn_at = -FRAME_S

    def see(self, event: Event) -> None:
        now, progress, is_over = time.monotonic(), self._progress, isinstance(event, Finished)
        progress.take(event, now)
        if not is_over and now - self._drawn_at < FRAME_S:
            return
        size = terminal_size()
        # Less by one: a line as wide as the screen would wrap on some terminals.
        width = max(size.columns - 1, 20)
        below = [] if is_over else progress_lines(progress, width, self._draw)
        if self._screen is None:
            if not below:
                return
            self._screen = self._stack.enter_context(Screen(self._console))
            # However it ends, no bar is left that will never move again.
            self._stack.callback(self._screen.draw, Frame(size=size))
        self._drawn_at = now
        done, progress.finished = progress.finished, []
        finished = [finished_line(file, progress.sizes[file], width, self._draw) for file in done]
        self._screen.draw(Frame(size=size, finished=finished, below=below))


class _Plain:
    """In a pipe: lines on stderr."""

    def __init__(self, console: Console, progress: Progress, _stack: ExitStack) -> None:
        self._console = console
        self._progress = progress
        self._told_at = time.monotonic()

    def see(self, event: Event) -> None:
        now, progress = time.monotonic(), self._progress
        progress.take(event, now)
        match event:
            case FileFinished(file=file) if file in progress.sizes:
                self._console.note(f"{file}  {bytes_text(progress.sizes[file])}")
                self._told_at = now
            case Waiting() | FileBroken():
                self._console.note(progress.remark)
            case FileAdvanced() if now - self._told_at > _LINE_EVERY_S:
                sizes = _sizes(progress.done_bytes, progress.size_bytes)
                self._console.note(", ".join(filter(None, [sizes, _figures(progress)])))
                self._told_at = now
