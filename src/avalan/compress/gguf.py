"""Export a Hugging Face checkpoint to one GGUF file, which llama.cpp and Ollama run. No torch.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The names of keys and tensors
come from the package `gguf`; what llama.cpp expects of them is in `gguf_shape`, `gguf_tensors` and
`gguf_tokenizer`. Tensors are read, changed and written one by one, so that memory holds the largest
one and not the model.
"""

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import numpy as np
from gguf import (
    GGML_QUANT_VERSION,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFType,
    GGUFWriter,
    LlamaFileType,
    quantize,
)

from avalan.compress.checkpoint import Array
from avalan.compress.gguf_shape import Shape, read_shape
from avalan.compress.gguf_tensors import EMBEDDING, PlannedTensor, plan_tensors
from avalan.compress.gguf_tokenizer import Vocabulary, read_vocabulary
from avalan.errors import ConfigurationError, ModelError, StateError

WeightType = Literal["f32", "f16", "bf16"]
_TYPES: dict[WeightType, tuple[GGMLQuantizationType, LlamaFileType]] = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
}


def export_gguf(folder: Path, target: Path, *, weight_type: WeightType = "f16") -> Path:
    """Write the model in `folder`, with its tokenizer, as the file `target`; returns `target`.

    All of it is written, or nothing: a failure leaves `target` as it was.

    Args:
        folder: a checkpoint in Hugging Face layout: config.json, safetensors, tokenizer.json.
        target: the file; its folder is made if absent, and a file of this name is replaced.
        weight_type: of the matrices; norms, biases and other small tensors stay in 32 bits, as
            llama.cpp wants them.

    Raises:
        ConfigurationError: the weight type is unknown.
        ModelError: llama.cpp has no way to run this architecture, this variant of it or this
            tokenizer, or files are missing or broken.
        StateError: `target` cannot be written, for example because the disk is full.
    """
    if weight_type not in get_args(WeightType):
        choices = ", ".join(get_args(WeightType))
        raise ConfigurationError(
            "There is no weight type called {name!r}; choose one of: {choices}.",
            name=weight_type,
            choices=choices,
        )
    shape = read_shape(folder)
    tensors = plan_tensors(folder, shape)
    vocabulary = read_vocabulary(folder, tensors[EMBEDDING].shape[0])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, because moving a file is all or nothing only within one file system.
        with TemporaryDirectory(prefix=".gguf-", dir=target.parent) as begun:
            path = Path(begun) / target.name
            writer = GGUFWriter(path, MODEL_ARCH_NAMES[shape.architecture])
            with closing(writer):
                _add_keys(writer, folder, shape, vocabulary, weight_type)
                _write_tensors(writer, tuple(tensors.values()), _TYPES[weight_type][0])
            path.replace(target)
    except OSError as error:
        raise StateError(
            "The model cannot be written to {target} ({reason}), and nothing of it was left there; "
            "check its space and permissions, or choose another place.",
            target=target,
            reason=error.strerror or error,
        ) from None
    return target


def _add_keys(
    writer: GGUFWriter, folder: Path, shape: Shape, vocabulary: Vocabulary, weight_type: WeightType
) -> None:
    writer.add_type(GGUFType.MODEL)
    writer.add_name(folder.resolve().name)
    writer.add_file_type(_TYPES[weight_type][1])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    shape.add_to(writer)
    writer.add_vocab_size(len(vocabulary.tokens))
    vocabulary.add_to(writer)


def _write_tensors(
    writer: GGUFWriter, tensors: Sequence[PlannedTensor], matrix_type: GGMLQuantizationType
) -> None:
    types = [GGMLQuantizationType.F32 if each.is_small else matrix_type for each in tensors]
    for tensor, kind in zip(tensors, types, strict=True):
        number = np.dtype(np.float32 if kind is GGMLQuantizationType.F32 else np.float16)
        size_bytes = math.prod(tensor.shape) * number.itemsize
        writer.add_tensor_info(tensor.name, tensor.shape, number, size_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in zip(tensors, types, strict=True):
        writer.write_tensor_data(_encoded(tensor, kind))


def _encoded(tensor: PlannedTensor, kind: GGMLQuantizationType) -> Array:
    values = np.ascontiguousarray(tensor.load())
    assert values.shape == tensor.shape, f"{tensor.name}: {values.shape}, not {tensor.shape}"
    largest = max(values.max(), -values.min())
    if kind is GGMLQuantizationType.F16 and largest > np.finfo(np.float16).max:
        raise ModelError(
            "The tensor {name} has values that 16-bit floats (f16) do not reach; choose the weight "
            "type bf16 or f32.",
            name=tensor.name,
        )
    return quantize(values, kind)
