"""`avalan model display`: a model's card, shape and files, without loading its weights."""

import argparse
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.model.entities import EngineSettings

EXAMPLES = """\
Try:
  avalan model display
  avalan model display Qwen/Qwen3-0.6B
  avalan model display bundled --json"""


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "model",
        nargs="?",
        default="bundled",
        metavar="MODEL",
        help="a reserved name, a folder, or a hub's owner/name [bundled]",
    )
    add_fields(parser, EngineSettings, ["revision"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the card and the table of facts."""
    descriptions = extras.load("avalan.cli.display.description")
    settings = from_args(EngineSettings, args)
    found = descriptions.describe(args.model, settings)
    if console.as_json:
        console.json(found.document())
        return 0
    if found.card and not console.quiet:
        console.markdown(found.card)
        console.print()
    _print_facts(console, found)
    return 0


def _print_facts(console: Console, found: Any) -> None:
    console.print((found.name, "bold"))
    facts = found.facts()
    width = max(map(len, facts))
    for label, value in facts.items():
        console.print(f"  {label.ljust(width)}  {value}")
    console.print()
    console.print(("Files", "bold"), f" in {found.folder}")
    files = [(f"  {name}", bytes_text(size)) for name, size in found.files]
    console.table(["  name", "size"], files)
