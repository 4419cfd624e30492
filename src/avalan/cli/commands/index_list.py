"""`avalan index list`: the indexes on this machine."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from avalan.cli.commands.index import shown_address
from avalan.cli.console import Console
from avalan.cli.display.units import age, bytes_text
from avalan.cli.options import as_usage
from avalan.cli.parser import Parser
from avalan.errors import AvalanError
from avalan.locale import _
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex
from avalan.retrieval.place import in_database, named, names


def configure(parser: Parser) -> None:
    """Where to look."""
    parser.description = _("Show the indexes there are on this machine, or in a database.")
    text = _("the address of a database; left out: this machine")
    parser.add_argument("database", nargs="?", metavar="ADDRESS", help=text)
    parser.examples = (
        "avalan index list",
        "avalan index list --json",
        "avalan index list postgresql://user@host/database",
    )
    parser.set_defaults(run=run)


def run(args: Namespace, console: Console) -> int:
    """Open each, and print what it holds."""
    if args.database is None:
        found = [_overview(name, named(name)) for name in names()]
    else:
        with as_usage():
            places = in_database(args.database)
        found = [_overview(shown_address(each), each) for each in places]
    if console.as_json:
        console.json(found)
    elif not found:
        console.note(_("There is no index yet; make one with: avalan index add PATH"))
    else:
        headers = [_("index"), _("documents"), _("passages"), _("embedder"), _("size"), _("age")]
        console.table(headers, [_line(row) for row in found])
        for row in found:
            if row["problem"]:
                console.note((f"{row['index']}: ", "yellow"), row["problem"])
    return 0


def _overview(name: str, place: Path | str) -> dict[str, Any]:
    found: dict[str, Any] = {"index": name, "path": None, "documents": None, "passages": None}
    found |= {"embedder": None, "embedded": None, "size_bytes": None, "updated": None}
    if isinstance(place, Path):
        status = place.stat()
        found |= {"path": str(place), "size_bytes": status.st_size, "updated": status.st_mtime}
    try:
        with SyncIndex.open(place) as index:
            totals, embedding = index.totals(), index.embedding()
    except AvalanError as error:
        return found | {"problem": str(error)}
    found |= {"documents": totals.num_documents, "passages": totals.num_passages}
    found |= {"embedder": embedding and embedding.name, "embedded": totals.num_embedded}
    return found | {
        "size_bytes": totals.size_bytes,
        "updated": totals.updated,
        "problem": None,
    }


def _line(row: dict[str, Any]) -> list[object]:
    shown = ["–" if row[key] is None else row[key] for key in ("documents", "passages", "embedder")]
    makes_vectors = row["embedder"] not in (None, NO_EMBEDDER)
    if makes_vectors and row["embedded"] < row["passages"]:
        shown[2] = f"{row['embedder']} ({row['embedded'] / row['passages']:.0%})"
    if row["updated"] is None:  # A database of which nothing can be read.
        return [row["index"], *shown, "–", "–"]
    days = age(time.time() - row["updated"])
    return [row["index"], *shown, bytes_text(row["size_bytes"]), days]
