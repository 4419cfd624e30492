"""Before a download: what a model needs, and how fast it may be. All of it is estimated.

Writing one token reads every weight once, so memory bandwidth bounds the speed; the time that an
engine takes for a layer whatever its size bounds that of small models.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avalan.hub.kind import writes_text
from avalan.hub.remote import RemoteFile, fits

CONTEXT = 4096
"""Tokens of context that the estimate leaves room for, where the model can read as many."""
WORK_SHARE = 0.1
"""Of the weights' size, for activations and the engine itself."""
LAYER_S = {"transformers": 6e-4, "onnx": 6e-5, "gguf": 6e-5}
"""What a layer costs whatever its size, in seconds; measured on small models on one processor."""
_WEIGHTS = {"onnx": ("*.onnx*",), "gguf": ("*.gguf",), "transformers": ("*.safetensors",)}
_KV_BYTES = 2
"""A number of the key-value cache, in bf16."""
_MATRIX = (6144, 4096)
"""96 MiB, far more than any processor caches; less would measure the cache."""
_BUDGET_S = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What running a model takes."""

    engine: str
    """onnx, gguf or transformers, as avalan would choose."""
    weight_bytes: int
    kv_cache_bytes: int
    """For `context` tokens; 0 where the configuration does not tell."""
    context: int
    """Tokens."""
    read_bytes: int
    """Weights that one token needs; fewer than all in a mixture of experts, 0 if it writes none."""
    num_layers: int

    @property
    def memory_bytes(self) -> int:
        """In all."""
        return int(self.weight_bytes * (1 + WORK_SHARE)) + self.kv_cache_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Needs beside what the machine has; None where the machine does not tell."""

    download_bytes: int
    free_disk_bytes: int | None
    needs: Needs
    free_memory_bytes: int | None
    bandwidth: float | None
    """Bytes per second that were measured."""

    @property
    def fits_disk(self) -> bool | None:
        """Whether there is room for the download."""
        free = self.free_disk_bytes
        return None if free is None else self.download_bytes <= free

    @property
    def fits_memory(self) -> bool | None:
        """Whether there is room for the model and `needs.context` tokens."""
        free = self.free_memory_bytes
        return None if free is None else self.needs.memory_bytes <= free

    @property
    def tokens_per_s(self) -> float | None:
        """About so many; None where it would not fit into memory, or nothing was measured."""
        if self.read_s is None or self.fits_memory is False or not self.needs.read_bytes:
            return None
        return 1 / (self.read_s + self.layers_s)

    @property
    def read_s(self) -> float | None:
        """What a token costs to read its weights, in seconds; None where nothing was measured."""
        return None if self.bandwidth is None else self.needs.read_bytes / self.bandwidth

    @property
    def layers_s(self) -> float:
        """What the layers of a token cost besides, in seconds."""
        return self.needs.num_layers * LAYER_S[self.needs.engine]


def measure_bandwidth() -> float:
    """Bytes per second while a matrix is multiplied by a vector, the work of a model's token.

    Takes about 0.15 s. The best of many runs, since other programs only slow it down.
    """
    matrix, vector = np.ones(_MATRIX, np.float32), np.ones(_MATRIX[1], np.float32)
    before = started = time.perf_counter()
    best = math.inf
    while before - started < _BUDGET_S:
        matrix @ vector
        now = time.perf_counter()
        best, before = min(best, now - before), now
    return matrix.nbytes / best


def needs_of(files: Sequence[RemoteFile], config: Mapping[str, Any]) -> Needs:
    """What the model with these files and this `config.json` needs."""
    text = _text_config(config)
    sizes = {
        engine: sum(file.size_bytes for file in files if fits(file.path, patterns))
        for engine, patterns in _WEIGHTS.items()
    }
    # The first that has any is the one that avalan chooses.
    engine = next((name for name, size in sizes.items() if size), "transformers")
    weight_bytes = sizes[engine]
    context = min(_whole(text, "max_position_embeddings", "n_positions") or CONTEXT, CONTEXT)
    return Needs(
        engine=engine,
        weight_bytes=weight_bytes,
        kv_cache_bytes=context * kv_bytes_per_token(config),
        context=context,
        read_bytes=round(weight_bytes * active_share(config)) if writes_text(config) else 0,
        num_layers=_num_layers(text),
    )


def kv_bytes_per_token(config: Mapping[str, Any]) -> int:
    """Of the key-value cache; 0 where the configuration does not tell.

    Layers that look back over a window only, or keep a running state, are counted as if they kept
    everything, so the estimate is never too small.
    """
    text = _text_config(config)
    heads = _whole(text, "num_attention_heads", "n_head")
    hidden = _whole(text, "hidden_size", "n_embd", "d_model")
    if not heads or not hidden:
        return 0
    size = _whole(text, "head_dim") or hidden // heads
    kv_heads = _whole(text, "num_key_value_heads") or heads
    return 2 * _num_layers(text) * kv_heads * size * _KV_BYTES


def active_share(config: Mapping[str, Any]) -> float:
    """The share of the weights that one token needs: 1 unless there are experts to choose from.

    The experts of a layer are three matrices each; the rest of the weights is counted from the
    shape too, since files are not downloaded yet.
    """
    text = _text_config(config)
    experts = _whole(text, "num_local_experts", "num_experts", "n_routed_experts")
    chosen = _whole(text, "num_experts_per_tok", "num_experts_per_token")
    hidden = _whole(text, "hidden_size")
    if not experts or not chosen or not hidden:
        return 1.0
    inner = _whole(text, "moe_intermediate_size", "intermediate_size")
    layers = _num_layers(text)
    all_experts = layers * experts * 3 * hidden * inner
    rest = layers * 4 * hidden * hidden + 2 * _whole(text, "vocab_size") * hidden
    return (rest + all_experts * chosen / experts) / (rest + all_experts)


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Multimodal models keep the language part inside."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def _num_layers(text: Mapping[str, Any]) -> int:
    return _whole(text, "num_hidden_layers", "n_layer", "num_layers", "decoder_layers")


def _whole(config: Mapping[str, Any], *names: str) -> int:
    """The first of the values that is a whole number above 0; else 0."""
    values = (config.get(name) for name in names)
    return next((each for each in values if isinstance(each, int) and each > 0), 0)
