"""Fit each part of a judge, and score it where it was not fitted.

Pure functions over cases. Beta calibration mends the gate's probability; for drafts, quotes and
answers a logistic regression weighs several scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeVar

import numpy as np

from avalan.evaluate.cases import MemoryCase, NeedCase, Quote, ReadingCase
from avalan.reflection.calibrate import Calibrator, best_threshold, fit
from avalan.reflection.trust import standing

NUM_FOLDS = 5
PRECISION = 0.95
"""Of what is answered from memory: a wrong answer by heart has no source that would show it."""
OVER_REFUSAL = 0.1
"""Share of answerable questions that a reader may refuse on validation data."""
SURE = 0.95
"""Of what is answered without reserve, on pages whose like no judge was taught, as a user's are. On
validation that leaves 24 of 336 such answers; of the textbook's all 29 above it are right. Fitted
on both together, .95 of all were right and .91 of the former."""
NUM_SURE = 20
"""So many answers it takes to show such a share; who has fewer answers nothing without reserve."""
_GATE_RIDGE = 1e-3
_EPSILON = 1e-6


class _Grouped(Protocol):
    @property
    def group(self) -> str: ...


Case = TypeVar("Case", bound=_Grouped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A part of a judge, ready for use."""

    calibrator: Calibrator | None
    """None leaves the judge's own confidence as it is."""
    threshold: float

    def probability(self, features: Mapping[str, float], raw: float) -> float:
        """The calibrated probability, or the raw one."""
        return self.calibrator(features) if self.calibrator else raw

    def to_json(self) -> dict[str, Any]:
        """As in `calibration.json`."""
        if self.calibrator is None:
            return {"threshold": self.threshold}
        return {
            "weights": dict(self.calibrator.weights),
            "bias": self.calibrator.bias,
            "threshold": self.threshold,
        }


def fit_need(cases: Sequence[NeedCase], *, scaled: bool) -> Fitted:
    """The gate: beta calibration if `scaled`, and the threshold of best accuracy."""
    labels = [case.retrieve for case in cases]
    rows = [case.features for case in cases]
    calibrator = _rising(rows, labels) if scaled and len(set(labels)) == 2 else None
    scores = [calibrator(case.features) if calibrator else case.raw for case in cases]
    threshold = _best(scores, labels, [not label for label in labels])
    return Fitted(calibrator=calibrator, threshold=threshold)


def score_need(fitted: Fitted, case: NeedCase) -> float:
    """1 if the decision is the label's, else 0."""
    retrieve = fitted.probability(case.features, case.raw) >= fitted.threshold
    return float(retrieve == case.retrieve)


def fit_memory(cases: Sequence[MemoryCase]) -> Fitted:
    """Drafts from memory: the lowest threshold from which `PRECISION` of them are right."""
    labels = [case.right for case in cases]
    calibrator = _regression([case.features for case in cases], labels)
    scores = [calibrator(case.features) if calibrator else case.raw for case in cases]
    return Fitted(calibrator=calibrator, threshold=precise_threshold(scores, labels))


def score_memory(fitted: Fitted, case: MemoryCase) -> float:
    """1 for a right draft that is given, -1 for a wrong one, 0 for one that is kept back."""
    if fitted.probability(case.features, case.raw) < fitted.threshold:
        return 0.0
    return 1.0 if case.right else -1.0


def fit_reading(cases: Sequence[ReadingCase], more: Sequence[ReadingCase] = ()) -> Fitted:
    """Quotes from passages: P(right), and the threshold that refuses few of `cases`.

    The weights are fitted on `more` cases too; the threshold on `cases` alone. One of best mean
    score would have a weak judge refuse almost everything, because not answering is always right
    where there is no answer; so the share of refusals is what is fixed.
    """
    quotes = [quote for case in (*cases, *more) for quote in case.quotes]
    calibrator = _regression([q.features for q in quotes], [q.right for q in quotes])
    fitted = Fitted(calibrator=calibrator, threshold=0.0)
    answerable = [case for case in cases if case.answerable]
    confidences = [_best_quote(fitted, case)[0] if case.quotes else None for case in answerable]
    return Fitted(calibrator=calibrator, threshold=refusal_threshold(confidences, OVER_REFUSAL))


def fit_answer(
    cases: Sequence[ReadingCase], reading: Fitted, more: Sequence[ReadingCase] = ()
) -> Fitted:
    """Answers in view of all quotations: P(right), and from where on `SURE` of them are right.

    The weights are fitted on `more` cases too; the threshold on `cases` alone: those about pages
    like the ones that a judge was taught would promise too much for others.

    Args:
        reading: what was fitted for the quotations.
    """
    best = [(case, *_best_quote(reading, case)) for case in (*cases, *more) if case.quotes]
    rows = [
        standing(
            _confidences(reading, case), quote.rank, quote.signs, is_technical=case.is_technical
        )
        for case, _, quote in best
    ]
    calibrator = _regression(rows, [quote.right for _, _, quote in best])
    own = best[: sum(bool(case.quotes) for case in cases)]
    given = [
        (calibrator(row) if calibrator else confidence, quote.right)
        for row, (_, confidence, quote) in zip(rows, own, strict=False)
        if confidence >= reading.threshold
    ]
    scores, labels = [score for score, _ in given], [right for _, right in given]
    return Fitted(
        calibrator=calibrator,
        threshold=precise_threshold(scores, labels, precision=SURE, least=NUM_SURE),
    )


def refusal_threshold(confidences: Sequence[float | None], share: float) -> float:
    """The highest threshold that refuses at most `share` of the questions; 0.5 for none.

    Args:
        confidences: None where nothing is quoted, which is refused whatever the threshold.
    """
    ranked = sorted(each for each in confidences if each is not None)
    num_silent = len(confidences) - len(ranked)
    lowest = max(int(share * len(confidences)) - num_silent, 0)
    return ranked[min(lowest, len(ranked) - 1)] if ranked else 0.5


def score_reading(fitted: Fitted, case: ReadingCase) -> float:
    """1 for a right answer or a right abstention, else 0."""
    if case.quotes:
        confidence, quote = _best_quote(fitted, case)
        if confidence >= fitted.threshold:
            return quote.score
    return float(not case.answerable)


def f1_of(fitted: Fitted, case: ReadingCase) -> float:
    """The words' F1 of what would be quoted as the answer; 0 where nothing is."""
    if not case.quotes:
        return 0.0
    confidence, quote = _best_quote(fitted, case)
    return quote.f1 if confidence >= fitted.threshold else 0.0


def _confidences(fitted: Fitted, case: ReadingCase) -> list[float]:
    """P(right) of each quote, by the rank of its passage; 0 where there is none."""
    found = [0.0] * (1 + max(quote.rank for quote in case.quotes))
    for quote in case.quotes:
        found[quote.rank] = fitted.probability(quote.features, quote.raw)
    return found


def _best_quote(fitted: Fitted, case: ReadingCase) -> tuple[float, Quote]:
    """The quote that the loop would choose, with its confidence: ties go to the better rank."""
    known = ((fitted.probability(q.features, q.raw), q) for q in case.quotes)
    return max(known, key=lambda pair: pair[0])


def precise_threshold(
    scores: Sequence[float],
    labels: Sequence[bool],
    *,
    precision: float = PRECISION,
    least: int = 1,
) -> float:
    """The lowest threshold at or above which the share of true labels is at least `precision`.

    It lies halfway between two scores; above all of them where the precision is out of reach, or
    is not reached by at least `least` of them.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    ranked = np.asarray(scores, np.float64)[order]
    shares = np.cumsum(np.asarray(labels, bool)[order]) / np.arange(1, len(ranked) + 1)
    last_of_equals = np.append(ranked[1:] < ranked[:-1], True)
    enough = np.arange(1, len(ranked) + 1) >= least
    reached = np.flatnonzero((shares >= precision) & last_of_equals & enough)
    if not len(reached):
        return float(ranked[0]) + _EPSILON if len(ranked) else 0.5
    lowest = int(reached[-1])
    below = ranked[lowest + 1] if lowest + 1 < len(ranked) else ranked[lowest] - 2 * _EPSILON
    return float(ranked[lowest] + below) / 2


def _regression(rows: Sequence[Mapping[str, float]], labels: Sequence[bool]) -> Calibrator | None:
    """A fitted calibrator; None where only one kind of label has been seen."""
    return fit(rows, labels) if len(set(labels)) == 2 else None


def _rising(rows: Sequence[Mapping[str, float]], labels: Sequence[bool]) -> Calibrator:
    """A beta calibration, which never turns the order of the scores around."""
    # Two weights and hundreds of prompts: a stronger penalty only makes the gate too modest.
    calibrator = fit(rows, labels, ridge=_GATE_RIDGE)
    least = min(calibrator.weights, key=lambda name: calibrator.weights[name])
    if calibrator.weights[least] >= 0:
        return calibrator
    # As Kull et al. do, §4.
    others = [{name: row[name] for name in row if name != least} for row in rows]
    return fit(others, labels, ridge=_GATE_RIDGE)


def _best(scores: Sequence[float], gains: Sequence[float], otherwise: Sequence[float]) -> float:
    return best_threshold(scores, gains, otherwise=otherwise) if scores else 0.5


def cross_fitted(
    cases: Sequence[Case],
    fitting: Callable[[Sequence[Case]], Fitted],
    scoring: Callable[[Fitted, Case], float],
    *,
    seed: int,
) -> tuple[float, ...]:
    """Each case's score with what was fitted on the folds that its group is not in."""
    groups = sorted({case.group for case in cases})
    Random(seed).shuffle(groups)
    fold = {group: number % NUM_FOLDS for number, group in enumerate(groups)}
    fits = [
        fitting([case for case in cases if fold[case.group] != number])
        for number in range(min(NUM_FOLDS, len(groups)))
    ]
    return tuple(scoring(fits[fold[case.group]], case) for case in cases)
