"""Which token ids are allowed next; nothing here knows what they mean."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from avalan.errors import TruncatedAnswer
from avalan.locale import _
from avalan.model.entities import CONSTRAINTS, ConstraintKind


def cut_short(num_tokens: int, kind: ConstraintKind) -> TruncatedAnswer:
    """The error of an answer that ended before what it was to follow was whole."""
    return TruncatedAnswer(
        "The answer ended after {num_tokens} tokens, before the {kind} that it was to follow was "
        "whole; raise --max-new-tokens, or ask for less.",
        num_tokens=num_tokens,
        kind=_(CONSTRAINTS[kind]),
    )


def restrict(
    logits: NDArray[np.float32], allowed: NDArray[np.int64] | NDArray[np.bool_]
) -> NDArray[np.float32]:
    """`logits`, (vocab_size,), with -inf for all but the ids that are `allowed`, or true there."""
    result = np.full_like(logits, -np.inf)
    result[allowed] = logits[allowed]
    return result


def without(logits: NDArray[np.float32], forbidden: Sequence[int]) -> NDArray[np.float32]:
    """`logits`, (vocab_size,), with -inf for the ids that are `forbidden`."""
    result = logits.copy()
    result[list(forbidden)] = -np.inf
    return result


def allowed_in_span(
    source: Sequence[int], span: Sequence[int], end_ids: Collection[int]
) -> NDArray[np.int64]:
    """What may follow `span`, where only a contiguous piece of `source` may be written.

    Every place where the span occurs counts, so that a phrase that stands twice can go on as in
    either place. Once it has a token, one of `end_ids` may follow.
    """
    tokens = np.array(source, np.int64)
    places = np.arange(len(tokens))
    for token_id in span:
        places = places[tokens[places] == token_id] + 1
        places = places[places < len(tokens)]
    following = np.unique(tokens[places])
    return np.union1d(following, list(end_ids)) if span else following
