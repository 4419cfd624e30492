"""A Llama as an ONNX graph.

Per layer: norm, one product for query, key and value, attention with rotary embedding and cache,
one product out; norm, one product for gate and up, SiLU, one product down. Weights stay in the
layout of the checkpoint, (outputs, inputs).
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from avalan.compress.llama import LlamaShape
from avalan.compress.nodes import RUNTIME, Array, Nodes


def build_graph(shape: LlamaShape, weights: Mapping[str, Array], precision: str) -> onnx.ModelProto:
    """The whole model; `precision` is fp32, int8 or int4.

    Raises:
        ModelError: a weight is missing or has another shape, or a size cannot be quantised.
    """
    graph = _Graph(shape, weights, precision)
    graph.build()
    inputs, outputs = _signature(shape)
    return graph.model("llama", inputs, outputs)


def _signature(
    shape: LlamaShape,
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    def tensor(name: str, kind: int, *sizes: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, list(sizes))

    def cache(prefix: str, length: str) -> list[onnx.ValueInfoProto]:
        sizes = ("batch", shape.num_kv_heads, length, shape.head_dim)
        names = [f"{prefix}.{i}.{part}" for i in range(shape.num_layers) for part in _CACHED]
        return [tensor(name, TensorProto.FLOAT, *sizes) for name in names]

    inputs = [
        tensor("input_ids", TensorProto.INT64, "batch", "length"),
        tensor("attention_mask", TensorProto.INT64, "batch", "total_length"),
        tensor("logits_to_keep", TensorProto.INT64, 1),
        *cache("past_key_values", "past_length"),
    ]
    logits = tensor("logits", TensorProto.FLOAT, "batch", "num_logits", shape.vocab_size)
    return inputs, [logits, *cache("present", "total_length")]


_CACHED = ("key", "value")


class _Graph(Nodes):
    def __init__(self, shape: LlamaShape, weights: Mapping[str, Array], precision: str) -> None:
        super().__init__(weights, precision)
        self.shape = shape

    def build(self) -> None:
        shape = self.shape
        self._lengths()
        self._rotary_caches()
        hidden = self._embedding()
        skipped: str | None = None
        for i in range(shape.num_layers):
            layer = f"model.layers.{i}."
            normed, hidden = self._norm(hidden, skipped, layer + "input_layernorm.weight")
            skipped = self._attention(normed, i)
            normed, hidden = self._norm(hidden, skipped, layer + "post_attention_layernorm.weight")
            skipped = self._feed_forward(normed, layer)
        normed, _ = self._norm(hidden, skipped, "model.norm.weight")
        self._output(normed)

    def _lengths(self) -> None:
        """What the attention asks for: each row's length less one, and the longest length."""
        self._constant("axis", np.array([1], np.int64))
        self._constant("one", np.array(1, np.int64))
        self._node("ReduceSum", ["attention_mask", "axis"], ["lengths"], keepdims=0)
        self._node("Sub", ["lengths", "one"], ["last_index"])
        self._node("Cast", ["last_index"], ["seqlens_k"], to=TensorProto.INT32)
        self._node("Shape", ["attention_mask"], ["mask_shape"])
        self._node("Gather", ["mask_shape", "one"], ["mask_length"], axis=0)
        self._node("Cast", ["mask_length"], ["total_length"], to=TensorProto.INT32)

    def _rotary_caches(self) -> None:
        """Cosines and sines of every position, (context_length, head_dim / 2)."""
        shape = self.shape
        exponents = np.arange(0, shape.head_dim, 2, dtype=np.float32) / shape.head_dim
        frequencies = 1.0 / np.float32(shape.rope_theta) ** exponents
        angles = np.outer(np.arange(shape.context_length, dtype=np.float32), frequencies)
        self._constant("cos_cache", np.cos(angles).astype(np.float32))
        self._constant("sin_cache", np.sin(angles).astype(np.float32))

    def _embedding(self) -> str:
        shape = self.shape
        table = self._weight("model.embed_tokens.weight", shape.vocab_size, shape.hidden_size)
        return self._lookup("embedding", table, "input_ids", "embedded")

    def _norm(self, hidden: str, skipped: str | None, name: str) -> tuple[str, str]:
        """Norm of the residual stream, after adding a branch to it; returns (normed, stream)."""
        self._constant(name, self._weight(name, self.shape.hidden_size))
        normed, stream = name + ".normed", name + ".stream"
        epsilon = self.shape.rms_norm_eps
        if skipped is None:
            self._node(
                "SimplifiedLayerNormalization",
                [hidden, name],
                [normed],
                axis=-1,
                epsilon=epsilon,
                stash_type=1,
            )
            return normed, hidden
        self._node(
            "SkipSimplifiedLayerNormalization",
            [skipped, hidden, name],
            [normed, "", "", stream],
            domain=RUNTIME,
            epsilon=epsilon,
        )
        return normed, stream

    def _attention(self, normed: str, i: int) -> str:
        shape, layer = self.shape, f"model.layers.{i}.self_attn."
        queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
        sizes = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
        packed = self._product(normed, layer, sizes, shape.hidden_size)
        past = [f"past_key_values.{i}.{part}" for part in _CACHED]
        present = [f"present.{i}.{part}" for part in _CACHED]
        caches = ["seqlens_k", "total_length", "cos_cache", "sin_cache"]
        attended = self._node(
            "GroupQueryAttention",
            [packed, "", "", *past, *caches],
            [layer + "attended", *present],
            domain=RUNTIME,
            num_heads=shape.num_heads,
            kv_num_heads=shape.num_kv_heads,
            do_rotary=1,
        )
        return self._product(attended, layer, {"o_proj": shape.hidden_size}, queries)

    def _feed_forward(self, normed: str, layer: str) -> str:
        shape, layer = self.shape, layer + "mlp."
        inner = shape.intermediate_size
        both = self._product(
            normed, layer, {"gate_proj": inner, "up_proj": inner}, shape.hidden_size
        )
        gate, up, silu, inside = (layer + name for name in ("gate", "up", "silu", "inside"))
        self._node("Split", [both], [gate, up], axis=-1)
        self._node("QuickGelu", [gate], [silu], domain=RUNTIME, alpha=1.0)
        self._node("Mul", [silu, up], [inside])
        return self._product(inside, layer, {"down_proj": shape.hidden_size}, inner)

    def _output(self, normed: str) -> None:
        shape = self.shape
        kept = self._last_rows(normed)
        if not shape.tied:
            head = self._weight("lm_head.weight", shape.vocab_size, shape.hidden_size)
            self._constant_matrix("lm_head", head, 8)
        matrix = "embedding" if shape.tied else "lm_head"
        self._multiply(kept, matrix, "logits", shape.vocab_size, shape.hidden_size, 8)

    def _last_rows(self, normed: str) -> str:
        """The rows to make logits of: the last `logits_to_keep` ones, or all where it is 0.

        It is an input with a default, which callers that do not know it may leave out.
        """
        self._constant("logits_to_keep", np.array([0], np.int64))
        self._constant("end", np.array([np.iinfo(np.int64).max], np.int64))
        self._node("Neg", ["logits_to_keep"], ["first_row"])
        return self._node("Slice", [normed, "first_row", "end", "axis"], ["kept_rows"])
