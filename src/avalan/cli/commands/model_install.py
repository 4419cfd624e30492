"""`avalan model install`: download a model, ready to run."""

import argparse

from avalan.cli.commands.cache_download import add_download_options, download
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.parser import Parser
from avalan.locale import _


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = _(
        "As `avalan cache download`, but refuses a model that avalan could not run. With --json "
        "one object: model, revision, commit, folder, size_bytes, downloaded_bytes, files, "
        "preflight."
    )
    parser.examples = (
        "avalan model install Qwen/Qwen3-0.6B",
        "avalan model run Qwen/Qwen3-0.6B",
    )
    parser.add_argument("model", metavar="MODEL", help=_("the model's owner/name on the hub"))
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
        if document["downloaded_bytes"]:
            console.print(_("Installed {name} ({size}). Run it with:", name=name, size=size))
        else:
            console.print(
                _("Already installed: {name} ({size}). Run it with:", name=name, size=size)
            )
        console.print(f"  avalan model run {name}", wrap=False)
    return 0
