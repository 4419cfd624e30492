"""A key-value cache that grows by doubling.

transformers' own dynamic layer copies everything that it holds for each new token, and its static
one computes attention over places that are still empty. This one writes new tokens into room that
it has reserved and gives attention only what is filled.
"""

from typing import Any, Self

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

_LEAST_ROOM = 64


class GrowingLayer(DynamicLayer):
    """The keys and values of one attention layer; `keys` and `values` are views of their rooms."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_room: torch.Tensor | None = None
    _value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new tokens, (rows, heads, tokens, head_dim); all there are now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.get_seq_length()
        self.keys, self._key_room = _appended(self.keys, self._key_room, held, key_states)
        self.values, self._value_room = _appended(self.values, self._value_room, held, value_states)
        return self.keys, self.values

    def crop(self, tokens_to_remove: int) -> None:
        """Drop the last tokens; their room stays."""
        if self.is_initialized and tokens_to_remove:
            left = self.get_seq_length() - abs(tokens_to_remove)
            self.keys, self.values = self.keys[..., :left, :], self.values[..., :left, :]

    def __deepcopy__(self, _memo: object) -> Self:
        """A copy of what is filled, without the room beyond it."""
        copy = type(self)()
        if self.is_initialized:
            copy.lazy_initialization(self.keys, self.values)
            copy.keys, copy.values = self.keys.clone(), self.values.clone()
        return copy


def new_cache(config: Any) -> DynamicCache:
    """An empty cache for the model of `config`; layers of other kinds stay as transformers has
    them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def _appended(
    held: torch.Tensor, room: torch.Tensor | None, num_held: int, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is held with `new` behind it, and the room that it is a view of."""
    length = num_held + new.shape[-2]
    # Whoever reorders rows puts other tensors in the place of the views.
    is_view = room is not None and num_held and held.data_ptr() == room.data_ptr()
    if not is_view or room is None or length > room.shape[-2] or len(new) != len(room):
        size = max(_LEAST_ROOM, 1 << (length - 1).bit_length())
        room = new.new_empty((*new.shape[:2], size, new.shape[-1]))
        if num_held:
            room[..., :num_held, :] = held
    room[..., num_held:length, :] = new
    return room[..., :length, :], room
