"""Whether to retrieve, from the probabilities of the reflection tokens.

Self-RAG (Asai et al., 2023, arXiv:2310.11511) retrieves when P([Retrieval]), normalised over the
two decision tokens, exceeds a threshold. Engines report log-probabilities or logits; they are
exponentiated here, once, within their group.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avalan.reflection.settings import Weights
from avalan.reflection.tokens import AvalonIds, ReflectionIds

UTILITY_GRADES = np.arange(1, 6)


def group_probabilities(
    scores: NDArray[np.float32], token_ids: Sequence[int]
) -> NDArray[np.float64]:
    """Probabilities of `token_ids` among themselves, summing to one.

    Args:
        scores: logits or log-probabilities (natural), (vocab_size,): both give the same result,
            because what they differ by cancels.
    """
    group = np.asarray(scores, np.float64)[list(token_ids)]
    exponentials = np.exp(group - group.max())
    return np.asarray(exponentials / exponentials.sum(), np.float64)


def retrieval_probability(scores: NDArray[np.float32], ids: ReflectionIds | AvalonIds) -> float:
    """P([Retrieval]) / (P([Retrieval]) + P([No Retrieval]))."""
    return float(group_probabilities(scores, (ids.retrieval, ids.no_retrieval))[0])


def relevance_probability(scores: NDArray[np.float32], ids: ReflectionIds) -> float:
    """P([Relevant]) / (P([Relevant]) + P([Irrelevant]))."""
    return float(group_probabilities(scores, (ids.relevant, ids.irrelevant))[0])


def draft_score(
    mean_logprob: float | None,
    relevance: float,
    full: float,
    partial: float,
    utility: float | None,
    weights: Weights,
) -> float:
    """How good a sentence from a passage is: exp(mean logprob) and its weighted grades, summed.

    Args:
        mean_logprob: of the sentence's tokens, natural; None, where nobody tells, counts 0.
        relevance: P(the passage is relevant).
        full, partial: P(fully), P(partly supported); the partial counts half.
        utility: the expected grade, 1 to 5, which counts from -1 to 1; None counts 0.

    Source: Asai et al., 2023, arXiv:2310.11511, section 3.3 and appendix A.3.
    """
    used = 0.0 if utility is None else (utility - 3) / 2
    return (
        (0.0 if mean_logprob is None else math.exp(mean_logprob))
        + weights.relevance * relevance
        + weights.support * (full + 0.5 * partial)
        + weights.utility * used
    )


def expected_utility(scores: NDArray[np.float32], ids: ReflectionIds | AvalonIds) -> float:
    """The mean grade, 1 to 5, under the probabilities of the five utility tokens."""
    return float(group_probabilities(scores, ids.utility) @ UTILITY_GRADES)
