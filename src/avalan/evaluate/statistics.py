"""Error bars and paired tests: how far a score can be trusted, and a difference of two scores.

Questions about one passage share its luck, so resampling draws whole groups (Miller, 2024,
arXiv:2411.00640, "clustered standard errors"). Everything random comes from a seed.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError

NUM_RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure measured on `n` examples, and its 95% interval."""

    value: float
    low: float | None
    high: float | None
    """None where no interval is known."""
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two systems on the same examples, of which each is right or wrong on every one."""

    wins: int
    """Examples that the first gets right and the second wrong."""
    losses: int
    """Examples that the second gets right and the first wrong."""
    p_value: float
    """Two-sided: how often chance alone divides the disagreements at least as unevenly."""


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Estimate | None:
    """A proportion with its score interval; None of no examples.

    Raises:
        ConfigurationError: there are more successes than examples.

    Source: Wilson, 1927, doi:10.1080/01621459.1927.10502953.
    """
    if not 0 <= successes <= n:
        raise ConfigurationError(
            "{successes} successes of {n} examples are not a proportion.", successes=successes, n=n
        )
    if n == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at n successes the formula gives exactly 0 and 1; rounding must not step outside.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(value=share, low=low, high=high, n=n)


def proportion(flags: Sequence[bool]) -> Estimate | None:
    """The share of `flags` that are true, with its Wilson interval; None of no flags."""
    return wilson(sum(map(bool, flags)), len(flags))


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """The exact test of whether two systems are right equally often, from their disagreements.

    Args:
        first, second: whether each is right, on the same examples in the same order.

    Raises:
        ConfigurationError: they are not of one length.

    Source: McNemar, 1947, doi:10.1007/BF02295996; the exact form is the binomial sign test.
    """
    _check_pairs(first, second)
    wins = sum(a and not b for a, b in zip(first, second, strict=True))
    losses = sum(b and not a for a, b in zip(first, second, strict=True))
    num = wins + losses
    tail = sum(comb(num, k) for k in range(min(wins, losses) + 1)) / 2**num
    return PairedTest(wins=wins, losses=losses, p_value=min(1.0, 2 * tail))


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Estimate | None:
    """The mean of `first` minus `second`, with its bootstrap interval; None of no pairs.

    Args:
        first, second: two systems' scores on the same examples in the same order.
        groups: examples of one group are drawn together; left out, each stands alone.

    Raises:
        ConfigurationError: they are not of one length.

    Source: Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    _check_pairs(first, second)
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return bootstrap_mean(differences.tolist(), groups=groups, seed=seed)


def bootstrap_mean(
    values: Sequence[float], *, groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Estimate | None:
    """The mean of `values` with its percentile bootstrap interval; None of no values."""
    if not len(values):
        return None
    member = _group_numbers(groups, len(values))
    sums = np.bincount(member, weights=np.asarray(values, np.float64))
    sizes = np.bincount(member)
    # How often each group is drawn says all about a resample whose statistic is a mean.
    draws = _draws(len(sizes), seed)
    means = (draws @ sums) / (draws @ sizes)
    return _percentiles(float(np.mean(values)), means, len(values))


def bootstrap(
    statistic: Callable[..., float],
    *columns: NDArray[Any],
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Estimate | None:
    """Any statistic with its percentile bootstrap interval; None of no examples.

    Args:
        statistic: a function of the columns, or of resamples of their rows.
        columns: one row for each example, (num_examples, …).
        groups: as in `paired_difference`.
    """
    num = len(columns[0])
    if not num:
        return None
    member = _group_numbers(groups, num)
    rows = (np.repeat(np.arange(num), draw[member]) for draw in _draws(int(member.max()) + 1, seed))
    found = [statistic(*(column[drawn] for column in columns)) for drawn in rows]
    return _percentiles(statistic(*columns), np.array(found), num)


def _check_pairs(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second):
        raise ConfigurationError(
            "A paired comparison needs the same examples on both sides, not {first} and {second}.",
            first=len(first),
            second=len(second),
        )


def _group_numbers(groups: Sequence[Hashable] | None, num: int) -> NDArray[np.int64]:
    """The group of each example, numbered from 0, (num,)."""
    if groups is None:
        return np.arange(num)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], np.int64)


def _draws(num_groups: int, seed: int) -> NDArray[np.int64]:
    """How often each group is drawn in each resample, (NUM_RESAMPLES, num_groups)."""
    random = np.random.default_rng(seed)
    return random.multinomial(num_groups, np.full(num_groups, 1 / num_groups), NUM_RESAMPLES)


def _percentiles(value: float, resampled: NDArray[np.float64], num: int) -> Estimate:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=num)
