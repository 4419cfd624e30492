"""`avalan index`: make documents searchable, and search them."""

import argparse
import textwrap
from argparse import ArgumentTypeError
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from avalan.cli.console import Console
from avalan.cli.display.layout import MAX_WIDTH, path_text, wrap
from avalan.cli.display.units import bytes_text
from avalan.cli.options import as_usage, whole_number
from avalan.errors import AvalanError, UsageError
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

EXAMPLES = """\
Try:
  avalan index add notes/
  avalan index search "how long may a file name be"
  avalan ask "How long may a file name be?" """

ADD_EXAMPLES = """\
Adding again reads only what has changed since, and drops what is gone.

Try:
  avalan index add notes/
  avalan index add handbook.md faq/ --name handbook"""

SEARCH_EXAMPLES = """\
Try:
  avalan index search "parking for visitors"
  avalan index search "parking for visitors" --name handbook --top-k 3"""

LIST_EXAMPLES = """\
Try:
  avalan index list
  avalan index list --json"""

SHOW_EXAMPLES = """\
Try:
  avalan index show handbook
  avalan index show handbook garden.md --text"""

REMOVE_EXAMPLES = """\
Try:
  avalan index remove handbook garden.md
  avalan index remove handbook"""


def configure(parser: argparse.ArgumentParser) -> None:
    """One parser for each verb."""
    parser.epilog = EXAMPLES.rstrip()
    verbs = parser.add_subparsers(title="Commands", metavar="COMMAND")

    add = verbs.add_parser("add", help="add files and folders, or bring them up to date")
    add.description = "Add files and folders to an index, or bring it up to date with them."
    add.add_argument("paths", nargs="+", metavar="PATH", help=".txt .md .rst .py .html, or folders")
    _add_name(add)
    add.add_argument("--rebuild", action="store_true", help="start the index anew from these paths")
    add.epilog = ADD_EXAMPLES
    add.set_defaults(run=_add)

    search = verbs.add_parser("search", help="show the passages that a question is about")
    search.description = "Show the passages that share words with a question, best first."
    search.add_argument("query", metavar="QUERY", help="words or a question")
    _add_name(search)
    search.add_argument(
        "--top-k", type=_count, default=5, metavar="K", help="how many passages to show [5]"
    )
    search.epilog = SEARCH_EXAMPLES
    search.set_defaults(run=_search)

    listing = verbs.add_parser("list", help="show the indexes there are")
    listing.description = "Show the indexes there are."
    listing.epilog = LIST_EXAMPLES
    listing.set_defaults(run=_list)

    show = verbs.add_parser("show", help="show an index's documents, or one document's passages")
    show.description = "Show the documents of an index, or the passages or text of one of them."
    _add_place(show, "a document: its path, or the end of one")
    show.add_argument("--text", action="store_true", help="the text that offsets count in")
    show.epilog = SHOW_EXAMPLES
    show.set_defaults(run=_show)

    remove = verbs.add_parser("remove", help="delete an index, or forget documents")
    remove.description = "Delete an index, or forget one document or a folder's; files stay."
    _add_place(remove, "a document or a folder; left out, the whole index is deleted")
    remove.epilog = REMOVE_EXAMPLES
    remove.set_defaults(run=_remove)


def _add_name(parser: argparse.ArgumentParser) -> None:
    text = f"which index [{DEFAULT_INDEX}]"
    parser.add_argument("--name", default=DEFAULT_INDEX, metavar="NAME", help=text)


def _add_place(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("name", metavar="NAME", help="which index")
    parser.add_argument("file", nargs="?", metavar="FILE", help=text)


def _path(args: argparse.Namespace) -> Path:
    with as_usage():
        return named(args.name)


def _count(text: str) -> int:
    if (count := whole_number(text)) < 1:
        raise ArgumentTypeError(f"{text} is not a number of passages; give 1 or more")
    return count


# --- add --------------------------------------------------------------------------------------


def _add(args: argparse.Namespace, console: Console) -> int:
    path = _path(args)
    is_new = not path.exists()
    try:
        with Index.open(path, create=True, rebuild=args.rebuild) as index:
            _follow(index, args, console)
    finally:
        if is_new:
            _remove_if_empty(path)
    return 0


def _follow(index: Index, args: argparse.Namespace, console: Console) -> None:
    tally: Counter[str] = Counter()
    is_done = False
    try:
        for event in index.add(args.paths):
            tally[_kind(event)] += 1
            _show_event(event, tally, console)
        is_done = True
    finally:
        # A rebuild that ends early has changed nothing.
        if tally and (is_done or not args.rebuild):
            _show_tally(args.name, index, tally, console)


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
    console.progress(f"{tally.total()} files: {path_text(source)}")
    if console.as_json:
        console.json(_event_json(event, source))
    elif isinstance(event, Skipped) and (tally["skipped"] <= MAX_NAMED or console.verbose):
        console.note(("skipped ", "yellow"), f"{path_text(source)}: {event.reason}")
    elif isinstance(event, Dropped):
        console.note(("dropped ", "yellow"), path_text(source))
    elif console.verbose:
        console.note((f"{_kind(event)} ", "dim"), path_text(source))


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
        kinds = ("added", "replaced", "unchanged", "dropped", "skipped")
        counts = {kind: tally[kind] for kind in kinds}
        summary = {"event": "summary", "index": name, "documents": len(documents)}
        console.json(summary | {"passages": num_passages} | counts)
        return
    if not console.verbose and (unnamed := tally["skipped"] - MAX_NAMED) > 0:
        console.note(f"… and {unnamed} more skipped; --verbose names them all")
    done = ", ".join(f"{count} {kind}" for kind, count in tally.items())
    console.print(
        f"{done}; the index {name!r} has {_plural(len(documents), 'document')} "
        f"and {_plural(num_passages, 'passage')}."
    )


# --- search, list -----------------------------------------------------------------------------


def _search(args: argparse.Namespace, console: Console) -> int:
    if not args.query.strip():
        raise UsageError('The query is empty; write words or a question: avalan index search "…"')
    with Index.open(_path(args)) as index:
        passages = index.search(args.query, args.top_k)
    if console.as_json:
        console.json([_passage_json(passage) | {"score": passage.score} for passage in passages])
    elif not passages:
        console.note(f"No passage in the index {args.name!r} shares a word with the query.")
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


def _list(args: argparse.Namespace, console: Console) -> int:
    found = [_overview(name) for name in names()]
    if console.as_json:
        console.json(found)
    elif not found:
        console.note("There is no index yet; make one with: avalan index add PATH")
    else:
        console.table(["index", "documents", "passages", "size"], [_line(row) for row in found])
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


def _show(args: argparse.Namespace, console: Console) -> int:
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
    console.table(["document", "passages", "size"], lines)


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
    console.table(["start", "end", "heading", "text"], lines)


def _beginning(text: str) -> str:
    return textwrap.shorten(text, 40, placeholder=" …")


def _remove(args: argparse.Namespace, console: Console) -> int:
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
        console.print(f"Forgot {_plural(len(removed), 'document')} of the index {args.name!r}.")
    else:
        console.print(f"Deleted the index {args.name!r}; the documents themselves are untouched.")
    return 0


# --- words for people ---------------------------------------------------------------------------


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"
