"""Attention over rows of packed records, each record by itself.

Under a mask it is computed between all places of a row, and most of it is thrown away: what one
record would have seen of another, and what lies ahead. Here records of about one length are taken
out of their rows and read side by side, so that on a processor, where the time goes by what is
computed, only what counts is.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"
_ALIKE = 0.8
"""A record at least so long, in parts of the longest of its group, is padded to it."""


def suits(model: Any) -> bool:
    """Whether every layer of a model looks at all that came before, as torch's own attention does.

    That it tells records apart is asked of the model itself, see `tuning.sees_others`.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    special = ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")
    is_plain = kinds == {"full_attention"} and not any(getattr(config, s, None) for s in special)
    return is_plain and config._attn_implementation == "sdpa"


def register() -> None:
    """Let transformers know it by its name."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def attend_within(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_ids: Tensor,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Causal attention within each record, (rows, length, num_heads, head_dim).

    Args:
        query: (rows, num_heads, length, head_dim).
        key, value: (rows, num_key_value_heads, length, head_dim).
        position_ids: (rows, length); a record begins where they are 0.
        scaling: of the scores; without it 1/√head_dim.
        dropout: of the weights.
    """
    rows, num_heads, length, head_dim = query.shape
    flat = [part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)]
    found, places = [], []
    for group, is_real in _groups(position_ids):
        taken = (part.index_select(0, group.flatten()) for part in flat)
        q, k, v = (part.view(*group.shape, *part.shape[1:]).transpose(1, 2) for part in taken)
        seen = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=True
        )
        found.append(seen.transpose(1, 2)[is_real])
        places.append(group[is_real])
    back = torch.cat(places).argsort()
    return torch.cat(found).index_select(0, back).view(rows, length, num_heads, head_dim)


def _groups(position_ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The places of records of about one length, (num_records, longest), and which are real.

    Places count through all rows. A record is padded at its end, which nothing before it sees.
    """
    begins = (position_ids == 0).flatten()
    starts = begins.nonzero().flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([begins.numel()])])
    lengths, by_length = (ends - starts).sort(descending=True, stable=True)
    starts = starts[by_length]
    first, known = 0, lengths.tolist()
    while first < len(known):
        longest = known[first]
        last = first + 1
        while last < len(known) and known[last] >= _ALIKE * longest:
            last += 1
        steps = torch.arange(longest, device=starts.device)
        is_real = steps < lengths[first:last, None]
        yield starts[first:last, None] + torch.where(is_real, steps, 0), is_real
        first = last


@torch.compiler.disable
def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: None,
    *,
    position_ids: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it."""
    dropout = dropout if module.training else 0.0
    found = attend_within(query, key, value, position_ids, scaling=scaling, dropout=dropout)
    return found, None


def _no_mask(*_args: Any, **_others: Any) -> None:
    """What is not computed needs no mask."""
