"""Export the reader to ONNX, whole or in 8 bits, for `avalan.model.nlp.judge`. No torch."""

from pathlib import Path
from typing import Literal

from avalan.compress.checkpoint import read_weights
from avalan.compress.encoder import Heads, build_encoder, read_encoder_shape
from avalan.compress.export import write_folder
from avalan.errors import ModelError
from avalan.model.nlp.judge import CONFIG, NUM_HEADS, read_longest

_COPIED = (
    CONFIG,
    "config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def export_reader(folder: Path, out: Path, *, precision: Literal["fp32", "int8"] = "int8") -> int:
    """Write the reader in `folder` as ONNX into `out`, with its tokenizer and configuration.

    Returns:
        The size of model.onnx, in bytes.

    Raises:
        ModelError: it is no reader, not a BERT that the graph can express, or lacks weights.
        StateError: `out` cannot be written.
    """
    shape = read_encoder_shape(folder, longest=read_longest(folder))
    weights = read_weights(folder)
    weight, bias = weights.get("heads.weight"), weights.get("heads.bias")
    if weight is None or bias is None or weight.shape != (NUM_HEADS, shape.hidden_size):
        raise ModelError(
            "The model in {folder} has not the heads of a reader; train one with: avalan model "
            "train reader.toml",
            folder=folder,
        )
    graph = build_encoder(shape, weights, precision, heads=Heads(weight=weight, bias=bias))
    return write_folder(graph, folder, out, _COPIED)
