"""Documents that are given with a question: they are indexed for as long as it takes to answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from avalan.cli.commands.index_add import note_skipped, note_unnamed, show_reading
from avalan.cli.console import Console
from avalan.cli.display.layout import path_text
from avalan.locale import _, ngettext
from avalan.retrieval.events import Skipped
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex

MAX_NAMED = 5
"""How many skipped files are named before the rest are only counted."""
MOST_EMBEDDED = 1000
"""Passages of documents named with a question that are made searchable by meaning before it is
answered: a few seconds. A count, for with a time the answer would depend on the machine's load."""


@contextmanager
def temporary(paths: list[str], embedder: str | None, console: Console) -> Iterator[SyncIndex]:
    """An index of these files and folders, while a question is answered.

    Args:
        embedder: as in `SyncIndex.temporary`.
    """
    num_skipped = 0
    with SyncIndex.temporary(embedder=embedder) as index:
        show_reading(paths, console)
        for count, event in enumerate(index.add(paths), 1):
            if isinstance(event, Skipped):
                num_skipped += 1
                note_skipped(event, num_skipped, MAX_NAMED, console)
            else:
                path = path_text(event.source)
                console.progress(
                    ngettext("{n} file: {path}", "{n} files: {path}", count, path=path)
                )
        note_unnamed(num_skipped, MAX_NAMED, console)
        if embedder != NO_EMBEDDER:
            _embed_few(index, console)
        yield index


def _embed_few(index: SyncIndex, console: Console) -> None:
    """Few documents are searched by meaning too; with many, an answer is not kept waiting."""
    count = index.totals().num_passages
    if count > MOST_EMBEDDED:
        console.note(
            (_("note"), "yellow"),
            " ",
            ngettext(
                "{n:,} passage is searched by its words alone; to search by meaning too, index the "
                "documents once, with: avalan index add PATH",
                "{n:,} passages are searched by their words alone; to search by meaning too, index "
                "the documents once, with: avalan index add PATH",
                count,
            ),
        )
        return
    for event in index.embed():
        console.progress(ngettext("{n:,} passage left", "{n:,} passages left", event.num_left))
