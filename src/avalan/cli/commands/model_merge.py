"""`avalan model merge`: an adapter and its base become one plain checkpoint."""

import argparse
from pathlib import Path

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings

WEIGHT_TYPES = ("fp32", "bf16", "fp16")


def configure(parser: Parser) -> None:
    """One base, one adapter, one folder."""
    parser.examples = (
        "avalan model merge Qwen/Qwen3-0.6B --adapter runs/avalon --out avalon-0.6b",
        'avalan model run avalon-0.6b "What does a compiler do?"',
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=_("the base: a folder with safetensors, or a hub's owner/name"),
    )
    parser.add_argument(
        "--adapter",
        metavar="DIR",
        help=_("a folder that PEFT wrote, or that of a run, of which the last step is taken"),
    )
    parser.add_argument("--out", metavar="DIR", help=_("the folder to write, made if absent"))
    parser.add_argument(
        "--weight-type",
        choices=WEIGHT_TYPES,
        help=_("number format of the weights  [the base's]"),
    )
    add_fields(parser, EngineSettings, ["revision"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Merge, and say what came out."""
    if args.adapter is None:
        raise UsageError("There is nothing to merge; name the adapter's folder with: --adapter DIR")
    if args.out is None:
        raise UsageError("The merged model needs a folder to write; name it with: --out DIR")
    out = Path(args.out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("{out} exists and is not empty; name another with: --out DIR", out=out)
    settings = from_args(EngineSettings, args)
    base = extras.load("avalan.model.load").find_folder(args.model, settings)
    merging = extras.load("avalan.compress.merge", extra="transformers")
    adapter = merging.find_adapter(Path(args.adapter).expanduser())
    folder = merging.merge(base, adapter, out, weight_type=args.weight_type)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if console.as_json:
        console.json({"folder": str(folder), "size_bytes": size, "adapter": str(adapter.folder)})
    elif console.quiet:
        console.print(str(folder))
    else:
        console.print(
            _(
                "Wrote {folder}: {base} with {adapter} in its weights, {size}.",
                folder=folder,
                base=args.model,
                adapter=adapter.folder,
                size=bytes_text(size),
            )
        )
    return 0
