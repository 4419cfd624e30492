"""The growing cache, beside transformers' own, which copies everything for each token."""

import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer

from avalan.model.engine.cache import GrowingLayer


def states(num_tokens: int, *, rows: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, rows, 3, num_tokens, 4)
    keys, values = torch.randn(shape, generator=generator)
    return keys, values


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 70)),
        st.tuples(st.just("crop"), st.integers(1, 5)),
        st.tuples(st.just("reorder"), st.permutations([0, 1])),
        st.tuples(st.just("fork"), st.integers(1, 3)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_done_to_it_it_holds_what_the_library_s_own_layer_holds(steps: list) -> None:
    ours, theirs = GrowingLayer(), DynamicLayer()
    kept: list[tuple[GrowingLayer, torch.Tensor]] = []
    for layer in (ours, theirs):
        layer.update(*states(3))
    for seed, (act, value) in enumerate(steps, 1):
        if act == "append":
            for layer in (ours, theirs):
                layer.update(*states(value, seed=seed))
        elif act == "crop" and value < theirs.get_seq_length():
            for layer in (ours, theirs):
                layer.crop(-value)
        elif act == "reorder":
            for layer in (ours, theirs):
                layer.reorder_cache(torch.tensor(value))
        elif act == "fork":
            kept.append((ours, ours.keys.clone()))
            ours = copy.deepcopy(ours)
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
        assert ours.get_seq_length() == theirs.get_seq_length()
    # What is done to a copy never shows in what it was copied from.
    assert all(torch.equal(layer.keys, keys) for layer, keys in kept)


def test_new_tokens_go_into_the_room_that_is_there() -> None:
    layer = GrowingLayer()
    layer.update(*states(3))
    address = layer.keys.data_ptr()

    layer.update(*states(1))

    assert layer.keys.data_ptr() == address
