"""The pictures of a generation: the text that flows, and below it its last tokens, their
alternatives and the figures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from avalan.cli.console import cell_width
from avalan.cli.display.chart import NARROWEST_BESIDE, chart_lines, is_interesting, table_lines
from avalan.cli.display.figures import figures_text
from avalan.cli.display.flow import Flow, Span
from avalan.cli.display.layout import Line, columns_of, padded
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.signs import Signs
from avalan.cli.display.tokens import BOX_HEIGHT, STEPS, box, row_lines, row_starts, surprise
from avalan.locale import _
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step

NARROWEST = 24
"""Columns below which the figures alone are shown."""
_WIDEST_MARGIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What changes on a terminal at one moment."""

    size: os.terminal_size
    finished: Sequence[Line] = ()
    """Lines of text, to be written once and for all."""
    writing: Sequence[Line] = ()
    """The line of text that is being written, if there is one."""
    below: Sequence[Line] = ()


class Picture:
    """The frames of one generation: what is finished, and what is redrawn below it."""

    def __init__(self, report: GenerationReport, settings: DisplaySettings, draw: Signs) -> None:
        self._report = report
        self._settings = settings
        self._draw = draw
        self._flow = Flow()
        self._num_flowed = 0
        self._size = os.terminal_size((0, 0))
        self._tallest = 0
        self._origin = 0
        """The token that begins the first row of boxes; rows keep their places while more come."""

    def frame(
        self,
        steps: Sequence[Step],
        size: os.terminal_size,
        *,
        is_over: bool = False,
        is_bare: bool = False,
    ) -> Frame:
        """What changes since the last frame.

        Args:
            steps: all that are to be seen; those of the last frame and more.
            is_bare: the text alone.
        """
        new = steps[self._num_flowed :]
        # The text of reasoning may be hidden; its boxes never are.
        said = (step for step in new if self._settings.reasoning or not step.token.reasoning)
        self._num_flowed = max(len(steps), self._num_flowed)
        finished = self._flow.advance(map(_span, said), size.columns)
        writing = self._flow.last_line
        below = [] if is_bare else self.panel(steps, size, is_over=is_over)
        if not is_bare and not is_over:  # The figures stay where they are when a row of boxes goes.
            self._tallest = max(self._tallest, len(below))
            blank: list[Line] = [[] for _ in range(self._tallest - len(below))]
            below = [*below[:-1], *blank, *below[-1:]]
        return Frame(
            size=size,
            finished=finished,
            writing=[] if is_over and not writing else [writing],
            below=below,
        )

    def panel(
        self, steps: Sequence[Step], size: os.terminal_size, *, is_over: bool = False
    ) -> list[Line]:
        """The lines below the text.

        They are fewer than the terminal's, because the line that is being written stands above.
        """
        if size != self._size:
            self._size, self._tallest, self._origin = size, 0, 0
        # A window that is made a little narrower must not wrap what is drawn before it is redrawn.
        width = size.columns - min(size.columns // 20, _WIDEST_MARGIN)
        nth = self._settings.display_time_to_n_token
        figures = figures_text(steps, self._report, nth=nth, is_over=is_over, width=width)
        foot: list[Line] = [[(padded(figures, width, right=True), "figures")]]
        if not steps and not is_over:
            foot = [[(_("Reading the prompt"), "border")]]
        room = max(size.lines - 2, 0)
        if not steps or width < NARROWEST:
            return foot[:room]
        current = considered(steps, self._settings)
        details = self._details(current, width)
        while details and len(details[-1]) + BOX_HEIGHT + len(foot) > room:
            details.pop()
        below = details[-1] if details else []
        num_rows = max(1, (room - len(below) - len(foot)) // BOX_HEIGHT)
        rows = self._rows(steps, current, width, num_rows, is_over=is_over)
        spare = room - len(rows) - len(below) - len(foot)
        lines = [*([[]] if spare >= 1 else []), *rows, *([[]] if below and spare >= 2 else [])]
        lines += below
        if spare >= 4 or (spare >= 3 and not below):
            lines.append([])
            foot = self._with_legend(figures, width)
        return [*lines, *foot][:room]

    def _rows(
        self, steps: Sequence[Step], current: Step, width: int, most: int, *, is_over: bool
    ) -> list[Line]:
        """The last tokens as boxes, `most` rows of them."""
        shown_from = max(0, len(steps) - self._settings.num_tokens)
        origin = shown_from if is_over else min(self._origin, shown_from)
        boxes = [
            box(
                step.piece,
                step.token.token_id,
                step.kind,
                self._draw,
                width=width,
                level=surprise(step.probability),
                current=step is current,
            )
            for step in steps[origin:]
        ]
        widths = [columns_of(each[0]) for each in boxes]
        starts = row_starts(widths, width)
        first = max(i for i, start in enumerate(starts) if start + origin <= shown_from)
        first = max(first, len(starts) - most)
        hidden = shown_from - origin
        lines: list[Line] = []
        for start, end in zip(starts[first:], [*starts[first + 1 :], len(boxes)], strict=True):
            gone = min(max(hidden - start, 0), end - start)
            lines += row_lines(boxes[start + gone : end], sum(widths[start : start + gone]))
        self._origin = origin + starts[first]
        return lines

    def _details(self, step: Step, width: int) -> list[list[Line]]:
        """The chart and its tables, in forms that take ever less room, the roomiest last."""
        if not self._settings.display_probabilities:
            return []
        if width >= NARROWEST_BESIDE:
            chart_width = min(max(width * 9 // 20, 44), 96) if width >= 96 else 32
            chart = chart_lines(step, chart_width, self._draw)
            tables = table_lines(step, min(width - chart_width - 2, 96), self._draw)
            return [_beside(chart, tables, chart_width + 2)]
        chart = chart_lines(step, width, self._draw)
        table = table_lines(step, width, self._draw, num_tables=1)
        return [table, chart, [*chart, *table]]

    def _with_legend(self, figures: str, width: int) -> list[Line]:
        """What the shapes mean: to the left of the figures, or else above them."""
        draw = self._draw
        entries = [
            (draw.marks[level], _("below {share:.0%}", share=share), f"step{level}")
            for level, share in enumerate(STEPS, 1)
        ]
        entries.append((draw.special[3], _("special"), "special"))
        entries.append((draw.added[3], _("added"), "added"))
        legend: Line = []
        for sign, text, style in entries:
            legend += [(f"{sign} ", style), (f"{text}   ", "border")]
        room = width - columns_of(legend)
        if cell_width(figures) + 2 <= room:
            return [[*legend, (padded(figures, room, right=True), "figures")]]
        foot: Line = [(padded(figures, width, right=True), "figures")]
        return [legend, foot] if room >= 0 else [foot]


def considered(steps: Sequence[Step], settings: DisplaySettings) -> Step:
    """The token that is looked at: the last interesting one that is shown, or the last."""
    shown = steps[-settings.num_tokens :] if settings.display_probabilities else ()
    found = [step for step in shown if is_interesting(step, settings)]
    return found[-1] if found else steps[-1]


def _span(step: Step) -> Span:
    """A token's part of the text, in the tone of its surprise."""
    level, reasoning = surprise(step.probability), step.token.reasoning
    style = "reasoning" if reasoning else f"text{level}" if level else ""
    return Span(step.token.text, style, reasoning)


def _beside(left: Sequence[Line], right: Sequence[Line], column: int) -> list[Line]:
    """Two drawings, the second one from `column` on."""
    blank: Line = []
    return [
        [*line, (" " * (column - columns_of(line)), ""), *other]
        for line, other in zip_longest(left, right, fillvalue=blank)
    ]
