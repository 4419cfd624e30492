"""The screen of a generation: below the text that flows, its last tokens, their alternatives and
the figures.

Pure functions from the steps so far and the size of the terminal to lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from avalan.cli.display.chart import (
    NARROWEST_BESIDE,
    chart_lines,
    is_interesting,
    table_lines,
)
from avalan.cli.display.figures import Figures, figures_text
from avalan.cli.display.flow import Line, Span, columns, columns_of
from avalan.cli.display.layout import padded
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.tokens import (
    BOX_HEIGHT,
    STEPS,
    Glyphs,
    box,
    row_lines,
    row_starts,
    surprise,
)
from avalan.locale import _
from avalan.model.nlp.steps import Step

NARROWEST = 24
"""Columns below which the figures alone are shown."""
_MOST_BEFORE = 1000
"""Tokens by which a row of boxes may begin before those that are shown; more come only in bursts,
when nothing has to keep its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a terminal, in cells."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What changes on a terminal at one moment."""

    size: Size
    finished: Sequence[Line] = ()
    """Lines of text, to be written once and for all."""
    writing: Sequence[Line] = ()
    """The line of text that is being written, if there is one."""
    below: Sequence[Line] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is on the screen at one moment."""

    steps: Sequence[Step]
    figures: Figures
    settings: DisplaySettings
    draw: Glyphs
    origin: int = 0
    """The token that begins the first row of boxes; rows keep their places while more come."""
    is_over: bool = False


def span(step: Step) -> Span:
    """A token's part of the text, in the tone of its surprise."""
    level = surprise(step.probability)
    reasoning = is_reasoning(step)
    style = "reasoning" if reasoning else f"text{level}" if level else ""
    return Span(step.token.text, style, reasoning)


def is_reasoning(step: Step) -> bool:
    """Whether the token belongs to the model's reasoning, not to its answer."""
    return step.token.reasoning


# --- what stands where --------------------------------------------------------------------------


def panel(view: View, size: Size) -> tuple[list[Line], View]:
    """The lines below the text, and the view with the rows of boxes where they are now.

    They are fewer than `size.height`, because the line that is being written stands above them.
    """
    foot = _footer(view, size)
    room = size.height - 2
    if not view.settings.num_tokens or not view.steps or size.width < NARROWEST:
        return foot[: max(room, 0)], view
    details = _details(view, size)
    while details and len(details[-1]) + BOX_HEIGHT + len(foot) > room:
        details.pop()
    below = details[-1] if details else []
    num_rows = max(1, (room - len(below) - len(foot)) // BOX_HEIGHT)
    rows, view = _rows(view, size.width, num_rows)
    spare = room - len(rows) - len(below) - len(foot)
    lines = [*([[]] if spare >= 1 else []), *rows, *([[]] if below and spare >= 2 else []), *below]
    if spare >= 4 or (spare >= 3 and not below):
        lines.append([])
        foot = _with_legend(view, size.width, foot)
    return [*lines, *foot][: max(room, 0)], view


def considered(view: View) -> Step:
    """The token that the chart is about: the last interesting one that is shown, or the last."""
    shown = view.steps[-view.settings.num_tokens :]
    found = [step for step in shown if is_interesting(step, view.settings)]
    return found[-1] if found else shown[-1]


def _rows(view: View, width: int, most: int) -> tuple[list[Line], View]:
    """The last tokens as boxes, `most` rows of them."""
    shown_from = max(0, len(view.steps) - view.settings.num_tokens)
    origin = min(view.origin, shown_from)
    if view.is_over or shown_from - origin > _MOST_BEFORE:
        origin = shown_from
    current = considered(view) if view.settings.display_probabilities else view.steps[-1]
    boxes = [
        box(step, view.draw, width=width, current=step is current) for step in view.steps[origin:]
    ]
    widths = [each.width for each in boxes]
    starts = row_starts(widths, width)
    first = max(i for i, start in enumerate(starts) if start + origin <= shown_from)
    first = max(first, len(starts) - most)
    hidden = shown_from - origin
    lines: list[Line] = []
    for start, end in zip(starts[first:], [*starts[first + 1 :], len(boxes)], strict=True):
        gone = min(max(hidden - start, 0), end - start)
        lines += row_lines(boxes[start + gone : end], sum(widths[start : start + gone]))
    return lines, replace(view, origin=origin + starts[first])


def _details(view: View, size: Size) -> list[list[Line]]:
    """The chart and its tables, in forms that take ever less room, the roomiest last."""
    if not view.settings.display_probabilities:
        return []
    step, draw, width = considered(view), view.draw, size.width
    if width >= NARROWEST_BESIDE:
        chart_width = min(max(width * 9 // 20, 44), 96) if width >= 96 else 32
        tables = table_lines(step, min(width - chart_width - 2, 96), draw)
        return [_beside(chart_lines(step, chart_width, draw), tables, chart_width + 2)]
    chart = chart_lines(step, width, draw)
    table = table_lines(step, width, draw, num_tables=1)
    return [table, chart, [*chart, *table]]


def _beside(left: Sequence[Line], right: Sequence[Line], column: int) -> list[Line]:
    lines = []
    for row, line in enumerate(left):
        gap = " " * (column - columns_of(line))
        lines.append([*line, (gap, ""), *(right[row] if row < len(right) else [])])
    return lines


def _with_legend(view: View, width: int, foot: list[Line]) -> list[Line]:
    """What the shapes mean: to the left of the figures, or else above them."""
    legend, text = _legend(view.draw), figures_text(view.figures, width)
    used = columns_of(legend)
    if used + columns(text) + 2 <= width:
        return [[*legend, (padded(text, width - used, right=True), "figures")]]
    return [legend, *foot] if used <= width else foot


def _legend(draw: Glyphs) -> Line:
    marks = [
        (draw.marks[level], _("below {share:.0%}", share=share), f"step{level}")
        for level, share in enumerate(STEPS, 1)
    ]
    borders = [
        (draw.special[3], _("special"), "special"),
        (draw.added[3], _("added"), "added"),
    ]
    line: Line = []
    for sign, text, style in [*marks, *borders]:
        line += [(f"{sign} ", style), (f"{text}   ", "border")]
    return line


def _footer(view: View, size: Size) -> list[Line]:
    if not view.steps and not view.is_over:
        return [[(_("Reading the prompt"), "border")]]
    text = figures_text(view.figures, size.width)
    if view.settings.num_tokens:
        text = padded(text, size.width, right=True)
    return [[(text, "figures")]]
