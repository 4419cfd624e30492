"""Answers that may be withheld: what is risked for how much is answered.

A system that is confident where it is right can answer less and be wrong less. Its examples are
ordered by confidence, most confident first; equal confidences come in no order, so a curve goes
through them at their mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = Sequence[bool] | NDArray[np.bool_]
Numbers = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverage:
    """Risk at every coverage."""

    coverage: NDArray[np.float64]
    """Share of the examples that are answered, from 1/n to 1, (n,)."""
    risk: NDArray[np.float64]
    """Share of wrong ones among them, (n,)."""


def risk_coverage(right: Flags, confidences: Numbers) -> RiskCoverage:
    """The curve of `n` answers; empty of none.

    Args:
        right: whether each answer is right, (n,).
        confidences: (n,).

    Source: El-Yaniv and Wiener, 2010, JMLR 11:1605.
    """
    wrong = 1.0 - np.asarray(right, np.float64)
    said = np.asarray(confidences, np.float64)
    order = np.argsort(-said, kind="stable")
    _, place, count = np.unique(-said[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(place, weights=wrong[order]) / count)[place] if len(said) else wrong
    taken = np.arange(1, len(said) + 1)
    return RiskCoverage(coverage=taken / max(len(said), 1), risk=np.cumsum(shared) / taken)


def aurc(right: Flags, confidences: Numbers) -> float:
    """The mean risk over all coverages: 0 is best; nothing to learn from confidence gives the risk.

    Source: Geifman, Uziel and El-Yaniv, 2019, arXiv:1805.08206.
    """
    return float(risk_coverage(right, confidences).risk.mean())


def excess_aurc(right: Flags, confidences: Numbers) -> float:
    """`aurc` above what the best order of the same answers would have.

    Source: Geifman, Uziel and El-Yaniv, 2019, arXiv:1805.08206, section 4 (E-AURC), with the exact
    optimum in place of its approximation.
    """
    truth = np.asarray(right, np.float64)
    return aurc(right, confidences) - aurc(right, truth)


def coverage_at(right: Flags, confidences: Numbers, *, accuracy: float = 0.9) -> float:
    """The largest share of answers that can be given while `accuracy` of them are right; else 0.

    A threshold cannot part equal confidences, so only coverages between different ones count.
    """
    curve = risk_coverage(right, confidences)
    ranked = np.sort(np.asarray(confidences, np.float64))[::-1]
    last_of_equals = np.append(ranked[1:] < ranked[:-1], True) if len(ranked) else ranked > 0
    reached = curve.coverage[last_of_equals & (curve.risk <= 1 - accuracy + 1e-12)]
    return float(reached.max()) if len(reached) else 0.0
