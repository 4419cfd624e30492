"""Calibration: from raw scores to probabilities that mean what they say. Pure functions.

Platt scaling (Platt, 1999) for one score is logistic regression on it; for several scores the same
regression combines them; for a probability it is beta calibration (Kull, Silva Filho and Flach,
2017). Fitted on validation data, applied everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """sigmoid(bias + Σ weight·feature)."""

    weights: Mapping[str, float]
    bias: float

    def __call__(self, features: Mapping[str, float]) -> float:
        """A probability; a feature that is absent counts as 0."""
        score = self.bias + sum(w * features.get(name, 0.0) for name, w in self.weights.items())
        return float(1.0 / (1.0 + np.exp(-np.clip(score, -50, 50))))

    def to_json(self) -> dict[str, Any]:
        """As in files."""
        return {"weights": dict(self.weights), "bias": self.bias}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError: it is no calibrator."""
        weights = {str(name): float(value) for name, value in found["weights"].items()}
        return cls(weights=weights, bias=float(found["bias"]))


def logit(probability: float) -> float:
    """log(p / (1 - p)), kept finite at 0 and 1."""
    p = min(1 - _EPSILON, max(_EPSILON, probability))
    return float(np.log(p / (1 - p)))


def beta(probability: float) -> dict[str, float]:
    """What beta calibration weighs: p' = sigmoid(bias + a·ln p - b·ln(1 - p)).

    Platt scaling of a logit is the case a = b; apart, they also mend a judge that is surer of one
    side than of the other.
    """
    p = min(1 - _EPSILON, max(_EPSILON, probability))
    return {"log_for": float(np.log(p)), "log_against": float(-np.log(1 - p))}


def rescaled(calibrator: Calibrator | None, probability: float) -> float:
    """The probability by beta calibration; as it is without a calibrator."""
    return calibrator(beta(probability)) if calibrator else probability


def fit(
    rows: Sequence[Mapping[str, float]], labels: Sequence[bool], *, ridge: float = 1e-2
) -> Calibrator:
    """Logistic regression by Newton's method, with an L2 penalty on standardised features.

    Args:
        rows: features by name, the same names in each.
        labels: what is to be predicted.
        ridge: the penalty per example; keeps separable data finite.

    Raises:
        ConfigurationError: there is nothing to fit, or only one kind of label.
    """
    if not rows or len(set(labels)) < 2:
        raise ConfigurationError(
            "A calibrator needs examples of both kinds; give it more validation data."
        )
    names = sorted(rows[0])
    raw = np.array([[row[name] for name in names] for row in rows], np.float64)
    centre, scale = raw.mean(axis=0), raw.std(axis=0) + _EPSILON
    design = np.column_stack([np.ones(len(raw)), (raw - centre) / scale])
    solution = _newton(design, np.array(labels, np.float64), ridge * len(raw))
    weights = solution[1:] / scale
    bias = float(solution[0] - weights @ centre)
    return Calibrator(weights=dict(zip(names, map(float, weights), strict=True)), bias=bias)


def _newton(
    design: NDArray[np.float64], labels: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """The coefficients that minimise the penalised log-loss; the first is not penalised."""
    penalty = np.diag([0.0] + [ridge] * (design.shape[1] - 1))
    solution = np.zeros(design.shape[1])
    for _step in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ solution, -50, 50)))
        gradient = design.T @ (probability - labels) + penalty @ solution
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature + _EPSILON * np.eye(len(solution)), gradient)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    return solution


def best_threshold(
    scores: Sequence[float], gains: Sequence[float], *, otherwise: Sequence[float]
) -> float:
    """The threshold t that maximises the sum of `gains` where score ≥ t and `otherwise` elsewhere.

    Ties go to the lowest threshold; the result lies halfway between two scores.
    """
    order = np.argsort(scores)
    ranked = np.asarray(scores, np.float64)[order]
    gain, other = np.asarray(gains, np.float64)[order], np.asarray(otherwise, np.float64)[order]
    # total[i]: the first i examples stay below the threshold.
    below, above = np.cumsum(other), gain[::-1].cumsum()[::-1]
    total = np.concatenate([[0.0], below]) + np.concatenate([above, [0.0]])
    middles = (ranked[1:] + ranked[:-1]) / 2
    cuts = np.concatenate([[ranked[0] - _EPSILON], middles, [ranked[-1] + _EPSILON]])
    possible = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    return float(cuts[np.argmax(np.where(possible, total, -np.inf))])
