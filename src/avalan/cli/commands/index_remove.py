"""`avalan index remove`: delete an index, or forget documents; the files themselves stay."""

from argparse import Namespace
from pathlib import Path

from avalan import extras
from avalan.cli.commands.index import add_place, place_of, shown_name
from avalan.cli.console import Console
from avalan.cli.parser import Parser
from avalan.locale import _, ngettext
from avalan.retrieval import store
from avalan.retrieval.index import SyncIndex


def configure(parser: Parser) -> None:
    """Which index, and perhaps which documents."""
    parser.description = _("Delete an index, or forget one document or a folder's; files stay.")
    add_place(parser, _("a document or a folder; left out, the whole index is deleted"))
    parser.examples = (
        "avalan index remove handbook garden.md",
        "avalan index remove handbook",
    )
    parser.set_defaults(run=run)


def run(args: Namespace, console: Console) -> int:
    """Delete or forget, and say so."""
    place = place_of(args)
    removed: list[str] = []
    if args.file:
        with SyncIndex.open(place) as index:
            removed = index.remove(args.file)
    elif isinstance(place, Path):
        store.remove(place)
    else:
        extras.load("avalan.retrieval.postgres", extra="postgres").remove(place)
    if console.as_json:
        console.json({"index": shown_name(args), "deleted": not args.file, "documents": removed})
    elif args.file:
        console.print(
            ngettext(
                "Forgot {n:,} document of the index {name!r}.",
                "Forgot {n:,} documents of the index {name!r}.",
                len(removed),
                name=shown_name(args),
            )
        )
    else:
        console.print(
            _(
                "Deleted the index {name!r}; the documents themselves are untouched.",
                name=shown_name(args),
            )
        )
    return 0
