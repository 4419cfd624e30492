"""What tuning minimises. Pure functions over logits of targets: sums, to be divided by one total.

Sums, so that the same rows give the same loss however they are spread over devices and steps of
accumulation.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def without(logits: Tensor, where: Tensor, token_ids: Sequence[int]) -> Tensor:
    """Logits in which some tokens do not compete at some targets.

    Args:
        logits: (num_targets, vocab_size).
        where: at which targets, (num_targets,), boolean.
        token_ids: the tokens.
    """
    if not token_ids:
        return logits
    columns = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    columns[list(token_ids)] = True
    return logits.masked_fill(where[:, None] & columns, -torch.inf)


def cross_entropy_sum(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Σ weight · cross-entropy in nats, computed in float32.

    Args:
        logits: (num_targets, vocab_size).
        targets: token ids, (num_targets,).
        weights: (num_targets,).
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights).sum()


def kl_sum(logits: Tensor, base: Tensor, weights: Tensor) -> Tensor:
    """Σ weight · KL(base ‖ model) in nats: what the base would say and the model would not.

    Args:
        logits: of the model, (num_targets, vocab_size).
        base: of the base, (num_targets, vocab_size); -inf for tokens that it does not have.
        weights: (num_targets,).
    """
    ours, theirs = F.log_softmax(logits.float(), dim=-1), F.log_softmax(base.float(), dim=-1)
    # Where the base says nothing, nothing is missed: 0 · log 0 is 0.
    each = torch.where(theirs == -torch.inf, 0.0, theirs.exp() * (theirs - ours)).sum(dim=-1)
    return (each * weights).sum()
