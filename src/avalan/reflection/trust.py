"""How far to trust an answer, in view of what else was quoted. Pure functions.

A quotation is more likely right where no other passage offers one that is nearly as good, and where
the search ranked its passage high; less likely in a program's documentation, which no judge was
taught to read. A calibrator weighs this; see `calibrate`.
"""

from collections.abc import Mapping, Sequence

from avalan.reflection.calibrate import logit

MAX_LEAD = 6.0
"""In logits; from there on another passage is no rival."""


def standing(
    confidences: Sequence[float],
    rank: int,
    signs: Mapping[str, float] | None = None,
    *,
    is_technical: bool = False,
) -> dict[str, float]:
    """What speaks for the quotation from passage `rank`, as features of a calibrator.

    Args:
        confidences: P(the quotation is right), by the rank of its passage; 0 where nothing is
            quoted.
        signs: what else speaks for the quotation, as its judge says.
        is_technical: whether what was found documents a program; see `extent.are_technical`.

    Returns:
        `signs`, and
        quote_logit: the logit of its own confidence.
        lead: how far that lies above the next best, at most `MAX_LEAD`; negative below it.
        search_rank: its rank in the search, 0 for the first.
        technical: 1 or 0.
    """
    own = logit(confidences[rank])
    others = [logit(each) for place, each in enumerate(confidences) if place != rank]
    lead = min([MAX_LEAD, *(own - other for other in others)])
    return {
        **(signs or {}),
        "quote_logit": own,
        "lead": lead,
        "search_rank": float(rank),
        "technical": float(is_technical),
    }


def backing(
    supports: Sequence[float], relevances: Sequence[float], logprobs: Sequence[float]
) -> dict[str, float]:
    """What speaks for an answer in the model's own sentences, as features of a calibrator.

    No answer is better than its weakest sentence.

    Args:
        supports: of each sentence that was compared with passages, P(full) + P(partial) / 2.
        relevances: of the passages that it was written from.
        logprobs: each sentence's mean log-probability, where that is told.

    Returns:
        support_logit: of the least support; 0 without any.
        relevance_logit: of the best relevance; 0 without any.
        mean_logprob: the lowest; 0 where nobody tells.
    """
    return {
        "support_logit": logit(min(supports, default=0.5)),
        "relevance_logit": logit(max(relevances, default=0.5)),
        "mean_logprob": min(logprobs, default=0.0),
    }
