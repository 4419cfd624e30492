"""A Llama as an ONNX graph.

Per layer: norm, one product for query, key and value, attention with rotary embedding and cache,
one product out; norm, one product for gate and up, SiLU, one product down. Weights stay in the
layout of the checkpoint, (outputs, inputs).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from avalan.compress.llama import LlamaShape
from avalan.compress.quantize import BLOCK, Bits, quantize
from avalan.errors import ModelError

Array = NDArray[np.float32]
_RUNTIME = "com.microsoft"
_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}
# Lets ONNX Runtime round the inputs of a product to int8 as well: about twice as fast.
_INT8_INPUTS = 4


def build_graph(shape: LlamaShape, weights: Mapping[str, Array], precision: str) -> onnx.ModelProto:
    """The whole model; `precision` is fp32, int8 or int4.

    Raises:
        ModelError: a weight is missing or has another shape, or a size cannot be quantised.
    """
    graph = _Graph(shape, weights, precision)
    graph.build()
    inputs, outputs = _signature(shape)
    return helper.make_model(
        helper.make_graph(graph.nodes, "llama", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(_RUNTIME, 1)],
        producer_name="avalan",
        ir_version=8,
    )


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


class _Graph:
    """Collects nodes and constants; a method adds one part and returns its output's name."""

    def __init__(self, shape: LlamaShape, weights: Mapping[str, Array], precision: str) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._weights = weights
        self._bits = _BITS.get(precision)

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
        if self._bits is None:
            self._constant("embedding", table)
            return self._node("Gather", ["embedding", "input_ids"], ["embedded"])
        self._quantized("embedding", table, 8)
        return self._node(
            "GatherBlockQuantized",
            ["embedding.values", "input_ids", "embedding.scales"],
            ["embedded"],
            domain=_RUNTIME,
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )

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
            domain=_RUNTIME,
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
            domain=_RUNTIME,
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
        self._node("QuickGelu", [gate], [silu], domain=_RUNTIME, alpha=1.0)
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

    def _product(self, source: str, layer: str, sizes: Mapping[str, int], columns: int) -> str:
        """One product with the named matrices of a layer stacked, in the order given."""
        parts = [
            self._weight(f"{layer}{name}.weight", rows, columns) for name, rows in sizes.items()
        ]
        name = layer + "_".join(sizes)
        bits = self._bits or 8
        self._constant_matrix(name, np.concatenate(parts), bits)
        return self._multiply(source, name, name + ".out", sum(sizes.values()), columns, bits)

    def _multiply(
        self, source: str, matrix: str, out: str, rows: int, columns: int, bits: Bits
    ) -> str:
        """source (…, columns) times the transpose of a stored matrix (rows, columns)."""
        if self._bits is None:
            return self._node("FusedMatMul", [source, matrix], [out], domain=_RUNTIME, transB=1)
        return self._node(
            "MatMulNBits",
            [source, self._in_blocks(matrix, rows, columns, bits), matrix + ".scales"],
            [out],
            domain=_RUNTIME,
            K=columns,
            N=rows,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=_INT8_INPUTS,
        )

    def _in_blocks(self, matrix: str, rows: int, columns: int, bits: Bits) -> str:
        """The same bytes as (rows, blocks, bytes); folded when the model is loaded."""
        sizes = np.array([rows, columns // BLOCK, BLOCK * bits // 8], np.int64)
        self._constant(matrix + ".sizes", sizes)
        return self._node("Reshape", [matrix + ".values", matrix + ".sizes"], [matrix + ".blocks"])

    def _constant_matrix(self, name: str, matrix: Array, bits: Bits) -> None:
        if self._bits is None:
            self._constant(name, matrix)
        else:
            self._quantized(name, matrix, bits)

    def _quantized(self, name: str, matrix: Array, bits: Bits) -> None:
        if matrix.shape[1] % BLOCK:
            raise ModelError(
                "The matrix {name} has {columns} columns, which is not a multiple of {block}, "
                "so it cannot be quantised in blocks; export with the precision fp32.",
                name=name,
                columns=matrix.shape[1],
                block=BLOCK,
            )
        packed = quantize(matrix, bits)
        self._constant(name + ".values", packed.values)
        self._constant(name + ".scales", packed.scales)

    def _weight(self, name: str, *sizes: int) -> Array:
        weight = self._weights.get(name)
        if weight is None:
            raise ModelError("The weight {name} is missing; download the model again.", name=name)
        if weight.shape != sizes:
            raise ModelError(
                "The weight {name} is of the shape {shape}, but config.json asks for {sizes}; "
                "the files do not belong together, so download the model again.",
                name=name,
                shape=weight.shape,
                sizes=sizes,
            )
        return weight

    def _constant(self, name: str, array: NDArray[Any]) -> None:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def _node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]
