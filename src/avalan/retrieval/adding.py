"""Bring files and folders into an index, each in a transaction of its own, and vectors to them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from avalan.errors import RetrievalError
from avalan.locale import _
from avalan.retrieval import walk
from avalan.retrieval.backend import Backend, prefix
from avalan.retrieval.documents import Unreadable, survey
from avalan.retrieval.events import (
    Added,
    Dropped,
    Embedded,
    FileEvent,
    Replaced,
    Skipped,
    Unchanged,
)

if TYPE_CHECKING:
    from avalan.model.nlp.sentence import Embedder

_BATCH = 64
"""Passages that are embedded and stored at a time."""


def add(backend: Backend, places: Iterable[Path]) -> Iterator[FileEvent]:
    """Add each file, or all that a folder has and nothing that it no longer has.

    Raises:
        RetrievalError: a file named itself cannot be indexed, or a folder holds no text.
        StateError: the index cannot be written.
    """
    for place in places:
        if place.is_dir():
            yield from _add_folder(backend, place)
        else:
            yield _add_file(backend, place, root="")


def add_anew(backend: Backend, places: Iterable[Path]) -> Iterator[FileEvent]:
    """Put these in place of all that the index holds, at once or not at all; raises as `add`."""
    before = _sources(backend)
    with backend.anew():
        yield from add(backend, places)
        now = set(_sources(backend))
        yield from (Dropped(source=source) for source in before if source not in now)


def embed_pending(backend: Backend, embedder: "Embedder") -> Iterator[Embedded]:
    """Give a vector to every passage that has none, batch by batch."""
    totals = backend.totals()  # Counted once: what others add meanwhile is a guess.
    num_left = totals.num_passages - totals.num_embedded
    while pending := backend.pending(_BATCH):
        numbers = [number for number, _ in pending]
        vectors = embedder.embed([text for _, text in pending], kind="passage")
        backend.put_vectors(numbers, vectors)
        num_left = max(num_left - len(numbers), 0)
        yield Embedded(num_passages=len(numbers), num_left=num_left)


def _sources(backend: Backend) -> list[str]:
    return [info.source for info in backend.documents()]


def _add_folder(backend: Backend, folder: Path) -> Iterator[FileEvent]:
    seen: set[str] = set()
    unlisted: list[str] = []
    for found in walk.files(folder):
        if isinstance(found, Skipped):
            if found.path == str(folder):
                raise Unreadable(folder, found.reason)
            unlisted.append(prefix(found.path))
            yield found
            continue
        try:
            yield _add_file(backend, found, root=str(folder))
            seen.add(str(found))
        except Unreadable as error:
            yield Skipped(path=str(found), reason=error.reason)
    yield from _drop_vanished(backend, folder, seen, tuple(unlisted))
    if not seen and not backend.sources_below(prefix(str(folder))):
        raise RetrievalError(
            "The folder {folder} holds no text that can be indexed; hidden and ignored files "
            "are passed over, and so are types that 'avalan index add --help' does not name.",
            folder=folder,
        )


def _add_file(backend: Backend, path: Path, *, root: str) -> Added | Replaced | Unchanged:
    document = survey(path)
    if backend.is_unchanged(document, root):
        return Unchanged(source=document.source)
    with backend.writing():
        if backend.is_unchanged(document, root):  # Another writer was here meanwhile.
            return Unchanged(source=document.source)
        was_known = backend.forget(document.source)
        num_passages = backend.insert(document, root)
        if not num_passages:
            raise Unreadable(path, _("it holds no text"))
    kind = Replaced if was_known else Added
    return kind(source=document.source, num_passages=num_passages)


def _drop_vanished(
    backend: Backend, folder: Path, seen: set[str], unlisted: tuple[str, ...]
) -> Iterator[Dropped]:
    for source, root in backend.sources_below(prefix(str(folder))):
        if source in seen or source.startswith(unlisted):
            continue
        # A subfolder that was named itself may hold what this folder's ignore files hide.
        was_walked = root and (str(folder) + os.sep).startswith(prefix(root))
        if was_walked or not os.path.lexists(source):
            with backend.writing():
                backend.forget(source)
            yield Dropped(source=source)
