"""What is computed from labels, predictions and probabilities: pure functions over whole sets."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15

Flags = Sequence[bool] | NDArray[np.bool_]
Numbers = Sequence[float] | NDArray[np.float64]


def accuracy(labels: Flags, predictions: Flags) -> float:
    """The share of predictions that are right."""
    return float(np.mean(np.asarray(labels, bool) == np.asarray(predictions, bool)))


def macro_f1(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """The mean of the classes' F1; a class that occurs nowhere is left out.

    Args:
        labels, predictions: the class of each example, or whether it is positive.
    """
    truth, said = np.asarray(labels), np.asarray(predictions)
    scores = []
    for kind in np.union1d(truth, said):
        both = int(((truth == kind) & (said == kind)).sum())
        scores.append(2 * both / int((truth == kind).sum() + (said == kind).sum()))
    return float(np.mean(scores))


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """How far two annotators agree beyond what chance would have them: 1 always, 0 no further.

    1 where both gave one label to everything, since then nothing was left to disagree about.

    Source: Cohen, 1960, doi:10.1177/001316446002000104.

    Args:
        first, second: what each of them said of the same examples.
    """
    agreed = sum(one == other for one, other in zip(first, second, strict=True)) / len(first)
    nums, others = Counter(first), Counter(second)
    by_chance = sum(nums[label] * others[label] for label in nums) / len(first) ** 2
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)


def auroc(labels: Flags, scores: Numbers) -> float:
    """The chance that a positive example scores above a negative one, where ties count half.

    0.5 where there are no examples of one kind, since then nothing can be told apart.

    Source: Hanley and McNeil, 1982, doi:10.1148/radiology.143.1.7063747.
    """
    truth = np.asarray(labels, bool)
    num_positive = int(truth.sum())
    num_negative = len(truth) - num_positive
    if not num_positive or not num_negative:
        return 0.5
    ranks = _average_ranks(np.asarray(scores, np.float64))
    surplus = float(ranks[truth].sum()) - num_positive * (num_positive + 1) / 2
    return surplus / (num_positive * num_negative)


def expected_calibration_error(
    labels: Flags, probabilities: Numbers, *, num_bins: int = NUM_BINS
) -> float:
    """The mean distance between a bin's mean probability and its share of positives.

    Bins hold equally many examples (one more or less). Examples with the same probability share
    their labels' mean, so that their order does not matter where a bin's edge divides them.

    Source: Guo et al., 2017, arXiv:1706.04599; bins of equal mass: Nixon et al., 2019,
    arXiv:1904.01685.
    """
    order = np.argsort(np.asarray(probabilities, np.float64), kind="stable")
    ranked = np.asarray(probabilities, np.float64)[order]
    truth = _mean_among_equals(np.asarray(labels, np.float64)[order], ranked)
    bins = np.array_split(np.arange(len(ranked)), min(num_bins, len(ranked)))
    gaps = [len(b) * abs(float(ranked[b].mean()) - float(truth[b].mean())) for b in bins]
    return sum(gaps) / len(ranked)


def calibrated_error(
    probabilities: Numbers, *, num_bins: int = NUM_BINS, num_draws: int = 200, seed: int = 0
) -> float:
    """What `expected_calibration_error` is on average where every probability is exactly right.

    Few examples miss their probability by chance: an error is to be read beside this.
    """
    random = np.random.default_rng(seed)
    said = np.asarray(probabilities, np.float64)
    errors = [
        expected_calibration_error(random.random(len(said)) < said, said, num_bins=num_bins)
        for _ in range(num_draws)
    ]
    return float(np.mean(errors))


def spearman(first: Numbers, second: Numbers) -> float:
    """The correlation of ranks, equal values sharing theirs; 0 where one of the two never varies.

    Source: Spearman, 1904, doi:10.2307/1412159.
    """
    one, other = (_average_ranks(np.asarray(each, np.float64)) for each in (first, second))
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def brier(labels: Flags, probabilities: Numbers) -> float:
    """The mean squared distance of the probabilities from 1 (positive) and 0 (negative).

    Source: Brier, 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    errors = np.asarray(probabilities, np.float64) - np.asarray(labels, np.float64)
    return float(np.mean(errors**2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """Which questions were not answered, as flags over the questions that each share counts."""

    precision: tuple[bool, ...]
    """Over the abstentions: whether the question could not be answered."""
    rejection: tuple[bool, ...]
    """Over the unanswerable questions: whether it abstained. This is abstention's recall."""
    over_refusal: tuple[bool, ...]
    """Over the answerable questions: whether it abstained."""


def abstention(answerable: Sequence[bool], abstained: Sequence[bool]) -> Abstention:
    """Sort the questions by what could be answered and what was."""
    pairs = list(zip(answerable, abstained, strict=True))
    return Abstention(
        precision=tuple(not could for could, silent in pairs if silent),
        rejection=tuple(silent for could, silent in pairs if not could),
        over_refusal=tuple(silent for could, silent in pairs if could),
    )


def _average_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, lowest score first; equal scores share the mean of their ranks."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: NDArray[np.float64] = (last - (count - 1) / 2)[place]
    return ranks


def _mean_among_equals(
    values: NDArray[np.float64], keys: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each value replaced by the mean of those with the same key."""
    _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = (np.bincount(place, weights=values) / count)[place]
    return means
