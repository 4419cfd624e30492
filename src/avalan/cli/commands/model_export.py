"""`avalan model export`: a checkpoint becomes ONNX files or a GGUF file, to run without torch."""

import argparse
from pathlib import Path

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text, count_text
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings

ONNX_PRECISIONS = ("fp32", "int8", "int4")
ENCODER_PRECISIONS = ("fp32", "int8")
ENCODERS = {"encoder": "modules.json", "reader": "reader.json"}
"""What sentence embedders and readers are told by."""
GGUF_PRECISIONS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


def configure(parser: Parser) -> None:
    """One model, one folder, one precision."""
    parser.examples = (
        "avalan model export models/nano --out nano-onnx --precision int8",
        'avalan model run nano-onnx "What does a compiler do?"',
        "avalan model export models/nano --out nano.gguf",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=_(
            "a Llama, for GGUF a Qwen too, an embedder or a reader: a folder with safetensors, or "
            "a hub's owner/name"
        ),
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=_("the folder to write, made if absent; or the file, if it ends in .gguf"),
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        choices=tuple(dict.fromkeys((*ONNX_PRECISIONS, *GGUF_PRECISIONS))),
        help=_(
            "fp32, int8 or int4 [fp32]; for GGUF fp32, fp16 or bf16 [fp16]; for an embedder or a "
            "reader fp32 or int8 [int8]"
        ),
    )
    add_fields(parser, EngineSettings, ["revision"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Export, and say what came out."""
    if args.out is None:
        raise UsageError("The export needs a folder to write; name it with: --out DIR")
    out = Path(args.out).expanduser()
    known = GGUF_PRECISIONS if out.suffix == ".gguf" else ONNX_PRECISIONS
    if args.precision not in (None, *known):
        raise UsageError(
            "{out} cannot be written in {precision}; choose one of: {known}.",
            out=out,
            precision=args.precision,
            known=", ".join(known),
        )
    find_folder = extras.load("avalan.model.load").find_folder
    folder = find_folder(args.model, from_args(EngineSettings, args))
    return (_to_gguf if out.suffix == ".gguf" else _to_onnx)(folder, out, args.precision, console)


def _to_gguf(folder: Path, out: Path, precision: str | None, console: Console) -> int:
    exporter = extras.load("avalan.compress.gguf", extra="export")
    precision = precision or "fp16"
    path = exporter.export_gguf(folder, out, weight_type=GGUF_PRECISIONS[precision])
    return _told("file", path, precision, path.stat().st_size, console)


def _encoder_to_onnx(kind: str, folder: Path, out: Path, precision: str, console: Console) -> int:
    if precision not in ENCODER_PRECISIONS:
        raise UsageError(
            "An encoder cannot be written in {precision}; choose one of: {known}.",
            precision=precision,
            known=", ".join(ENCODER_PRECISIONS),
        )
    exporter = extras.load(f"avalan.compress.{kind}", extra="export")
    size = getattr(exporter, f"export_{kind}")(folder, out, precision=precision)
    return _told("folder", out, precision, size, console)


def _told(what: str, path: Path, precision: str, size: int, console: Console) -> int:
    if console.as_json:
        console.json({what: str(path), "precision": precision, "size_bytes": size})
    text = _(
        "Wrote {file} in {precision}, {size}.",
        file=path,
        precision=precision,
        size=bytes_text(size),
    )
    console.print(text)
    return 0


def _to_onnx(folder: Path, out: Path, precision: str | None, console: Console) -> int:
    for kind, mark in ENCODERS.items():
        if (folder / mark).is_file():
            return _encoder_to_onnx(kind, folder, out, precision or "int8", console)
    exporter = extras.load("avalan.compress.export", extra="export")
    report = exporter.export(folder, out, precision=precision or "fp32")
    if console.as_json:
        console.json(
            {
                "folder": str(report.folder),
                "precision": report.precision,
                "num_parameters": report.num_parameters,
                "size_bytes": report.size_bytes,
            }
        )
    console.print(
        _(
            "Wrote {folder}: {parameters} parameters in {precision}, {size}.",
            folder=report.folder,
            parameters=count_text(report.num_parameters),
            precision=report.precision,
            size=bytes_text(report.size_bytes),
        )
    )
    return 0
