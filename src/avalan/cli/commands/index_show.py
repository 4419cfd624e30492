"""`avalan index show`: an index's documents, or one document's passages or text."""

import textwrap
from argparse import Namespace

from avalan.cli.commands.index import add_place, opened, passage_json
from avalan.cli.console import Console
from avalan.cli.display.layout import path_text
from avalan.cli.display.units import bytes_text
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _
from avalan.retrieval.index import SyncIndex


def configure(parser: Parser) -> None:
    """Which index, and perhaps which document."""
    parser.description = _(
        "Show the documents of an index, or the passages or text of one of them."
    )
    add_place(parser, _("a document: its path, or the end of one"))
    text = _("the text that offsets count in")
    parser.add_argument("--text", action="store_true", help=text)
    parser.examples = (
        "avalan index show handbook",
        "avalan index show handbook garden.md --text",
    )
    parser.set_defaults(run=run)


def run(args: Namespace, console: Console) -> int:
    """Open it and print."""
    if args.text and not args.file:
        raise UsageError("--text needs a document: avalan index show NAME FILE --text")
    with opened(args) as index:
        if not args.file:
            _show_documents(index, console)
        elif args.text:
            _show_text(index, index.find(args.file), console)
        else:
            _show_passages(index, index.find(args.file), console)
    return 0


def _show_documents(index: SyncIndex, console: Console) -> None:
    documents = index.documents()
    if console.as_json:
        keys = ("source", "passages", "size_bytes", "offsets_in")
        rows = [(doc.source, doc.num_passages, doc.size_bytes, doc.offsets_in) for doc in documents]
        console.json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    lines = [
        (path_text(doc.source), doc.num_passages, bytes_text(doc.size_bytes)) for doc in documents
    ]
    console.table([_("document"), _("passages"), _("size")], lines)


def _show_text(index: SyncIndex, source: str, console: Console) -> None:
    text = index.text(source)
    console.print(text, end="")
    if console.as_json:
        console.json({"source": source, "text": text})


def _show_passages(index: SyncIndex, source: str, console: Console) -> None:
    passages = index.passages(source)
    if console.as_json:
        console.json([passage_json(passage) for passage in passages])
        return
    console.print((path_text(source), "bold"))
    lines = [(each.start, each.end, each.heading, _beginning(each.text)) for each in passages]
    console.table([_("start"), _("end"), _("heading"), _("text")], lines)


def _beginning(text: str) -> str:
    return textwrap.shorten(text, 40, placeholder=" …")
