"""Each tensor of a checkpoint as llama.cpp wants it: its name, its shape, and its rows' order.

Source: as in `gguf_shape`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from gguf import MODEL_ARCH, TensorNameMap, get_tensor_name_map

from avalan.compress.checkpoint import Array, StoredTensor, stored_tensors
from avalan.compress.gguf_shape import Shape
from avalan.errors import ModelError

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
Change = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTensor:
    """One tensor of the file to be."""

    name: str
    shape: tuple[int, ...]
    load: Callable[[], Array]
    """Reads and changes it."""

    @property
    def is_small(self) -> bool:
        """Whether llama.cpp computes with it in 32 bits whatever the weights' type."""
        is_matrix = len(self.shape) > 1 and self.name.endswith(".weight")
        return not is_matrix or self.name.endswith(("_norm.weight", ".ssm_conv1d.weight"))


def plan_tensors(folder: Path, shape: Shape) -> dict[str, PlannedTensor]:
    """The tensors of the model in `folder`, by their names there; none is read yet.

    Raises:
        ModelError: files are missing or broken, or hold what llama.cpp does not know.
    """
    stored = _wanted(stored_tensors(folder), shape, folder)
    names = get_tensor_name_map(shape.architecture, shape.num_layers)
    planned = {source: _plan(source, stored[source], shape, names, folder) for source in stored}
    factors = shape.rope_factors()
    if factors is not None:
        planned["rope_freqs"] = PlannedTensor(
            name="rope_freqs.weight", shape=factors.shape, load=lambda: factors
        )
    return planned


def _wanted(
    stored: Mapping[str, StoredTensor], shape: Shape, folder: Path
) -> dict[str, StoredTensor]:
    """The tensors to write; the output matrix only where it is one of its own."""
    needed = (EMBEDDING,) if shape.tied else (EMBEDDING, OUTPUT)
    missing = next((name for name in needed if name not in stored), None)
    if missing is not None:
        raise ModelError(
            "The weights in {folder} lack {name}; download the model again.",
            folder=folder,
            name=missing,
        )
    return {name: stored[name] for name in sorted(stored) if not _is_spare(name, shape)}


def _is_spare(name: str, shape: Shape) -> bool:
    # `mtp` guesses tokens ahead, which changes the speed and not the answer.
    return (shape.tied and name == OUTPUT) or name.startswith("mtp.") or name.endswith(".inv_freq")


def _plan(
    source: str, tensor: StoredTensor, shape: Shape, names: TensorNameMap, folder: Path
) -> PlannedTensor:
    known = source.replace(".dt_bias", ".dt_proj.bias")
    name = names.get_name(known, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise ModelError(
            "The weights in {folder} hold {name}, which llama.cpp does not know in this "
            "architecture; run the model with the engine 'transformers' instead.",
            folder=folder,
            name=source,
        )
    # A convolution over time has one input channel per output channel, which goes unsaid.
    sizes = tensor.shape[::2] if ".conv1d." in source else tensor.shape
    change = _change(source, shape)
    return PlannedTensor(name=name, shape=sizes, load=lambda: change(tensor.read().reshape(sizes)))


def _change(source: str, shape: Shape) -> Change:
    """What must be done to the tensor `source` before llama.cpp can use it."""
    if shape.architecture is MODEL_ARCH.LLAMA and ".q_proj." in source:
        return partial(_interleave_halves, num_heads=shape.num_heads)
    if shape.architecture is MODEL_ARCH.LLAMA and ".k_proj." in source:
        return partial(_interleave_halves, num_heads=shape.num_kv_heads)
    if shape.architecture is MODEL_ARCH.QWEN35:
        return _delta_net_change(source, shape)
    return _unchanged


def _unchanged(values: Array) -> Array:
    return values


def _interleave_halves(values: Array, *, num_heads: int) -> Array:
    """Rows of each head from (first half, second half) to pairs of one from each.

    Both rotate pairs by position; transformers keeps the pair's members half a head apart, and
    llama.cpp, in its Llama alone, beside each other.
    """
    halves = values.reshape(num_heads, 2, -1, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _delta_net_change(source: str, shape: Shape) -> Change:
    num_keys, num_values = (shape[f"linear_num_{part}_heads"] for part in ("key", "value"))
    tile = partial(_tile_heads, num_groups=num_keys, num_heads=num_values)
    num_query_and_key_rows = 2 * num_keys * shape["linear_key_head_dim"]
    if source.endswith(".A_log"):
        return lambda values: tile(-np.exp(values))
    if ".conv1d." in source or ".in_proj_qkv." in source:
        return lambda values: _after(num_query_and_key_rows, tile, values)
    if source.endswith(".dt_bias") or any(f".in_proj_{part}." in source for part in "abz"):
        return tile
    if ".linear_attn.out_proj." in source:
        return lambda values: tile(values.T).T
    # These norms are stored as the difference from 1; the recurrent layer's own is not.
    if source.endswith("norm.weight") and not source.endswith(".linear_attn.norm.weight"):
        return lambda values: values + 1
    return _unchanged


def _tile_heads(values: Array, *, num_groups: int, num_heads: int) -> Array:
    """Rows of the value heads from key head by key head (k0 k0 k1 k1) to in turn (k0 k1 k0 k1).

    llama.cpp repeats the key heads as a whole to pair them, transformers each of them.
    """
    heads = values.reshape(num_groups, num_heads // num_groups, -1, *values.shape[1:])
    return heads.swapaxes(0, 1).reshape(values.shape)


def _after(start: int, change: Change, values: Array) -> Array:
    """`values` with the rows from `start` on changed."""
    return np.concatenate([values[:start], change(values[start:])])
