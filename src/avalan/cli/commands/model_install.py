"""`avalan model install`: download a model, ready to run."""

import argparse

from avalan.cli.commands.cache_download import add_download_options, download
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.parser import Parser

EXAMPLES = """\
As `avalan cache download`, but refuses a model that avalan could not run. With --json one object:
model, revision, commit, folder, size_bytes, downloaded_bytes, files, preflight.

Try:
  avalan model install Qwen/Qwen3-0.6B
  avalan model run Qwen/Qwen3-0.6B"""


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="the model's owner/name on the hub")
    add_download_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Install, and say how to run it."""
    plan, folder, document = download(args, console, pickled=False)
    if console.as_json:
        console.json(document)
    elif console.quiet:
        console.print(str(folder))
    else:
        name, size = plan.model.name, bytes_text(plan.size_bytes)
        verb = "Installed" if document["downloaded_bytes"] else "Already installed:"
        console.print(f"{verb} {name} ({size}). Run it with:")
        console.print(f"  avalan model run {name}", wrap=False)
    return 0
