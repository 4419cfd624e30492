"""How close a smaller model stays to the one it was made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError
from avalan.model.decode.sampling import logprobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """Over the positions that were compared."""

    mean_kl: float
    """Mean KL(reference || other), in nats; 0 for the same distributions."""
    top1_agreement: float
    """Share of positions where both find the same token most probable."""
    num_positions: int
    """How many positions were compared."""


def compare(reference_logits: NDArray[np.float32], logits: NDArray[np.float32]) -> Fidelity:
    """Compare two models' logits over the same tokens, each (positions, vocab_size).

    Raises:
        ConfigurationError: the shapes differ, or there is no position.
    """
    if reference_logits.shape != logits.shape or reference_logits.ndim != 2 or not len(logits):
        raise ConfigurationError(
            "Logits of the shapes {shape} and {other} cannot be compared; give two of the "
            "same shape (positions, vocab_size).",
            shape=reference_logits.shape,
            other=logits.shape,
        )
    # Differences of nearly equal numbers: float32 would drown a small divergence in its rounding.
    expected, found = (
        logprobs(reference_logits.astype(np.float64)),
        logprobs(logits.astype(np.float64)),
    )
    divergence = (np.exp(expected) * (expected - found)).sum(axis=-1)
    agreement = reference_logits.argmax(axis=-1) == logits.argmax(axis=-1)
    return Fidelity(
        mean_kl=float(divergence.mean()),
        top1_agreement=float(agreement.mean()),
        num_positions=len(logits),
    )
