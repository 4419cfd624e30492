"""Export a Llama-architecture checkpoint to ONNX, whole or in 8 or 4 bits. No torch.

The graph is built here, operator by operator, from ONNX Runtime's own (GroupQueryAttention with
rotary embedding, MatMulNBits, GatherBlockQuantized), and has the layout that
`avalan.model.engine.onnx` reads. A tied embedding is stored once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import onnx
from onnx.external_data_helper import set_external_data

from avalan.compress.checkpoint import read_weights
from avalan.compress.graph import build_graph
from avalan.compress.llama import read_shape
from avalan.errors import ConfigurationError, StateError, reason_of

Precision = Literal["fp32", "int8", "int4"]
_COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)
_MODEL = "model.onnx"
# A protobuf ends at 2 GiB; larger weights go to a file beside it.
_WEIGHTS = _MODEL + ".data"
_LARGEST_FILE = 2**31 - 2**24
_ALIGNED = 64
"""Bytes of a cache line, on which a matrix begins in a file that is mapped."""
_SMALL = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export made."""

    folder: Path
    precision: Precision
    num_parameters: int
    """Weights of the model; a tied embedding counts once."""
    size_bytes: int
    """Of the ONNX files."""


def export(folder: Path, out: Path, *, precision: Precision = "fp32") -> ExportReport:
    """Write the model in `folder` as ONNX into `out`, with its tokenizer and configuration.

    All of it is written, or nothing: a failure leaves `out` as it was.

    Args:
        folder: a checkpoint in Hugging Face layout: config.json and safetensors.
        out: a folder, made if absent; files of the same names are replaced.
        precision: `int8` and `int4` quantise every matrix in blocks of 32 weights; `int4` keeps
            the embedding and the output matrix in 8 bits, where an error costs most.

    Raises:
        ConfigurationError: the precision is unknown, or `out` is `folder`.
        ModelError: the model is not a Llama that this graph can express, or lacks weights.
        StateError: `out` cannot be written, for example because its disk is full.
    """
    if precision not in get_args(Precision):
        choices = ", ".join(get_args(Precision))
        raise ConfigurationError(
            "There is no precision called {precision!r}; choose one of: {choices}.",
            precision=precision,
            choices=choices,
        )
    if out.resolve() == folder.resolve():
        raise ConfigurationError(
            "The export would overwrite {folder}; choose another folder.", folder=folder
        )
    shape = read_shape(folder)
    weights = read_weights(folder)
    model = build_graph(shape, weights, precision)
    size_bytes = write_folder(model, folder, out, _COPIED)
    tied = shape.tied and "lm_head.weight" in weights
    num_parameters = sum(array.size for name, array in weights.items())
    if tied:
        num_parameters -= weights["lm_head.weight"].size
    return ExportReport(
        folder=out, precision=precision, num_parameters=num_parameters, size_bytes=size_bytes
    )


def write_folder(model: onnx.ModelProto, folder: Path, out: Path, copied: Iterable[str]) -> int:
    """Write `model`, and the files of `folder` that are `copied`, into `out`: all or nothing.

    Returns:
        The size of the ONNX files, in bytes.

    Raises:
        StateError: `out` cannot be written.
    """
    # Read before anything is written, so that what fails from then on is the writing.
    copies = {name: (folder / name).read_bytes() for name in copied if (folder / name).is_file()}
    with _written(out) as begun:
        for name, content in copies.items():
            (begun / name).parent.mkdir(exist_ok=True)
            (begun / name).write_bytes(content)
        return _save(model, begun / _MODEL)


def set_apart(path: Path) -> None:
    """Move the weights of the ONNX file `path` into a file beside it, where they can be mapped.

    ONNX Runtime then opens the graph in half the time, and hardly holds the interpreter meanwhile:
    the weights of a single file are parsed and copied under its lock.
    """
    model = onnx.load(path)
    weights = path.with_name(_WEIGHTS)
    with weights.open("wb") as file:
        for tensor in model.graph.initializer:
            content = tensor.raw_data
            if len(content) < _SMALL:
                continue
            file.write(bytes(-file.tell() % _ALIGNED))
            set_external_data(tensor, weights.name, offset=file.tell(), length=len(content))
            tensor.ClearField("raw_data")
            file.write(content)
    path.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _written(out: Path) -> Iterator[Path]:
    """A folder whose files become those of `out` at the end; if that is not reached, none do."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Inside it, because moving a file is all or nothing only within one file system.
        with TemporaryDirectory(prefix=".export-", dir=out) as begun:
            yield Path(begun)
            _move(Path(begun), out)
    except BaseException as error:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        if not isinstance(error, OSError):
            raise
        raise StateError(
            "The export cannot be written to {out} ({reason}), and nothing of it was left "
            "there; check its space and permissions, or choose another folder.",
            out=out,
            reason=reason_of(error),
        ) from None


def _move(begun: Path, out: Path) -> None:
    names = [str(path.relative_to(begun)) for path in begun.rglob("*") if path.is_file()]
    # The model last: its presence means that everything else is there.
    for name in sorted(names, key=_MODEL.__eq__):
        (out / name).parent.mkdir(exist_ok=True)
        (begun / name).replace(out / name)
    if _WEIGHTS not in names:
        (out / _WEIGHTS).unlink(missing_ok=True)


def _save(model: onnx.ModelProto, path: Path) -> int:
    if model.ByteSize() < _LARGEST_FILE:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return path.stat().st_size
    weights = path.with_name(_WEIGHTS)
    onnx.save_model(model, path, save_as_external_data=True, location=weights.name)
    return path.stat().st_size + weights.stat().st_size
