"""Attention within records: what a mask gives, without what the mask throws away."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avalan.train.packed_attention import attend_within

NUM_HEADS, NUM_KEY_VALUE_HEADS, HEAD_DIM = 4, 2, 3
ROW = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def under_a_mask(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, records: torch.Tensor
) -> torch.Tensor:
    """softmax(q kᵀ / √d) v over a row, of which a place sees its own record up to itself."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    sees = (records[:, :, None] == records[:, None, :]).tril()
    scores = query @ key.transpose(-1, -2) / HEAD_DIM**0.5
    weights = scores.masked_fill(~sees[:, None], -torch.inf).softmax(-1)
    return (weights @ value).transpose(1, 2)


@settings(deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=4), seed=st.integers(0, 9))
def test_each_record_sees_what_came_before_in_it_and_learns_from_that_alone(
    rows: list[list[int]], seed: int
) -> None:
    length = max(map(sum, rows))
    rows = [[*row, length - sum(row)] for row in rows]
    positions = torch.tensor([[place for num in row for place in range(num)] for row in rows])
    records = (positions == 0).cumsum(-1)
    torch.manual_seed(seed)
    heads = (NUM_HEADS, NUM_KEY_VALUE_HEADS, NUM_KEY_VALUE_HEADS)
    parts = [
        torch.randn(len(rows), num, length, HEAD_DIM, dtype=torch.float64, requires_grad=True)
        for num in heads
    ]
    wanted, found = under_a_mask(*parts, records), attend_within(*parts, positions)
    assert torch.allclose(found, wanted)
    weights = torch.randn_like(wanted)
    for first, second in zip(
        torch.autograd.grad((wanted * weights).sum(), parts),
        torch.autograd.grad((found * weights).sum(), parts),
        strict=True,
    ):
        assert torch.allclose(first, second)
