"""What deciding is worth: adaptive look-ups between none at all and one for every question.

Every question is answered both ways, once without and once with the documents; the decision's score
then says which of the two counts. So a whole curve of thresholds costs two answers a question.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.float64]

PARITY = 0.005
"""Half a point: what an adaptive system may lose against always looking up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """Accuracy and cost at one threshold."""

    threshold: float
    """Look up from this score on."""
    accuracy: float
    calls: float
    """Look-ups per question."""


def sweep(scores: Numbers, never: Numbers, always: Numbers) -> tuple[Adaptive, ...]:
    """Every threshold that matters, from one that always looks up to one that never does.

    Args:
        scores: P(look-up) of each question, (n,).
        never, always: how right each question is without and with a look-up, 0 to 1, (n,).
    """
    said, closed, opened = (np.asarray(each, np.float64) for each in (scores, never, always))
    order = np.argsort(-said, kind="stable")
    ranked = said[order]
    # The more are looked up, the more of the difference counts; equal scores go together.
    gained = closed.mean() + np.cumsum((opened - closed)[order]) / len(said)
    lasts = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))[::-1]
    found = [
        Adaptive(
            threshold=float(ranked[last]),
            accuracy=float(gained[last]),
            calls=(int(last) + 1) / len(said),
        )
        for last in lasts
    ]
    return (*found, Adaptive(threshold=np.inf, accuracy=float(closed.mean()), calls=0.0))


def savings_at_parity(
    scores: Numbers, never: Numbers, always: Numbers, *, parity: float = PARITY
) -> float:
    """The share of look-ups saved by the highest threshold as good as always looking up.

    As good: its accuracy is at most `parity` below. 0 where every look-up is needed.
    """
    least = float(np.mean(always)) - parity
    good = [each for each in sweep(scores, never, always) if each.accuracy >= least - 1e-12]
    return 1.0 - min(each.calls for each in good)


def calls_spared(scores: Numbers, others: Numbers, never: Numbers, always: Numbers) -> float:
    """How many look-ups fewer, of each question, reach the best accuracy that `others` reach.

    Against always looking up, a gate may save calls by leaving out what documents answer as often
    wrongly as rightly; here it has to be as good as a gate at its best. Where that is out of reach,
    every call is made.
    """
    best = max(sweep(others, never, always), key=lambda each: (each.accuracy, -each.calls))
    reached = [
        each.calls
        for each in sweep(scores, never, always)
        if each.accuracy >= best.accuracy - 1e-12
    ]
    return best.calls - min(reached, default=1.0)


def oracle_gap(accuracy: float, never: Numbers, always: Numbers) -> float | None:
    """How much of what deciding could gain an adaptive system of this `accuracy` does gain.

    0 is the better of never and always, 1 an oracle that takes the better way for each question;
    below 0, deciding does harm. None where there is nothing to gain.
    """
    closed, opened = np.asarray(never, np.float64), np.asarray(always, np.float64)
    least = max(float(closed.mean()), float(opened.mean()))
    most = float(np.maximum(closed, opened).mean())
    return (accuracy - least) / (most - least) if most > least else None
