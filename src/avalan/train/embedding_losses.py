"""What a student embedder is graded by; vectors are rows of unit length."""

import torch.nn.functional as F
from torch import Tensor


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 - cosine over the texts, from 0 to 2.

    Args:
        student, teacher: (num_texts, width), rows of unit length.
    """
    return (1 - (student * teacher).sum(dim=-1)).mean()


def relation_loss(student: Tensor, teacher: Tensor, bank: Tensor, *, temperature: float) -> Tensor:
    """Mean KL(teacher || student) of the likeness to other texts, in nats.

    The distribution of a text over the bank is the softmax of its cosines divided by the
    temperature. The bank is the teacher's in both: it is where the student's vectors are to be.

    Args:
        student, teacher: (num_texts, width), rows of unit length.
        bank: the teacher's vectors of other texts, (bank_size, width).
        temperature: > 0.

    Source: Fang et al., 2021, arXiv:2101.04731 (SEED).
    """
    there = F.log_softmax(teacher @ bank.T / temperature, dim=-1)
    here = F.log_softmax(student @ bank.T / temperature, dim=-1)
    return F.kl_div(here, there, reduction="batchmean", log_target=True)
