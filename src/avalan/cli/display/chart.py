"""What else the model could have said: which tokens are worth a look, their chart and tables.

All probabilities are the model's own at that step, before temperature and filters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from avalan.cli.console import cell_width
from avalan.cli.display.layout import Line, columns_of, padded
from avalan.cli.display.settings import NUM_ALTERNATIVES, DisplaySettings
from avalan.cli.display.signs import Signs
from avalan.cli.display.tokens import surprise, visible
from avalan.locale import _
from avalan.model.nlp.steps import Step

BAR_ROWS = 5
TABLE_ROWS = NUM_ALTERNATIVES // 2
CHART_HEIGHT = BAR_ROWS + 2
"""Its title, the bars, and what stands below them."""
NARROWEST_BESIDE = 72
"""Columns for the chart and both tables beside each other."""
SCALES = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""What a full bar may stand for; the title tells which one it is."""
_AROUND = 10
"""Columns of a table's row besides id and token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that could have been chosen, or was."""

    token_id: int
    text: str
    probability: float
    chosen: bool = False


def candidates(step: Step) -> list[Candidate]:
    """The chosen token and the most probable others, at most `NUM_ALTERNATIVES` of them.

    Returns:
        All of them, the most probable first.
    """
    token = step.token
    chosen = Candidate(
        token_id=token.token_id, text=step.piece, probability=step.probability, chosen=True
    )
    others = [
        Candidate(token_id=each.token_id, text=each.text, probability=math.exp(each.logprob))
        for each in token.alternatives
        if each.token_id != token.token_id
    ]
    return sorted(
        [chosen, *others[:NUM_ALTERNATIVES]], key=lambda each: (-each.probability, not each.chosen)
    )


def is_interesting(step: Step, settings: DisplaySettings) -> bool:
    """Whether the model was less than sure, or nearly said something else."""
    if step.probability < settings.display_probabilities_maximum:
        return True
    least, chosen = settings.display_probabilities_sample_minimum, step.token.token_id
    alternatives = step.token.alternatives
    return any(each.token_id != chosen and math.exp(each.logprob) >= least for each in alternatives)


def arrange(found: Sequence[Candidate]) -> list[Candidate]:
    """The chosen one in the middle, the others by turns left and right of it, falling outwards."""
    others = [each for each in found if not each.chosen]
    chosen = [each for each in found if each.chosen]
    return [*others[0::2][::-1], *chosen, *others[1::2]]


# --- the chart ----------------------------------------------------------------------------------


def chart_lines(step: Step, width: int, draw: Signs) -> list[Line]:
    """A bar for each candidate around the chosen one, `CHART_HEIGHT` lines of `width` columns."""
    shown = arrange(candidates(step))
    # Both sides are drawn as wide as the wider one, so that the chosen bar stands in the middle.
    per_side = max(len(shown) // 2, NUM_ALTERNATIVES // 2)
    num_bars = 2 * per_side + 1
    size = max(1, min((width + 1) // num_bars - 1, 7))
    lead = max(0, (width - num_bars * (size + 1) + 1) // 2)
    middle = next(index for index, each in enumerate(shown) if each.chosen)
    lead += (per_side - middle) * (size + 1)
    scale = scale_of(shown)
    bars = [_bar(each, size, scale, draw) for each in shown]
    lines: list[Line] = [[(" " * lead, "")] for _ in range(BAR_ROWS)]
    for bar, style in bars:
        for line, part in zip(lines, bar, strict=True):
            line += [(part, style), (" ", "")]
    return [_title(step, width, scale, draw), *lines, _labels(shown, size, lead, draw)]


def scale_of(shown: Sequence[Candidate]) -> float:
    """The probability of a full bar: the first of `SCALES` that the highest one fits in."""
    most = max(each.probability for each in shown)
    return next((scale for scale in SCALES if most <= scale), 1.0)


def _bar(each: Candidate, size: int, scale: float, draw: Signs) -> tuple[list[str], str]:
    """A bar from its top row to its foot, and its style."""
    filled = round(each.probability / scale * BAR_ROWS * 8)
    rows = [draw.eighths[min(max(filled - 8 * below, 0), 8)] * size for below in range(BAR_ROWS)]
    if not filled:
        rows[0] = draw.baseline * size
    if not each.chosen:
        return rows[::-1], "other" if filled else "border"
    return rows[::-1], f"step{surprise(each.probability)} bold"


def _labels(shown: Sequence[Candidate], size: int, lead: int, draw: Signs) -> Line:
    """The texts below their bars where they fit; the chosen one is pointed at in any case."""
    line: Line = [(" " * lead, "")]
    for each in shown:
        label: Line = [(draw.chosen, "bold")]
        if size >= 5:
            label = visible(each.text, draw, width=size)
        elif not each.chosen:
            label = [("", "")]
        used = columns_of(label)
        before = (size - used) // 2
        style = "current" if each.chosen and size >= 5 else ""
        line += [(" " * before, ""), *[(text, f"{tone} {style}".strip()) for text, tone in label]]
        line.append((" " * (size - used - before + 1), ""))
    return line


def _title(step: Step, width: int, scale: float, draw: Signs) -> Line:
    """The token and its percentage on the left, what the bars' height means on the right."""
    percentage = f" {percent(step.probability)}"
    height = f"  0{draw.dash}{scale:.0%}"
    level = surprise(step.probability)
    mark = f"{draw.marks[level]} " if level else ""
    room = width - len(percentage) - len(height) - len(mark)
    text = visible(step.piece, draw, width=max(1, room))
    bold = [(piece, f"{style} bold".strip()) for piece, style in text]
    gap = " " * (room - columns_of(text))
    tone = f"step{level}"
    return [(mark, tone), *bold, (percentage, tone), (gap + height, "border")]


# --- the tables ---------------------------------------------------------------------------------


def table_lines(step: Step, width: int, draw: Signs, *, num_tables: int = 2) -> list[Line]:
    """Tables of id, token and percentage beside each other: `TABLE_ROWS` rows and their headings.

    The chosen token is marked; where it is not among those that fit, it takes the last row.
    """
    found = candidates(step)
    rows = listed(found, num_tables * TABLE_ROWS)
    size = (width - (num_tables - 1)) // num_tables
    id_size = max(cell_width(_("id")), *(len(str(each.token_id)) for each in rows))
    lines: list[Line] = [[] for _ in range(TABLE_ROWS + 1)]
    for start in range(0, num_tables * TABLE_ROWS, TABLE_ROWS):
        table = _table(rows[start : start + TABLE_ROWS], size, id_size, draw)
        for line, part in zip(lines, table, strict=True):
            line += [(" ", ""), *part] if start else part
    return lines


def listed(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """The first `most` candidates, with the chosen one among them."""
    first = list(found[:most])
    if not any(each.chosen for each in first):
        first[-1] = next(each for each in found if each.chosen)
    return first


def _table(rows: Sequence[Candidate], size: int, id_size: int, draw: Signs) -> list[Line]:
    """A heading and `TABLE_ROWS` rows, each `size` columns wide."""
    room = max(1, size - id_size - _AROUND)
    token_id, token = padded(_("id"), id_size, right=True), padded(_("token")[:room], room)
    heading = f"  {token_id} {token} {'%':>6}"
    lines: list[Line] = [[(heading, "border")]]
    for each in rows:
        text = visible(each.text, draw, width=room)
        gap = " " * (room - columns_of(text))
        style = f"step{surprise(each.probability)} bold" if each.chosen else ""
        lines.append(
            [
                (f"{draw.row if each.chosen else ' '} ", "bold"),
                (f"{each.token_id:>{id_size}} ", "bold" if each.chosen else "border"),
                *[(piece, f"{tone} {style}".strip()) for piece, tone in text],
                (f"{gap} {percent(each.probability):>6}", style),
            ]
        )
    blank: Line = [(" " * cell_width(heading), "")]
    return lines + [blank] * (TABLE_ROWS + 1 - len(lines))


def percent(probability: float) -> str:
    """`42.1%`; what is nearly 0 or 1 does not become it by rounding."""
    if 0 < probability < 0.001:
        return "<0.1%"
    if 0.999 < probability < 1:
        return ">99.9%"
    return f"{probability * 100:.1f}%"
