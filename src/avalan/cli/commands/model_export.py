"""`avalan model export`: a checkpoint becomes ONNX files, which run without torch."""

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


def configure(parser: Parser) -> None:
    """One model, one folder, one precision."""
    parser.examples = (
        "avalan model export models/nano --out nano-onnx --precision int8",
        'avalan model run nano-onnx "What does a compiler do?"',
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=_("a Llama: a folder with safetensors, or a hub's owner/name"),
    )
    parser.add_argument("--out", metavar="DIR", help=_("the folder to write; made if absent"))
    parser.add_argument(
        "--precision",
        metavar="P",
        choices=("fp32", "int8", "int4"),
        default="fp32",
        help=_("fp32, int8 or int4 [fp32]"),
    )
    add_fields(parser, EngineSettings, ["revision"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Export, and say what came out."""
    if args.out is None:
        raise UsageError("The export needs a folder to write; name it with: --out DIR")
    exporter = extras.load("avalan.compress.export", extra="export")
    find_folder = extras.load("avalan.model.load").find_folder
    folder = find_folder(args.model, from_args(EngineSettings, args))
    report = exporter.export(folder, Path(args.out).expanduser(), precision=args.precision)
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
