"""Export a BERT encoder to ONNX, whole or in 8 bits, for `avalan.model.nlp.sentence`. No torch.

The graph gives a vector per token; per block: one product for query, key and value, attention, one
product out, norm; two products around GELU, norm. In 8 bits, the inputs of a product are rounded
too, all with one scale: on processors without VNNI that is twice as fast as float32, where blocks
of weights are slower. The token embeddings can be stored as two factors, the large one in 4 bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from avalan.compress.checkpoint import read_weights
from avalan.compress.export import write_folder
from avalan.compress.nodes import RUNTIME, Array, Nodes
from avalan.compress.quantize import Bits
from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.nlp.sentence import read_pooling
from avalan.model.prompt import read_json

MOST = 64
"""The largest weight in 8 bits."""
COPIED = (
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """Sizes and constants of a BERT."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_positions: int
    """Rows of the position embedding that the checkpoint has."""
    longest: int
    """… and those that are kept, because no text is read further."""
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """A linear layer over each token's vector."""

    weight: Array
    """(num_heads, width)."""
    bias: Array
    """(num_heads,)."""


def export_encoder(
    folder: Path,
    out: Path,
    *,
    precision: Literal["fp32", "int8"] = "int8",
    rank: int | None = None,
) -> int:
    """Write the embedder in `folder` as ONNX into `out`, with its tokenizer and configuration.

    Args:
        folder: in the layout of sentence-transformers, with safetensors.
        rank: width of the token embeddings' factor; they are exact if the model was trained so.

    Returns:
        The size of model.onnx, in bytes.

    Raises:
        ModelError: it is not a BERT that this graph can express, or lacks weights.
        StateError: `out` cannot be written.
    """
    shape = read_encoder_shape(folder, longest=read_pooling(str(folder), folder).longest)
    model = build_encoder(shape, read_weights(folder), precision, rank)
    return write_folder(model, folder, out, COPIED)


def read_encoder_shape(folder: Path, *, longest: int) -> EncoderShape:
    """The shape of the BERT in `folder`, which reads `longest` tokens of a text.

    Raises:
        ModelError: it is another architecture, or a variant that the export cannot express.
    """
    config = read_json(folder / "config.json")
    for what, supported in _requirements(config):
        if not supported:
            raise ModelError(
                "The export to ONNX cannot express the embedder in {folder} ({what}); run its "
                "safetensors instead.",
                folder=folder,
                what=what,
            )
    return EncoderShape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        num_positions=config["max_position_embeddings"],
        longest=min(longest, config["max_position_embeddings"]),
        epsilon=config.get("layer_norm_eps", 1e-12),
    )


def _requirements(config: Mapping[str, Any]) -> list[tuple[str, bool]]:
    kind, activation = config.get("model_type"), config.get("hidden_act", "gelu")
    positions = config.get("position_embedding_type") or "absolute"
    return [
        (_("its type is {kind!r}, not 'bert'", kind=kind), kind == "bert"),
        (_("its activation is {name!r}, not 'gelu'", name=activation), activation == "gelu"),
        (_("its positions are {name!r}", name=positions), positions == "absolute"),
    ]


def build_encoder(
    shape: EncoderShape,
    weights: Mapping[str, Array],
    precision: str,
    rank: int | None = None,
    heads: Heads | None = None,
) -> onnx.ModelProto:
    """The whole encoder; `precision` is fp32 or int8.

    Args:
        heads: what gives each token its logits, the output then; pairs of texts are read, whose
            kinds are an input too, and the token embeddings have 4 bits.

    Raises:
        ModelError: a weight is missing or has another shape, or a size cannot be quantised.
    """
    graph = _Encoder(shape, weights, precision, reads_pairs=heads is not None)
    hidden = graph.build(rank)
    names, width = ["input_ids", "attention_mask"], shape.hidden_size
    if heads is not None:
        names.append("token_type_ids")
        hidden, width = graph.add_heads(heads, hidden), len(heads.bias)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in names
    ]
    output = helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["batch", "length", width])
    return graph.model("bert", inputs, [output])


class _Encoder(Nodes):
    def __init__(
        self,
        shape: EncoderShape,
        weights: Mapping[str, Array],
        precision: str,
        *,
        reads_pairs: bool,
    ) -> None:
        super().__init__(weights, precision)
        self.shape = shape
        self._reads_pairs = reads_pairs

    def build(self, rank: int | None) -> str:
        """All blocks; a vector of each token."""
        self._node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32)
        last = self.shape.num_layers - 1
        hidden = self._embeddings(rank)
        for i in range(self.shape.num_layers):
            layer = f"encoder.layer.{i}."
            attended = self._attention(hidden, layer + "attention.")
            hidden = self._added(attended, hidden, layer + "attention.output")
            inner = self._feed_forward(hidden, layer)
            name = "last_hidden_state" if i == last else None
            hidden = self._added(inner, hidden, layer + "output", name)
        return hidden

    def add_heads(self, heads: Heads, hidden: str) -> str:
        """A few numbers of each token; they stay whole."""
        self._constant("heads", heads.weight.T)
        self._constant("heads.bias", heads.bias)
        product = self._node("MatMul", [hidden, "heads"], ["heads.out"])
        return self._node("Add", [product, "heads.bias"], ["logits"])

    def _embeddings(self, rank: int | None) -> str:
        """Token, position and type, normalised; where the type is always the first, it is in the
        position."""
        shape, name = self.shape, "embeddings."
        table = self._weight(name + "word_embeddings.weight", shape.vocab_size, shape.hidden_size)
        kinds = self._weights.get(name + "token_type_embeddings.weight")
        positions = self._weight(
            name + "position_embeddings.weight", shape.num_positions, shape.hidden_size
        )[: shape.longest]
        if kinds is not None and not self._reads_pairs:
            positions = positions + kinds[0]
        if rank is None:
            bits: Bits = 4 if self._reads_pairs else 8
            tokens = self._lookup("tokens", table, "input_ids", "token_vectors", bits)
        else:
            mean, factors, basis = principal_components(table, np.ones(len(table)), rank)
            narrow = self._lookup("tokens", factors, "input_ids", "narrow_vectors", bits=4)
            # Whole: its inputs are of such different sizes that one scale does not do.
            self._constant("basis", basis)
            tokens = self._node("MatMul", [narrow, "basis"], ["token_vectors"])
            positions = positions + mean
        self._constant("positions", positions)
        self._constant("zero", np.array([0], np.int64))
        self._constant("one", np.array([1], np.int64))
        self._node("Shape", ["input_ids"], ["sizes"])
        self._node("Gather", ["sizes", "one"], ["length"], axis=0)
        self._node("Slice", ["positions", "zero", "length", "zero"], ["position_vectors"])
        both = self._node("Add", [tokens, "position_vectors"], ["placed"])
        if kinds is not None and self._reads_pairs:
            self._constant("kinds", kinds)
            self._node("Gather", ["kinds", "token_type_ids"], ["kind_vectors"])
            both = self._node("Add", [both, "kind_vectors"], ["embedded"])
        return self._node(
            "LayerNormalization",
            [both, *self._norm("embeddings.LayerNorm")],
            ["embeddings.out"],
            axis=-1,
            epsilon=shape.epsilon,
        )

    def _attention(self, hidden: str, layer: str) -> str:
        width, parts = self.shape.hidden_size, ("query", "key", "value")
        packed = self._product(hidden, f"{layer}self.", dict.fromkeys(parts, width), width)
        bias = np.concatenate([self._weight(f"{layer}self.{p}.bias", width) for p in parts])
        self._constant(layer + "bias", bias)
        split = self._node("Split", [packed], [f"{layer}{part}" for part in parts], axis=-1)
        assert split == layer + parts[0]
        attended = self._node(
            "MultiHeadAttention",
            [*(f"{layer}{part}" for part in parts), layer + "bias", "mask"],
            [layer + "attended"],
            domain=RUNTIME,
            num_heads=self.shape.num_heads,
        )
        return self._product(attended, f"{layer}output.", {"dense": width}, width)

    def _feed_forward(self, hidden: str, layer: str) -> str:
        width, inner = self.shape.hidden_size, self.shape.intermediate_size
        wide = self._product(hidden, f"{layer}intermediate.", {"dense": inner}, width)
        bias = f"{layer}intermediate.dense.bias"
        self._constant(bias, self._weight(bias, inner))
        active = self._node("BiasGelu", [wide, bias], [f"{layer}active"], domain=RUNTIME)
        return self._product(active, f"{layer}output.", {"dense": width}, inner)

    def _added(self, branch: str, stream: str, layer: str, out: str | None = None) -> str:
        """The norm of the stream and a branch without its bias, which is added here."""
        bias = f"{layer}.dense.bias"
        self._constant(bias, self._weight(bias, self.shape.hidden_size))
        return self._node(
            "SkipLayerNormalization",
            [branch, stream, *self._norm(f"{layer}.LayerNorm"), bias],
            [out or f"{layer}.normed"],
            domain=RUNTIME,
            epsilon=self.shape.epsilon,
        )

    def _multiply(
        self, source: str, matrix: str, out: str, rows: int, columns: int, bits: Bits
    ) -> str:
        """source (…, columns) times the transpose of a stored matrix (rows, columns)."""
        if self._bits is None:
            return super()._multiply(source, matrix, out, rows, columns, bits)
        inputs = [source, matrix + ".values", matrix + ".scales"]
        return self._node("DynamicQuantizeMatMul", inputs, [out], domain=RUNTIME)

    def _constant_matrix(self, name: str, matrix: Array, bits: Bits) -> None:
        if self._bits is None:
            super()._constant_matrix(name, matrix, bits)
            return
        values, scales = quantize_rows(matrix)
        self._constant(name + ".values", values.T)
        self._constant(name + ".scales", scales)

    def _norm(self, name: str) -> list[str]:
        names = [f"{name}.weight", f"{name}.bias"]
        for each in names:
            self._constant(each, self._weight(each, self.shape.hidden_size))
        return names


def quantize_rows(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    """`matrix`, (rows, columns), as (values, scales): values times its row's scale.

    From -64 to 64: AVX2 adds two products of a byte and a weight in 16 bits, which end at 32,767.
    """
    scales = np.maximum(np.abs(matrix).max(axis=1), np.finfo(np.float32).tiny) / MOST
    values = np.rint(matrix / scales[:, None]).astype(np.int8)
    return values, scales.astype(np.float32)


def principal_components(
    table: Array, weights: NDArray[np.float64], size: int
) -> tuple[Array, Array, Array]:
    """(mean, factors, basis) so that mean + factors @ basis is nearest to `table`.

    Args:
        table: (rows, width).
        weights: of each row's squared error, (rows,).
        size: principal components to keep, the largest first.

    Returns:
        (width,), (rows, size) and (size, width); the rows of the basis are orthonormal.
    """
    mean = np.average(table, axis=0, weights=weights)
    centred = table - mean
    _values, vectors = np.linalg.eigh((centred * weights[:, None]).T @ centred)
    basis = vectors[:, ::-1][:, :size].T
    factors = centred @ basis.T
    return mean.astype(np.float32), factors.astype(np.float32), basis.astype(np.float32)
