"""`avalan model uninstall`: delete all that is on this disk of a model."""

import argparse

from avalan.cli.arrival import RESERVED
from avalan.cli.commands.cache_delete import add_yes, delete
from avalan.cli.console import Console
from avalan.cli.parser import Parser
from avalan.errors import ConfigurationError
from avalan.locale import _


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = _(
        "It says what would go and asks; --yes does not ask. With --json one object: model, "
        "deleted, revisions, kept, freed_bytes."
    )
    parser.examples = (
        "avalan model uninstall Qwen/Qwen3-0.6B",
        "avalan model uninstall unsloth/Qwen3-0.6B-GGUF:Q8_0",
    )
    parser.add_argument("model", metavar="MODEL", help=_("the model's name in the cache"))
    add_yes(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Show, ask, delete."""
    if args.model in RESERVED:
        raise ConfigurationError(
            "The model {name!r} is a part of avalan and goes with it; name a model of the "
            "cache, which `avalan cache list` shows.",
            name=args.model,
        )
    if args.model.startswith((".", "/", "~")):
        raise ConfigurationError(
            "{name!r} is a folder that avalan did not install; delete it yourself, or name a "
            "model of the cache, which `avalan cache list` shows.",
            name=args.model,
        )
    return delete(args.model, [], args, console)
