"""What the reader is graded by. Logits are (num_rows, length, NUM_HEADS), see `model.nlp.judge`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from avalan.model.nlp.judge import END, START

IGNORED = -100
"""The target of a row that a head is not graded on."""


def span_loss(logits: Tensor, allowed: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Mean cross-entropy of where the answer begins and ends, in nats; 0 where no row asks for it.

    Args:
        allowed: (num_rows, length), True where an answer may begin: the page's tokens, and the
            first token, which means that it is not here.
        starts, ends: (num_rows,), indexes of tokens, or `IGNORED`.

    Source: Devlin et al., 2019, arXiv:1810.04805, section 4.3 (SQuAD 2.0).
    """
    graded = starts != IGNORED
    if not bool(graded.any()):
        return logits.sum() * 0.0
    pairs = ((START, starts), (END, ends))
    losses = [
        F.cross_entropy(logits[graded, :, head].masked_fill(~allowed[graded], -1e4), target[graded])
        for head, target in pairs
    ]
    return torch.stack(losses).mean()


def binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of a yes or no, in nats; 0 where no row asks for it.

    Args:
        logits: (num_rows,).
        targets: (num_rows,), 0, 1 or `IGNORED`.
    """
    graded = targets != IGNORED
    if not bool(graded.any()):
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(logits[graded], targets[graded].to(logits.dtype))


def choice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of one of several, in nats; 0 where no row asks for it.

    Args:
        logits: (num_rows, num_choices).
        targets: (num_rows,), the right choice or `IGNORED`.
    """
    if not bool((targets != IGNORED).any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits, targets, ignore_index=IGNORED)
