"""Rows for tokens that a base has not seen: each begins near what its description says."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from avalan.model.engine.new_rows import grow, matrices
from avalan.model.prompt import Tokenizer
from avalan.reflection.tokens import DESCRIPTIONS

_NOISE = 0.1
"""Of the standard deviation of the matrix: so that no two rows are the same."""


def prepare(
    model: Any, tokenizer: Tokenizer, tokens: Sequence[str], *, start: str, seed: int
) -> tuple[int, ...]:
    """Give `model` a row for each of `tokens` that is new to it; the ids of all of them.

    Args:
        tokens: control tokens that `tokenizer` has.
        start: `description`: a row begins as the mean of the rows of its description's tokens;
            `mean`: as the mean of all rows. A little noise is added either way.
        seed: of the noise.
    """
    ids = {text: tokenizer.added_tokens[text] for text in tokens}
    num_rows = model.get_input_embeddings().weight.shape[0]
    grow(model, max([num_rows, *(token_id + 1 for token_id in ids.values())]))
    generator = torch.Generator().manual_seed(seed)
    for matrix in matrices(model):
        old = matrix.detach()[: min([num_rows, *ids.values()])].float().clone()
        for text, row in _starts(ids, tokenizer, old, start).items():
            noise = torch.randn(row.shape, generator=generator) * old.std().cpu() * _NOISE
            matrix.data[ids[text]] = (row + noise.to(row)).to(matrix)
    return tuple(ids.values())


def _starts(
    ids: Mapping[str, int], tokenizer: Tokenizer, old: torch.Tensor, start: str
) -> dict[str, torch.Tensor]:
    if start == "mean":
        return dict.fromkeys(ids, old.mean(dim=0))
    described = {text: tokenizer.encode(DESCRIPTIONS[text]) for text in ids}
    return {text: old[token_ids].mean(dim=0) for text, token_ids in described.items()}
