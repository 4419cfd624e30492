"""`avalan index add`: make documents searchable, or bring an index up to date with them."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from avalan import extras
from avalan.cli.commands.index import add_name, place_of
from avalan.cli.console import Console
from avalan.cli.display.layout import path_text
from avalan.cli.display.units import seconds_text
from avalan.cli.parser import Parser
from avalan.errors import AvalanError, UsageError
from avalan.locale import _, _n, ngettext
from avalan.retrieval import store, walk
from avalan.retrieval.events import Dropped, FileEvent, Skipped, Unchanged
from avalan.retrieval.index import SyncIndex

NOTICED_S = 2.0
"""What takes longer is worth a remark."""

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


_NOTHING_ELSE = ("added", "replaced", "dropped")


def configure(parser: Parser) -> None:
    """Which paths, into which index."""
    parser.description = _("Add files and folders to an index, or bring it up to date with them.")
    text = _(
        "text, Markdown, reStructuredText, HTML, PDF, DOCX, EPUB, notebooks, code, tables (.csv, "
        ".jsonl), logs, manual pages; or folders"
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help=text)
    add_name(parser)
    text = _(
        "what makes vectors, so that meaning is searched too: none, bundled, a model [bundled]"
    )
    parser.add_argument("--embedder", metavar="MODEL", help=text)
    text = _("start the index anew from these paths")
    parser.add_argument("--rebuild", action="store_true", help=text)
    text = _("go on, and follow every change of the files, until Ctrl-C")
    parser.add_argument("--watch", action="store_true", help=text)
    parser.epilog = _("Adding again reads only what has changed since, and drops what is gone.")
    parser.examples = (
        "avalan index add notes/",
        "avalan index add handbook.md faq/ --name handbook",
        "avalan index add notes/ --watch",
    )
    parser.set_defaults(run=run)


def run(args: Namespace, console: Console) -> int:
    """Add, embed, and watch if that is asked for."""
    if args.embedder is not None and not args.embedder.strip():
        raise UsageError("The embedder is empty; give none, bundled, or a model's name or path.")
    watching = extras.load("watchfiles", extra="documents").watch if args.watch else None
    place = place_of(args)
    is_new = isinstance(place, Path) and not place.exists()
    options: dict[str, Any] = {"create": True, "rebuild": args.rebuild, "embedder": args.embedder}
    try:
        with SyncIndex.open(place, **options) as index:
            _bring_up_to_date(index, args.paths, args.rebuild, console)
            if watching:
                try:
                    _watch(index, args.paths, watching, console)
                except KeyboardInterrupt:
                    console.progress("")  # What the terminal shows for the key goes with it.
                    raise
    finally:
        if is_new and isinstance(place, Path):
            _remove_if_empty(place)
    return 0


def _bring_up_to_date(index: SyncIndex, paths: list[str], rebuild: bool, console: Console) -> None:
    tally: Counter[str] = Counter()
    is_done = False
    show_reading(paths, console)
    pace = Pace(_num_files(paths) if console.shows_progress else 0)
    try:
        for event in index.add(paths):
            tally[_kind(event)] += 1
            pace.take(event)
            _show_event(event, tally, pace, console)
        is_done = True
    finally:
        # A rebuild that ends early has changed nothing.
        if tally and (is_done or not rebuild):
            _show_tally(index, tally, console)
    _embed(index, console)


def _embed(index: SyncIndex, console: Console) -> None:
    """Make the vectors, after the words: those can be searched already."""
    pace = Pace(0)
    try:
        for event in index.embed():
            pace.num_passages += event.num_passages
            pace.total = pace.num_passages + event.num_left
            console.progress(f"{_vectors(pace)} · {pace.text(pace.num_passages)}")
    except KeyboardInterrupt:
        if pace.total:
            text = _(
                "Ended with {vectors}; the same command makes the rest.", vectors=_vectors(pace)
            )
            console.note(text)
        raise
    if not pace.num_passages:
        return
    if console.as_json:
        console.json({"event": "embedded", "passages": pace.num_passages})
    seconds = monotonic() - pace.started
    if seconds < NOTICED_S and not console.verbose:
        return
    text = ngettext(
        "{n:,} passage can now be found by its meaning, after {seconds}.",
        "{n:,} passages can now be found by their meaning, after {seconds}.",
        pace.num_passages,
        seconds=seconds_text(seconds),
    )
    console.note(text)


def _vectors(pace: "Pace") -> str:
    return _("vectors for {n:,} of {total:,} passages", n=pace.num_passages, total=pace.total)


class Pace:
    """How fast files are read, and how long it will take."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started = monotonic()
        self.num_files = 0
        self.num_passages = 0

    def take(self, event: FileEvent) -> None:
        """Count what was done."""
        self.num_files += not isinstance(event, Dropped)
        self.num_passages += getattr(event, "num_passages", 0)

    def text(self, done: int) -> str:
        """The speeds, and the time left after `done` of the total."""
        elapsed = max(monotonic() - self.started, 1e-3)
        speed = _("{n:,.0f} passages/s", n=self.num_passages / elapsed)
        left = elapsed / done * (self.total - done) if done else 0.0
        if left < 1:
            return speed
        return f"{speed} · " + _("{time} left", time=seconds_text(left))


def _num_files(paths: list[str]) -> int:
    """How many files there are below `paths`, as far as can be seen."""
    folders = [Path(path).absolute() for path in paths if Path(path).is_dir()]
    found: Iterable[object] = (each for folder in folders for each in walk.files(folder))
    return len(paths) - len(folders) + sum(isinstance(each, Path) for each in found)


def show_reading(paths: list[str], console: Console) -> None:
    """Say at once what is read: the first event comes with the end of the first file."""
    console.progress(_("reading {path}", path=path_text(paths[0])) + " …")


def _remove_if_empty(path: Path) -> None:
    """An index of nothing would only be in the way of "there is none"."""
    with suppress(AvalanError):
        with SyncIndex.open(path) as index:
            is_empty = not index.documents()
        if is_empty:
            store.remove(path)


def _kind(event: FileEvent) -> str:
    return type(event).__name__.lower()


def _show_event(event: FileEvent, tally: Counter[str], pace: Pace, console: Console) -> None:
    source = event.path if isinstance(event, Skipped) else event.source
    kind, path = _kind(event), path_text(source)
    count = ngettext(
        "{n:,} of {total:,} file", "{n:,} of {total:,} files", pace.num_files, total=pace.total
    )
    console.progress(f"{count} · {pace.text(pace.num_files)} · {path}")
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


def _event_json(event: FileEvent, source: str) -> dict[str, Any]:
    found: dict[str, Any] = {"event": _kind(event), "source": source}
    match event:
        case Skipped():
            found["reason"] = event.reason
        case Dropped() | Unchanged():
            pass
        case _:
            found["passages"] = event.num_passages
    return found


def _show_tally(index: SyncIndex, tally: Counter[str], console: Console) -> None:
    totals = index.totals()
    if console.as_json:
        counts = {kind: tally[kind] for kind in KINDS}
        summary = {"event": "summary", "index": index.name, "documents": totals.num_documents}
        console.json(summary | {"passages": totals.num_passages} | counts)
        return
    note_unnamed(tally["skipped"], MAX_NAMED, console)
    console.print(
        _(
            "{done}; the index {name!r} has {documents} and {passages}.",
            done=", ".join(_counted(kind, count) for kind, count in tally.items()),
            name=index.name,
            documents=ngettext("{n:,} document", "{n:,} documents", totals.num_documents),
            passages=ngettext("{n:,} passage", "{n:,} passages", totals.num_passages),
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


# --- watch --------------------------------------------------------------------------------------


def _watch(index: SyncIndex, paths: list[str], watching: Any, console: Console) -> None:
    """Add what changes, as it changes; Ctrl-C ends it."""
    console.note(_("Watching for changes; Ctrl-C ends this."))
    is_current = False
    # Its first pause says that it stands: what changed before that is caught up with then.
    for changes in watching(*paths, raise_interrupt=True, yield_on_timeout=True):
        if is_current and not changes:
            continue
        is_current = True
        tally: Counter[str] = Counter()
        pace = Pace(_num_files(paths) if console.shows_progress else 0)
        try:
            for event in index.add(paths):
                tally[_kind(event)] += 1
                pace.take(event)
                if not isinstance(event, Skipped | Unchanged):
                    _show_event(event, tally, pace, console)
            if any(tally[kind] for kind in _NOTHING_ELSE):
                _show_tally(index, tally, console)
            _embed(index, console)
        except AvalanError as error:  # A file may be half written; it will change again.
            console.note((_("skipped"), "yellow"), f" {error}")
