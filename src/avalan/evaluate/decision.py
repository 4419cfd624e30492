"""The task `retrieval-decision`: does a judge look up what has to be looked up, and only that?

`docs/decision-labels.md` says what the labels mean. The figures are those of the judge that serves
a panel's gate, at the panel's own threshold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from avalan.evaluate import metrics
from avalan.evaluate.examples import Prompt
from avalan.evaluate.statistics import Estimate, bootstrap, proportion
from avalan.locale import _n
from avalan.reflection.panel import Panel

FIGURES = (_n("accuracy"), "macro-F1", "AUROC", "ECE", _n("Brier score"), _n("looked up"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a judge said of one prompt."""

    id: str
    probability: float
    """Of needing a look-up, 0 to 1."""
    retrieve: bool
    score: float
    """1 if the decision is the label's, else 0."""


def decide(panel: Panel, prompts: Sequence[Prompt]) -> Iterator[Decided]:
    """Ask the panel's gate about each prompt, in order."""
    for prompt in prompts:
        probability = panel.need.need(prompt.text)
        retrieve = probability >= panel.thresholds.need
        score = float(retrieve == prompt.retrieve)
        yield Decided(id=prompt.id, probability=probability, retrieve=retrieve, score=score)


def summarise(
    prompts: Sequence[Prompt], decided: Sequence[Decided], *, seed: int = 0
) -> dict[str, Estimate | None]:
    """The `FIGURES`; all are None of no prompts.

    The calibration error has no interval, because resampling alone makes it larger.
    """
    if not prompts:
        return dict.fromkeys(FIGURES)
    labels = np.array([prompt.retrieve for prompt in prompts])
    said = np.array([each.retrieve for each in decided])
    probabilities = np.array([each.probability for each in decided])
    error = metrics.expected_calibration_error(labels, probabilities)
    found = (
        proportion((said == labels).tolist()),
        bootstrap(metrics.macro_f1, labels, said, seed=seed),
        bootstrap(metrics.auroc, labels, probabilities, seed=seed),
        Estimate(value=error, low=None, high=None, n=len(labels)),
        bootstrap(metrics.brier, labels, probabilities, seed=seed),
        proportion(said.tolist()),
    )
    return dict(zip(FIGURES, found, strict=True))
