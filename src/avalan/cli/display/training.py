"""A training run on the screen: its plan, one line that moves, and its loss as a drawing."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from statistics import fmean

from avalan.cli.console import Console, terminal_size
from avalan.cli.display import screen as drawing
from avalan.cli.display.generation import Frame
from avalan.cli.display.units import bytes_text, count_text, seconds_text
from avalan.locale import _, number
from avalan.train.plan import Plan
from avalan.train.run_folder import StepReport

CHART_HEIGHT = 9


class Screen:
    """Shows a run's events: a chart that moves on a terminal, lines in a pipe, JSON lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Where a line cannot move, lines follow each other as in a pipe.
        is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._moves = console.interactive and not is_plain
        self._chart: drawing.Screen | None = None
        self._reports: list[StepReport] = []
        self.step = 0
        """The last step that was told."""

    def phase(self, text: str) -> None:
        """A part of the run without steps begins."""
        self.leave()
        self._tell({"event": "phase", "text": text}, f"{_(text)} …" if self._moves else _(text))

    def step_report(self, report: StepReport) -> None:
        """The run has come further."""
        self.step = report.step
        if report.step < (self._reports[-1].step if self._reports else 0):
            self._reports.clear()  # Another run begins.
        if report.held_out_loss is not None and self._reports:
            self._reports.pop()  # The same step, told with more.
        self._reports.append(report)
        lines = self._lines(report)
        if lines is None:
            self._tell({"event": "step", **asdict(report)}, step_line(report))
            return
        if self._chart is None:
            self._console.clear_progress()
            self._chart = drawing.Screen(self._console)
        below = [[(line, "")] for line in lines]
        self._chart.draw(Frame(size=terminal_size(), below=below))

    def _lines(self, report: StepReport) -> list[str] | None:
        """The chart so far above the run's line; None where there is no room to move it."""
        size = terminal_size()
        if not self._moves or self._console.quiet or size.lines < CHART_HEIGHT + 6:
            return None
        chart = loss_chart(self._reports, width=min(self._console.width, 80))
        line = step_line(report)
        return [*chart, *([""] if chart else []), line[: max(self._console.width - 1, 1)]]

    def leave(self) -> None:
        """Let the chart stand as it is, and give the cursor back below it."""
        if self._chart is not None:
            self._chart.leave()
            self._chart = None

    def _tell(self, document: Mapping[str, object], text: str) -> None:
        if self._console.as_json:
            self._console.json(document)
        elif self._moves:
            self._console.progress(text)
        elif not self._console.quiet:
            self._console.print(text)

    def drawing(self, reports: Sequence[StepReport]) -> None:
        """The loss of the whole run, for people only; not twice where it moved."""
        moved = self._chart is not None
        self.leave()
        if self._moves and not self._console.quiet and not moved:
            for line in loss_chart(reports, width=min(self._console.width, 80)):
                self._console.print(line)


def step_line(report: StepReport) -> str:
    """`step 120/3,800 · loss 2.310 · 4,050 tokens/s · 58 min 20 s left`."""
    left = report.remaining_s
    parts = [
        _("step {step:,}/{total:,}", step=report.step, total=report.num_steps),
        _("loss {loss:.3f}", loss=report.loss),
        *_held_out(report),
        _("{speed:,.0f} tokens/s", speed=report.tokens_per_s),
        _("{time} left", time=seconds_text(left)) if left else _("done"),
    ]
    return " · ".join(parts)


def _held_out(report: StepReport) -> list[str]:
    loss = report.held_out_loss
    return [] if loss is None else [_("{loss:.3f} on what is held out", loss=loss)]


def loss_chart(reports: Sequence[StepReport], *, width: int) -> list[str]:
    """The loss over the steps as lines of text; none where there is too little to draw.

    Each column is the mean of the reports that fall into it, so a spike of one report shows less
    in a long run.
    """
    if len(reports) < 2:
        return []
    count = max(2, min(width - 9, len(reports)))
    cuts = [index * len(reports) // count for index in range(count + 1)]
    columns = [fmean(each.loss for each in reports[a:b]) for a, b in pairwise(cuts)]
    low, high = min(columns), max(columns)
    step = (high - low) / (CHART_HEIGHT - 1) or 1.0
    heights = [round((value - low) / step) for value in columns]
    lines = [_("loss, nats")]
    for row in reversed(range(CHART_HEIGHT)):
        label = f"{low + row * step:7.3f}" if row % 4 == 0 else " " * 7
        dots = "".join("•" if height == row else " " for height in heights)
        lines.append(f"{label} {dots}".rstrip())
    first, last = _("step {step:,}", step=reports[0].step), number(reports[-1].step)
    gap = max(1, len(columns) - len(first) - len(last))
    return [*lines, " " * 8 + "─" * len(columns), f"{' ' * 8}{first}{' ' * gap}{last}"]


def plan_rows(plan: Plan) -> list[tuple[str, str]]:
    """What a plan says, as label and text."""
    total, done = plan.num_steps, plan.done_steps
    steps = number(total)
    if done:
        steps = _("{total:,}, going on after {done:,}", total=total, done=done)
    if done >= total:
        steps = _("{total:,}, all done", total=total)
    time = _("unknown until measured; the first report tells it")
    if plan.estimated_s is not None and done < total:
        best, worst = map(seconds_text, plan.estimated_s)
        time = _(
            "{best} to {worst}, judged by this processor",
            best=best,
            worst=worst,
        )
    if plan.tokens_per_s is not None and plan.remaining_s is not None:
        left, speed = seconds_text(plan.remaining_s), plan.tokens_per_s
        time = _("{time} left at {speed:,.0f} tokens/s, as last measured", time=left, speed=speed)
    tokens, size = count_text(plan.num_tokens), bytes_text(plan.checkpoint_bytes)
    kept = _(
        "{size} every {count:,} steps, the last two are kept", size=size, count=plan.save_steps
    )
    return [
        (_("parameters"), _parameters(plan)),
        (_("memory"), _("about {size}", size=bytes_text(plan.memory_bytes))),
        (_("tokens"), _("{total}, {count:,} a step", total=tokens, count=plan.tokens_per_step)),
        (_("steps"), steps),
        (_("checkpoints"), kept),
        (_("folder"), plan.folder),
        (_("time"), time),
    ]


def _parameters(plan: Plan) -> str:
    total = count_text(plan.num_parameters)
    if plan.num_trained == plan.num_parameters:
        return _("{total}, all of them learn", total=total)
    return _("{total}, of which {trained} learn", total=total, trained=count_text(plan.num_trained))
