"""Fit a model's reserve on validation questions: how sure its answers are. Pure functions.

A logistic combination of the signs of an answer (relevance, support, probability; or how its
quotation stands beside the others) says how probably it is right; two thresholds follow, each from
a share of right answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avalan.errors import ConfigurationError
from avalan.evaluate.examples import Question
from avalan.evaluate.fitting import NUM_SURE, SURE, Fitted, cross_fitted, precise_threshold
from avalan.evaluate.grounded import Answered
from avalan.evaluate.metrics import auroc
from avalan.reflection.calibrate import fit
from avalan.reflection.reserves import FittedReserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer that was given."""

    group: str
    right: bool
    confidence: float
    """As it was before anything was fitted."""
    signs: dict[str, float]


def given_of(questions: Sequence[Question], answered: Sequence[Answered]) -> tuple[Given, ...]:
    """The answers among what came of the questions; a right sentence around a quotation counts."""
    return tuple(
        Given(
            group=question.group,
            right=each.told or (question.answerable and each.score == 1),
            confidence=each.confidence,
            signs=dict(each.signs),
        )
        for question, each in zip(questions, answered, strict=True)
        if each.answer is not None and each.signs
    )


def fit_reserve(
    model: str,
    given: Sequence[Given],
    *,
    num_asked: int,
    precision: float | None = None,
    seed: int = 0,
) -> FittedReserve:
    """The weights of an answer's signs, and from where on it is given, and without reserve.

    Args:
        precision: the share of the answers that should be right; None gives all of them.

    Raises:
        ConfigurationError: the answers are alike, or the precision is out of reach.
    """
    labels = [each.right for each in given]
    if len(set(labels)) < 2:
        raise ConfigurationError(
            "Of {num} questions {name!r} answered {given}, and all of these are alike, right or "
            "wrong; nothing can be fitted on them, so ask more with --num.",
            num=num_asked,
            name=model,
            given=len(labels),
        )
    calibrator = fit([each.signs for each in given], labels)
    scores = [calibrator(each.signs) for each in given]
    least = 0.0 if precision is None else precise_threshold(scores, labels, precision=precision)
    if max(scores) < least:
        raise ConfigurationError(
            "No confidence of {name!r} singles out answers of which {share:.0%} are right, so it "
            "would never answer; aim lower with --target-precision.",
            name=model,
            share=precision,
        )
    sure = max(least, precise_threshold(scores, labels, precision=SURE, least=NUM_SURE))
    return FittedReserve(
        model=model,
        calibrator=calibrator,
        least=least,
        sure=sure,
        fitted_on={
            "split": "validation",
            "seed": seed,
            "num_asked": num_asked,
            "num_answered": len(labels),
            "num_given": sum(score >= least for score in scores),
            "num_sure": sum(score >= sure for score in scores),
            "right": float(np.mean(labels)),
            "target": {"precision": precision, "sure": SURE},
            "auroc": {
                "before": auroc(labels, [each.confidence for each in given]),
                "cross_fitted": auroc(labels, _cross_fitted(given, seed=seed)),
            },
        },
    )


def _cross_fitted(given: Sequence[Given], *, seed: int) -> tuple[float, ...]:
    """P(right) of each answer, with what was fitted on the folds that it is not in."""

    def fitting(some: Sequence[Given]) -> Fitted:
        labels: list[Any] = [each.right for each in some]
        alike = len(set(labels)) < 2
        made = None if alike else fit([each.signs for each in some], labels)
        return Fitted(calibrator=made, threshold=0.0)

    def scoring(fitted: Fitted, each: Given) -> float:
        return fitted.probability(each.signs, each.confidence)

    return cross_fitted(given, fitting, scoring, seed=seed)
