"""Which token ids are allowed now.

A constraint sees the ids generated so far and says what may follow; it knows nothing of what they
mean.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Allowed = NDArray[np.int64] | NDArray[np.bool_] | None
"""Token ids, or a mask over the vocabulary, or None for all."""

_END_OF_SOURCE = -1


class Constraint(Protocol):
    """Asked before each token."""

    def allowed(self, generated: Sequence[int]) -> Allowed:
        """What may follow `generated`; an empty array ends the answer."""


def restrict(logits: NDArray[np.float32], allowed: Allowed) -> NDArray[np.float32]:
    """`logits`, (vocab_size,), with -inf for all that is not allowed."""
    if allowed is None:
        return logits
    result = np.full_like(logits, -np.inf)
    result[allowed] = logits[allowed]
    return result


def is_nothing(allowed: Allowed) -> bool:
    """Whether no token at all is allowed."""
    if allowed is None:
        return False
    return not (allowed.any() if allowed.dtype == np.bool_ else allowed.size)


class SpanConstraint:
    """Only a contiguous piece of a source, of at least one token; then it may end.

    Every place where the piece so far occurs is kept, so that a phrase that stands in two passages
    can go on as in either.
    """

    def __init__(self, sources: Sequence[Sequence[int]], *, end_ids: Iterable[int]) -> None:
        """
        Args:
            sources: token ids of each passage that may be copied from.
            end_ids: tokens that may follow the piece; the caller stops at them.
        """
        joined = [np.array([*source, _END_OF_SOURCE], np.int64) for source in sources]
        self._tokens = np.concatenate([np.zeros(0, np.int64), *joined])
        self._starts = np.cumsum([0, *map(len, joined)])
        self._end_ids = np.array(sorted(set(end_ids)), np.int64)
        self._seen: tuple[int, ...] = ()
        self._live = self._everywhere()

    def allowed(self, generated: Sequence[int]) -> Allowed:
        """The tokens that continue `generated` somewhere, and the end once there is a token."""
        self._follow(tuple(generated))
        following = self._tokens[self._live]
        ids = np.unique(following[following != _END_OF_SOURCE])
        return np.union1d(ids, self._end_ids) if generated else ids

    def places(self, generated: Sequence[int]) -> list[tuple[int, int, int]]:
        """Every place of `generated`: source, first token, one past the last token."""
        self._follow(tuple(generated))
        sources = np.searchsorted(self._starts, self._live, side="right") - 1
        ends = self._live - self._starts[sources]
        return [
            (int(source), int(end) - len(generated), int(end))
            for source, end in zip(sources, ends, strict=True)
        ]

    def _everywhere(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._tokens != _END_OF_SOURCE)

    def _follow(self, generated: tuple[int, ...]) -> None:
        """Bring the live positions up to `generated`; only what is new is read."""
        if generated[: len(self._seen)] != self._seen:
            self._seen, self._live = (), self._everywhere()
        for token_id in generated[len(self._seen) :]:
            self._live = self._live[self._tokens[self._live] == token_id] + 1
        self._seen = generated
