"""What tuning minimises. Pure functions over logits of targets: sums, to be divided by one total.

Sums, so that the same rows give the same loss however they are spread over devices and steps of
accumulation.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST = 1e-6
"""Probability of what is not among the likeliest; 16 bits do not tell less."""


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


def divergence_sum(
    logits: Tensor,
    teacher_ids: Tensor,
    teacher_logprobs: Tensor,
    weights: Tensor,
    *,
    kind: str,
    temperature: float = 1.0,
) -> Tensor:
    """Σ weight · divergence between teacher and model, in nats, over the teacher's likeliest tokens
    and all others as one.

    Hinton et al., 2015, arXiv:1503.02531; both directions: Gu et al., 2023, arXiv:2306.08543; the
    Jensen-Shannon divergence lies between them, Agarwal et al., 2023, arXiv:2306.13649.

    Args:
        logits: of the model, (num_targets, vocab_size).
        teacher_ids: the likeliest tokens, (num_targets, top_k).
        teacher_logprobs: their log-probabilities at that temperature, (num_targets, top_k).
        weights: (num_targets,).
        kind: forward, reverse or jsd.
    """
    logprobs = F.log_softmax(logits.float() / temperature, dim=-1)
    ours = _with_rest(logprobs.gather(-1, teacher_ids))
    theirs = _with_rest(teacher_logprobs.float())
    match kind:
        case "forward":
            each = _kl(theirs, ours)
        case "reverse":
            each = _kl(ours, theirs)
        case _:
            middle = torch.logaddexp(ours, theirs) - math.log(2)
            each = (_kl(theirs, middle) + _kl(ours, middle)) / 2
    return (each * weights).sum()


def _with_rest(logprobs: Tensor) -> Tensor:
    """With one more column: the log-probability of everything else, at least `_LEAST`."""
    rest = (1 - logprobs.exp().sum(dim=-1, keepdim=True)).clamp(min=_LEAST)
    return torch.cat([logprobs, rest.log()], dim=-1)


def _kl(first: Tensor, second: Tensor) -> Tensor:
    return (first.exp() * (first - second)).sum(dim=-1)


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


def pointing_sum(hidden: Tensor, yes: Tensor, no: Tensor, quoted: Tensor) -> Tensor:
    """Σ binary cross-entropy in nats of telling, at each token of a passage, whether the answer
    repeats it.

    Read as by the head at its end (nostalgebraist, 2020, "Interpreting GPT: the logit lens"): the
    vector without its length, against the rows of two tokens. What is told half the way up can be
    attended to from there on, when the answer is said.

    Args:
        hidden: between two layers, (num_tokens, hidden_size).
        yes, no: rows of the head, (hidden_size,).
        quoted: (num_tokens,), 1 where the answer repeats the token, else 0.
    """
    read = F.rms_norm(hidden.float(), hidden.shape[-1:])
    logits = read @ (yes - no).float()
    return F.binary_cross_entropy_with_logits(logits, quoted.float(), reduction="sum")
