"""`avalan index`: make documents searchable, and search them."""

import textwrap
from argparse import ArgumentTypeError, Namespace
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from avalan.cli.console import Console
from avalan.cli.display.layout import MAX_WIDTH, path_text, wrap
from avalan.cli.display.units import bytes_text
from avalan.cli.options import as_usage, whole_number
from avalan.cli.parser import Parser
from avalan.errors import AvalanError, UsageError
from avalan.locale import _, _n, ngettext
from avalan.retrieval import store
from avalan.retrieval.index import (
    DEFAULT_INDEX,
    Dropped,
    Event,
    Index,
    Passage,
    Skipped,
    Unchanged,
    named,
    names,
)

MAX_NAMED = 20
"""How many skipped files are named on a screen before the rest are only counted."""

KINDS = {
    "added": _n("added"),
    "replaced": _n("replaced"),
    "unchanged": _n("unchanged"),
    "dropped": _n("dropped"),
    "skipped": _n("skipped"),
}
"""What may be done with a file, by the events' names."""


def configure(parser: Parser) -> None:
    """One parser for each verb."""
    parser.examples = (
        "avalan index add notes/",
        'avalan index search "how long may a file name be"',
        'avalan ask "How long may a file name be?"',
    )
    verbs = parser.add_subparsers(metavar="COMMAND")

    add = verbs.add_parser("add", help=_("add files and folders, or bring them up to date"))
    add.description = _("Add files and folders to an index, or bring it up to date with them.")
    text = _(".txt .md .rst .py .html, or folders")
    add.add_argument("paths", nargs="+", metavar="PATH", help=text)
    _add_name(add)
    text = _("start the index anew from these paths")
    add.add_argument("--rebuild", action="store_true", help=text)
    add.epilog = _("Adding again reads only what has changed since, and drops what is gone.")
    add.examples = (
        "avalan index add notes/",
        "avalan index add handbook.md faq/ --name handbook",
    )
    add.set_defaults(run=_add)

    search = verbs.add_parser("search", help=_("show the passages that a question is about"))
    search.description = _("Show the passages that share words with a question, best first.")
    search.add_argument("query", metavar="QUERY", help=_("words or a question"))
    _add_name(search)
    text = _("how many passages to show [5]")
    search.add_argument("--top-k", type=_count, default=5, metavar="K", help=text)
    search.examples = (
        'avalan index search "parking for visitors"',
        'avalan index search "parking for visitors" --name handbook --top-k 3',
    )
    search.set_defaults(run=_search)

    listing = verbs.add_parser("list", help=_("show the indexes there are"))
    listing.description = _("Show the indexes there are.")
    listing.examples = ("avalan index list", "avalan index list --json")
    listing.set_defaults(run=_list)

    text = _("show an index's documents, or one document's passages")
    show = verbs.add_parser("show", help=text)
    show.description = _("Show the documents of an index, or the passages or text of one of them.")
    _add_place(show, _("a document: its path, or the end of one"))
    text = _("the text that offsets count in")
    show.add_argument("--text", action="store_true", help=text)
    show.examples = (
        "avalan index show handbook",
        "avalan index show handbook garden.md --text",
    )
    show.set_defaults(run=_show)

    remove = verbs.add_parser("remove", help=_("delete an index, or forget documents"))
    remove.description = _("Delete an index, or forget one document or a folder's; files stay.")
    _add_place(remove, _("a document or a folder; left out, the whole index is deleted"))
    remove.examples = (
        "avalan index remove handbook garden.md",
        "avalan index remove handbook",
    )
    remove.set_defaults(run=_remove)


def _add_name(parser: Parser) -> None:
    text = _("which index [{default}]", default=DEFAULT_INDEX)
    parser.add_argument("--name", default=DEFAULT_INDEX, metavar="NAME", help=text)


def _add_place(parser: Parser, text: str) -> None:
    parser.add_argument("name", metavar="NAME", help=_("which index"))
    parser.add_argument("file", nargs="?", metavar="FILE", help=text)


def _path(args: Namespace) -> Path:
    with as_usage():
        return named(args.name)


def _count(text: str) -> int:
    if (count := whole_number(text)) < 1:
        raise ArgumentTypeError(_("{text} is not a number of passages; give 1 or more", text=text))
    return count


# --- add --------------------------------------------------------------------------------------


def _add(args: Namespace, console: Console) -> int:
    path = _path(args)
    is_new = not path.exists()
    try:
        with Index.open(path, create=True, rebuild=args.rebuild) as index:
            _follow(index, args, console)
    finally:
        if is_new:
            _remove_if_empty(path)
    return 0


def _follow(index: Index, args: Namespace, console: Console) -> None:
    tally: Counter[str] = Counter()
    is_done = False
    show_reading(args.paths, console)
    try:
        for event in index.add(args.paths):
            tally[_kind(event)] += 1
            _show_event(event, tally, console)
        is_done = True
    finally:
        # A rebuild that ends early has changed nothing.
        if tally and (is_done or not args.rebuild):
            _show_tally(args.name, index, tally, console)


def show_reading(paths: list[str], console: Console) -> None:
    """Say at once what is read: the first event comes with the end of the first file."""
    console.progress(_("reading {path}", path=path_text(paths[0])) + " …")


def _remove_if_empty(path: Path) -> None:
    """An index of nothing would only be in the way of "there is none"."""
    with suppress(AvalanError):
        with Index.open(path) as index:
            is_empty = not index.documents()
        if is_empty:
            store.remove(path)


def _kind(event: Event) -> str:
    return type(event).__name__.lower()


def _show_event(event: Event, tally: Counter[str], console: Console) -> None:
    source = event.path if isinstance(event, Skipped) else event.source
    kind, path = _kind(event), path_text(source)
    console.progress(ngettext("{n} file: {path}", "{n} files: {path}", tally.total(), path=path))
    if console.as_json:
        console.json(_event_json(event, source))
    elif isinstance(event, Skipped):
        note_skipped(event, tally[kind], MAX_NAMED, console)
    elif isinstance(event, Dropped) or console.verbose:
        style = "yellow" if isinstance(event, Dropped) else "dim"
        console.note((_(KINDS[kind]), style), f" {path}")


def note_skipped(event: Skipped, num_skipped: int, most: int, console: Console) -> None:
    """Name one file that was skipped, unless `most` have been named."""
    if num_skipped <= most or console.verbose:
        console.note((_("skipped"), "yellow"), f" {path_text(event.path)}: {event.reason}")


def note_unnamed(num_skipped: int, most: int, console: Console) -> None:
    """Count those that `note_skipped` did not name."""
    if num_skipped > most and not console.verbose:
        text = ngettext(
            "… and {n} more skipped; --verbose names them all",
            "… and {n} more skipped; --verbose names them all",
            num_skipped - most,
        )
        console.note(text)


def _event_json(event: Event, source: str) -> dict[str, Any]:
    found: dict[str, Any] = {"event": _kind(event), "source": source}
    match event:
        case Skipped():
            found["reason"] = event.reason
        case Dropped() | Unchanged():
            pass
        case _:
            found["passages"] = event.num_passages
    return found


def _show_tally(name: str, index: Index, tally: Counter[str], console: Console) -> None:
    documents = index.documents()
    num_passages = sum(document.num_passages for document in documents)
    if console.as_json:
        counts = {kind: tally[kind] for kind in KINDS}
        summary = {"event": "summary", "index": name, "documents": len(documents)}
        console.json(summary | {"passages": num_passages} | counts)
        return
    note_unnamed(tally["skipped"], MAX_NAMED, console)
    console.print(
        _(
            "{done}; the index {name!r} has {documents} and {passages}.",
            done=", ".join(_counted(kind, count) for kind, count in tally.items()),
            name=name,
            documents=ngettext("{n:,} document", "{n:,} documents", len(documents)),
            passages=ngettext("{n:,} passage", "{n:,} passages", num_passages),
        )
    )


def _counted(kind: str, count: int) -> str:
    """`3 added`; in many languages the word depends on the number."""
    return {
        "added": ngettext("{n} added", "{n} added", count),
        "replaced": ngettext("{n} replaced", "{n} replaced", count),
        "unchanged": ngettext("{n} unchanged", "{n} unchanged", count),
        "dropped": ngettext("{n} dropped", "{n} dropped", count),
        "skipped": ngettext("{n} skipped", "{n} skipped", count),
    }[kind]


# --- search, list -----------------------------------------------------------------------------


def _search(args: Namespace, console: Console) -> int:
    if not args.query.strip():
        raise UsageError('The query is empty; write words or a question: avalan index search "…"')
    with Index.open(_path(args)) as index:
        passages = index.search(args.query, args.top_k)
    if console.as_json:
        console.json([_passage_json(passage) | {"score": passage.score} for passage in passages])
    elif not passages:
        console.note(
            _("No passage in the index {name!r} shares a word with the query.", name=args.name)
        )
    for rank, passage in enumerate(passages, 1):
        _show_passage(rank, passage, console)
    return 0


def _show_passage(rank: int, passage: Passage, console: Console) -> None:
    place = f"{path_text(passage.source)}:{passage.start}-{passage.end}"
    console.print((f"{rank}. ", "bold"), (place, "cyan"), (f"  {passage.score:.2f}", "dim"))
    if passage.heading:
        console.print(("   " + passage.heading, "bold"))
    for line in _text_lines(passage.text, console):
        console.print("   " + line)
    console.print()


def _text_lines(text: str, console: Console) -> list[str]:
    """The words of `text` in lines; on a terminal they are as wide as its characters are."""
    words = " ".join(text.split())
    width = max(min(console.width, MAX_WIDTH) - 3, 20)
    if not console.interactive:
        return textwrap.wrap(words, width)
    return ["".join(piece for piece, _ in line) for line in wrap([words], width)]


def _passage_json(passage: Passage) -> dict[str, Any]:
    return {
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "offsets_in": passage.offsets_in,
        "heading": passage.heading,
        "text": passage.text,
    }


def _list(args: Namespace, console: Console) -> int:
    found = [_overview(name) for name in names()]
    if console.as_json:
        console.json(found)
    elif not found:
        console.note(_("There is no index yet; make one with: avalan index add PATH"))
    else:
        headers = [_("index"), _("documents"), _("passages"), _("size")]
        console.table(headers, [_line(row) for row in found])
        for row in found:
            if row["problem"]:
                console.note((f"{row['index']}: ", "yellow"), row["problem"])
    return 0


def _overview(name: str) -> dict[str, Any]:
    path = named(name)
    found: dict[str, Any] = {"index": name, "path": str(path), "documents": None, "passages": None}
    found |= {"size_bytes": path.stat().st_size, "problem": None}
    try:
        with Index.open(path) as index:
            documents = index.documents()
    except AvalanError as error:
        return found | {"problem": str(error)}
    num_passages = sum(document.num_passages for document in documents)
    return found | {"documents": len(documents), "passages": num_passages}


def _line(row: dict[str, Any]) -> list[object]:
    counts = [row["documents"], row["passages"]]
    shown = ["–" if count is None else count for count in counts]
    return [row["index"], *shown, bytes_text(row["size_bytes"])]


# --- show, remove -----------------------------------------------------------------------------


def _show(args: Namespace, console: Console) -> int:
    if args.text and not args.file:
        raise UsageError("--text needs a document: avalan index show NAME FILE --text")
    with Index.open(_path(args)) as index:
        if not args.file:
            _show_documents(index, console)
        elif args.text:
            _show_text(index, index.find(args.file), console)
        else:
            _show_passages(index, index.find(args.file), console)
    return 0


def _show_documents(index: Index, console: Console) -> None:
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


def _show_text(index: Index, source: str, console: Console) -> None:
    text = index.text(source)
    console.print(text, end="")
    if console.as_json:
        console.json({"source": source, "text": text})


def _show_passages(index: Index, source: str, console: Console) -> None:
    passages = index.passages(source)
    if console.as_json:
        console.json([_passage_json(passage) for passage in passages])
        return
    console.print((path_text(source), "bold"))
    lines = [(each.start, each.end, each.heading, _beginning(each.text)) for each in passages]
    console.table([_("start"), _("end"), _("heading"), _("text")], lines)


def _beginning(text: str) -> str:
    return textwrap.shorten(text, 40, placeholder=" …")


def _remove(args: Namespace, console: Console) -> int:
    path = _path(args)
    removed: list[str] = []
    if args.file:
        with Index.open(path) as index:
            removed = index.remove(args.file)
    else:
        store.remove(path)
    if console.as_json:
        console.json({"index": args.name, "deleted": not args.file, "documents": removed})
    elif args.file:
        console.print(
            ngettext(
                "Forgot {n:,} document of the index {name!r}.",
                "Forgot {n:,} documents of the index {name!r}.",
                len(removed),
                name=args.name,
            )
        )
    else:
        console.print(
            _(
                "Deleted the index {name!r}; the documents themselves are untouched.",
                name=args.name,
            )
        )
    return 0
