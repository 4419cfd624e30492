"""`avalan model display`: a model's card, shape and files, with `--load` from the loaded model."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from avalan import extras
from avalan.cli.arrival import arriving
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.login import add_login, find_token
from avalan.cli.options import add_fields, as_usage, from_args
from avalan.cli.parser import Parser
from avalan.locale import _
from avalan.model.entities import EngineSettings


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = _(
        "With --json: one object with the fields of the model; with --load, what was counted is in "
        '"loaded".'
    )
    parser.examples = (
        "avalan model display",
        "avalan model display Qwen/Qwen3-0.6B --summary",
        "avalan model display --load Qwen/Qwen3-0.6B",
        "avalan model display bundled --json",
    )
    parser.add_argument(
        "model",
        nargs="?",
        default="bundled",
        metavar="MODEL",
        help=_("a reserved name, a folder, or a hub's owner/name [bundled]"),
    )
    parser.add_argument(
        "--load",
        action="store_true",
        help=_("download it if need be, load it, and count its parameters"),
    )
    parser.add_argument("--summary", action="store_true", help=_("a few lines"))
    add_fields(parser, EngineSettings, ["revision", "trust_remote_code", "allow_pickle"])
    add_login(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the card and the table of facts."""
    with as_usage():
        extras.load("avalan.model.uri").parse_uri(args.model)
    settings = from_args(EngineSettings, args, access_token=find_token(args, console))
    loaded = _load(args.model, settings, console) if args.load else None
    found = extras.load("avalan.cli.display.description").describe(args.model, settings)
    if console.as_json:
        more = {"loaded": dataclasses.asdict(loaded)} if loaded else {}
        console.json(found.document() | more)
        return 0
    words = extras.load("avalan.cli.display.facts")
    if args.summary:
        _print_facts(console, found.name, words.summary(found))
    else:
        _print_all(console, found, words)
    if loaded:
        console.print()
        _print_facts(console, _("In memory"), words.loaded_facts(loaded))
    return 0


def _load(name: str, settings: EngineSettings, console: Console) -> Any:
    """Fetch and load the model."""
    find_folder = extras.load("avalan.model.load").find_folder
    with arriving(name, console):
        folder = find_folder(name, settings)
    return extras.load("avalan.cli.display.loading").load(folder, settings)


def _print_all(console: Console, found: Any, words: Any) -> None:
    if found.card and not console.quiet:
        console.markdown(found.card)
        console.print()
    _print_facts(console, found.name, words.facts(found))
    console.print()
    where = _("on the hub, not downloaded")
    if found.is_downloaded:
        where = _("in {folder}", folder=found.folder)
    elif found.folder:
        where = _("in {folder}, without the weights", folder=found.folder)
    console.print((_("Files"), "bold"), f" {where}")
    files = [(f"  {name}", bytes_text(size)) for name, size in found.files]
    console.table(["  " + _("name"), _("size")], files)


def _print_facts(console: Console, title: str, facts: Mapping[str, str]) -> None:
    hang = extras.load("avalan.cli.display.layout").hang
    console.print((title, "bold"))
    width = max(map(len, facts))
    for label, value in facts.items():
        lead = f"  {label.ljust(width)}  "
        if not console.interactive:
            console.print(lead, value)
            continue
        for line in hang((lead, "dim"), [value], console.width, indent=len(lead), margin=6):
            console.print(*line, wrap=False)
