"""Odds ratio preference optimisation (Hong et al., 2024, arXiv:2403.07691): no reference model.

TRL has it among its experiments only, which may go at any release; so the loss is here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean log-probability of each row's answer, (num_rows,), in nats; at most 0.

    Args:
        logits: (num_rows, length, vocab_size).
        labels: (num_rows, length); -100 outside the answer.
    """
    targets, said = labels[:, 1:].clamp(min=0), labels[:, 1:] >= 0
    logprobs = F.log_softmax(logits[:, :-1].float(), dim=-1)
    each = logprobs.gather(-1, targets[..., None]).squeeze(-1)
    return (each * said).sum(dim=-1) / said.sum(dim=-1).clamp(min=1)


def log_odds(logprobs: Tensor) -> Tensor:
    """log p / (1 - p) of probabilities whose logarithms are given, each below 0."""
    # 1 - p, by the form that keeps its digits on either side of one half.
    is_small = logprobs < -0.6931471805599453
    log_not = torch.where(
        is_small,
        torch.log1p(-torch.exp(torch.where(is_small, logprobs, -1.0))),
        torch.log(-torch.expm1(torch.where(is_small, -0.5, logprobs.clamp(max=-1e-7)))),
    )
    return logprobs - log_not


def orpo_loss(chosen: Tensor, rejected: Tensor, nll: Tensor, *, beta: float) -> Tensor:
    """nll - β · mean log σ(log odds of the chosen - log odds of the rejected), a scalar in nats.

    Args:
        chosen, rejected: mean log-probabilities of the answers, (num_pairs,); equations 3 to 7.
        nll: the mean cross-entropy of the chosen answers.
    """
    ratio = F.logsigmoid(log_odds(chosen) - log_odds(rejected))
    return nll - beta * ratio.mean()
