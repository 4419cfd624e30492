"""`avalan index list`: the indexes on this machine."""

import time
from argparse import Namespace
from typing import Any

from avalan.cli.console import Console
from avalan.cli.display.units import age, bytes_text
from avalan.cli.parser import Parser
from avalan.errors import AvalanError
from avalan.locale import _
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex
from avalan.retrieval.place import named, names


def configure(parser: Parser) -> None:
    """Nothing to choose."""
    parser.description = _("Show the indexes there are on this machine.")
    parser.examples = ("avalan index list", "avalan index list --json")
    parser.set_defaults(run=run)


def run(args: Namespace, console: Console) -> int:
    """Open each, and print what it holds."""
    found = [_overview(name) for name in names()]
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


def _overview(name: str) -> dict[str, Any]:
    path = named(name)
    status = path.stat()
    found: dict[str, Any] = {"index": name, "path": str(path), "documents": None, "passages": None}
    found |= {"embedder": None, "embedded": None, "size_bytes": status.st_size}
    found |= {"updated": status.st_mtime, "problem": None}
    try:
        with SyncIndex.open(path) as index:
            totals, embedding = index.totals(), index.embedding()
    except AvalanError as error:
        return found | {"problem": str(error)}
    found |= {"documents": totals.num_documents, "passages": totals.num_passages}
    return found | {"embedder": embedding and embedding.name, "embedded": totals.num_embedded}


def _line(row: dict[str, Any]) -> list[object]:
    shown = ["–" if row[key] is None else row[key] for key in ("documents", "passages", "embedder")]
    makes_vectors = row["embedder"] not in (None, NO_EMBEDDER)
    if makes_vectors and row["embedded"] < row["passages"]:
        shown[2] = f"{row['embedder']} ({row['embedded'] / row['passages']:.0%})"
    days = age(time.time() - row["updated"])
    return [row["index"], *shown, bytes_text(row["size_bytes"]), days]
