"""Pictures of a report: is a probability what it says, and what does silence buy?"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from avalan import extras
from avalan.evaluate.metrics import NUM_BINS
from avalan.evaluate.selective import risk_coverage
from avalan.locale import _

_SIZE = (5.2, 4.4)
"""Inches."""
_DPI = 160
_DASHES = ("-", "--", "-.", ":")
"""So that two curves that are one are both seen."""

Pairs = tuple[Sequence[bool], Sequence[float]]
"""Whether each example is positive, or right, and what was said of it, 0 to 1."""


def bins(labels: Sequence[bool], probabilities: Sequence[float]) -> list[tuple[float, float, int]]:
    """(mean probability, share of positives, examples) of bins that hold equally many."""
    said = np.asarray(probabilities, np.float64)
    order = np.argsort(said, kind="stable")
    ranked, truth = said[order], np.asarray(labels, np.float64)[order]
    parts = np.array_split(np.arange(len(said)), min(NUM_BINS, len(said)) or 1)
    return [
        (float(ranked[part].mean()), float(truth[part].mean()), len(part))
        for part in parts
        if len(part)
    ]


def reliability(columns: Mapping[str, Pairs], path: Path, *, title: str) -> None:
    """A reliability diagram (DeGroot and Fienberg, 1983): a curve for each column, as a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure, axes = _axes(title, _("what was said: P(look-up)"), _("share that needs a look-up"))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--", label=_("calibrated"))
    for name, (labels, probabilities) in columns.items():
        found = bins(labels, probabilities)
        sizes = [12 + 3 * count**0.5 for _said, _share, count in found]
        (line,) = axes.plot([each[0] for each in found], [each[1] for each in found], label=name)
        axes.scatter(
            [each[0] for each in found], [each[1] for each in found], sizes, color=line.get_color()
        )
    _save(figure, axes, path)


def risk_coverages(columns: Mapping[str, Pairs], path: Path, *, title: str) -> None:
    """Risk–coverage curves (El-Yaniv and Wiener, 2010), as a PNG.

    Args:
        columns: of all questions; what was not answered has the confidence 0 and is not drawn.
    """
    figure, axes = _axes(
        title, _("share of questions answered"), _("share of wrong answers among them")
    )
    for dashes, (name, (right, confidences)) in zip(cycle(_DASHES), columns.items(), strict=False):
        said = np.asarray(confidences, np.float64)
        given = said > 0
        curve = risk_coverage(np.asarray(right, bool)[given], said[given])
        axes.plot(curve.coverage * given.mean(), curve.risk, dashes, label=name)
    _save(figure, axes, path)


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    # The figure's own class: pyplot would keep every picture, and look for a screen.
    figure = extras.load("matplotlib.figure", extra="report").Figure(figsize=_SIZE, dpi=_DPI)
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.legend(frameon=False, fontsize="small")
    figure.tight_layout()
    figure.savefig(path)
