"""An index of documents: add files and folders, and get the passages that a question is about.

Passages are ranked by BM25 (Robertson and Zaragoza, 2009, doi:10.1561/1500000019) over the words'
stems, as SQLite's FTS5 computes it. Each file is added, replaced or dropped in a transaction of
its own, so that a kill at any point leaves an index that can be searched and added to.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from avalan.errors import ConfigurationError, RetrievalError
from avalan.locale import _, _n
from avalan.retrieval import journal, query, store, tables, walk
from avalan.retrieval.documents import LAYOUTS, Skipped, Unreadable, survey
from avalan.retrieval.entities import (
    Added,
    DocumentInfo,
    Dropped,
    Event,
    Passage,
    Replaced,
    Unchanged,
)
from avalan.retrieval.scripts import joined

__all__ = [
    "DEFAULT_INDEX",
    "Added",
    "DocumentInfo",
    "Dropped",
    "Event",
    "Index",
    "Passage",
    "Replaced",
    "Skipped",
    "Unchanged",
    "named",
    "names",
]

_MOST_PASSAGES = 1_000_000  # SQLite counts in 64 bits; nobody reads more.
DEFAULT_INDEX = "default"

# What a word counts in the file's name, in the headings above a passage, and in the passage.
_NAME_WEIGHT, _HEADING_WEIGHT, _TEXT_WEIGHT = 0.5, 0.5, 1.0

_INDEX_NAME = re.compile(r"\w[\w.-]{0,99}")


def named(name: str = DEFAULT_INDEX) -> Path:
    """Where the index called `name` lies, whether there is one or not.

    Raises:
        ConfigurationError: the name cannot be a file's.
    """
    if not _INDEX_NAME.fullmatch(name):
        raise ConfigurationError(
            "An index cannot be called {name!r}; use letters, digits, '_', '-' and '.'.", name=name
        )
    return store.folder() / f"{name}.sqlite"


def names() -> list[str]:
    """The names of the indexes there are."""
    return sorted(path.stem for path in store.folder().glob("*.sqlite"))


class Index:
    """Documents, cut into passages that can be searched. Close it, or use it in a `with`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        *,
        rebuild: bool = False,
        replacement: Path | None = None,
    ) -> None:
        self.path = path
        self._connection = connection
        self._rebuild = rebuild
        # The file that takes the index's place when it is filled; until then, what is open.
        self._replacement = replacement

    @classmethod
    def open(cls, path: Path, *, create: bool = False, rebuild: bool = False) -> Self:
        """The index in the file at `path`.

        Args:
            create: make it if there is none.
            rebuild: the next `add` replaces all it holds, at once or not at all; who reads it
                meanwhile reads on. An index that is damaged or of another version is accepted:
                a new file is filled, and then takes its place.

        Raises:
            RetrievalError: there is none, it is no index, it is damaged or of another version.
            StateError: it cannot be read or written.
        """
        if rebuild and store.needs_replacing(path):
            made = store.beside(path)
            store.discard(made)
            return cls(store.connect(made, create=True), path, replacement=made)
        return cls(store.connect(path, create=create), path, rebuild=rebuild)

    @classmethod
    def temporary(cls) -> Self:
        """An empty index that is gone when it is closed."""
        return cls(store.temporary(), None)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with store.speaking(self.path):
            journal.close(self._connection)
        if self._replacement:
            store.discard(self._replacement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    # --- writing ----------------------------------------------------------------------------

    def add(self, paths: Iterable[Path | str]) -> Iterator[Event]:
        """Bring files and folders into the index, or up to date in it.

        Each file is done when its event is read; events that are not read do not happen.

        Raises:
            RetrievalError: a path does not exist, a file named itself cannot be indexed, or a
                folder holds no text. What was added before it stays.
            StateError: the index cannot be written.
        """
        places = [_place(path) for path in paths]
        for place in places:
            self._require(place)
        if self._rebuild:
            yield from self._add_anew(places)
        else:
            for place in places:
                yield from self._add_place(place)
            self._take_its_place()

    def remove(self, name: str) -> list[str]:
        """Forget the document called `name`, as in `find`, or all below that folder; their sources.

        Raises:
            RetrievalError: there is none.
        """
        with store.writing(self.path, self._connection):
            below = [source for source, _ in self._sources_below(_place(name))]
            sources = below or [self.find(name)]
            for source in sources:
                tables.forget(self._connection, source)
        return sources

    def _require(self, place: Path) -> None:
        if os.path.lexists(place):
            return
        sentence = _n("There is no file or folder at {path}; check the path.")
        if self.path and self._sources_below(place):
            sentence = _n(
                "There is no file or folder at {path}; to forget its documents: "
                "avalan index remove {index} '{path}'."
            )
        raise RetrievalError(sentence, path=place, index=self.path and self.path.stem)

    def _add_anew(self, places: list[Path]) -> Iterator[Event]:
        with store.writing(self.path, self._connection):
            before = [info.source for info in self.documents()]
            tables.drop(self._connection)
            tables.create(self._connection)
            for place in places:
                yield from self._add_place(place)
            now = {info.source for info in self.documents()}
            yield from (Dropped(source=source) for source in before if source not in now)
        self._rebuild = False

    def _take_its_place(self) -> None:
        if self.path is None or self._replacement is None:
            return
        with store.speaking(self.path):
            journal.close(self._connection)
        store.replace(self.path, self._replacement)
        self._replacement = None
        self._connection = store.connect(self.path, create=False)

    def _add_place(self, place: Path) -> Iterator[Event]:
        if place.is_dir():
            yield from self._add_folder(place)
        else:
            yield self._add_file(place, root="")

    def _add_folder(self, folder: Path) -> Iterator[Event]:
        seen: set[str] = set()
        unlisted: list[str] = []
        for found in walk.files(folder):
            if isinstance(found, Skipped):
                if found.path == str(folder):
                    raise Unreadable(folder, found.reason)
                unlisted.append(_prefix(found.path))
                yield found
                continue
            try:
                yield self._add_file(found, root=str(folder))
                seen.add(str(found))
            except Unreadable as error:
                yield Skipped(path=str(found), reason=error.reason)
        yield from self._drop_vanished(folder, seen, tuple(unlisted))
        if not seen and not self._sources_below(folder):
            raise RetrievalError(
                "The folder {folder} holds no text that can be indexed; documents are {types} "
                "files that are neither hidden nor ignored.",
                folder=folder,
                types=" ".join(LAYOUTS),
            )

    def _add_file(self, path: Path, *, root: str) -> Added | Replaced | Unchanged:
        document = survey(path)
        with store.speaking(self.path):
            if tables.is_unchanged(self._connection, document, root):
                return Unchanged(source=document.source)
            with store.writing(self.path, self._connection):
                was_known = tables.forget(self._connection, document.source)
                num_passages = tables.insert(self._connection, document, root)
                if not num_passages:
                    raise Unreadable(path, _("it holds no text"))
        kind = Replaced if was_known else Added
        return kind(source=document.source, num_passages=num_passages)

    def _drop_vanished(
        self, folder: Path, seen: set[str], unlisted: tuple[str, ...]
    ) -> Iterator[Dropped]:
        for source, root in self._sources_below(folder):
            if source in seen or source.startswith(unlisted):
                continue
            # A subfolder that was named itself may hold what this folder's ignore files hide.
            was_walked = root and (str(folder) + os.sep).startswith(_prefix(root))
            if was_walked or not os.path.lexists(source):
                with store.writing(self.path, self._connection):
                    tables.forget(self._connection, source)
                yield Dropped(source=source)

    # --- reading ----------------------------------------------------------------------------

    def search(self, question: str, top_k: int = 10) -> list[Passage]:
        """The passages that share words with the question, best first, at most `top_k`."""
        expression = query.expression(question)
        if not expression or top_k < 1:
            return []
        top_k = min(top_k, _MOST_PASSAGES)
        weights = f"{_NAME_WEIGHT}, {_HEADING_WEIGHT}, {_TEXT_WEIGHT}"
        # Ranked first and read afterwards, so that only the best are read.
        ranking = (
            f"SELECT rowid AS number, bm25(passages, {weights}) AS cost FROM passages "
            "WHERE passages MATCH ? ORDER BY cost, rowid LIMIT ?"
        )
        return self._passages(
            f"(SELECT * FROM ({ranking})) JOIN passages AS p ON p.rowid = number",
            "ORDER BY cost, number",
            (expression, top_k),
            score="-cost",
        )

    def passages(self, source: str) -> list[Passage]:
        """All passages of the document at `source`, in its order.

        Raises:
            RetrievalError: there is no such document.
        """
        sql = "SELECT first_passage, num_passages FROM documents WHERE source = ?"
        first, num_passages = self._one(sql, source)
        where = "WHERE p.rowid BETWEEN ? AND ? ORDER BY p.rowid"
        return self._passages("passages AS p", where, (first, first + num_passages - 1), score="0")

    def documents(self) -> list[DocumentInfo]:
        """The documents, by path."""
        sql = "SELECT source, num_passages, size_bytes, offsets_in FROM documents ORDER BY source"
        return [
            DocumentInfo(source=row[0], num_passages=row[1], size_bytes=row[2], offsets_in=row[3])
            for row in self._all(sql)
        ]

    def text(self, source: str) -> str:
        """The text that the offsets of a document's passages count in, without byte order mark.

        Raises:
            RetrievalError: there is no such document, or its file has changed since it was added.
        """
        number, offsets_in, digest = self._one(
            "SELECT id, offsets_in, digest FROM documents WHERE source = ?", source
        )
        if offsets_in == "extracted":
            sql = "SELECT text FROM extracts WHERE document = ? ORDER BY position"
            return "".join(text for (text,) in self._all(sql, (number,)))
        document = survey(Path(source))
        if document.digest != digest:
            raise RetrievalError(
                "{path} has changed since it was indexed; run: avalan index add '{path}'",
                path=source,
            )
        return "".join(block.text for block in document.blocks())

    def find(self, name: str) -> str:
        """The source that a person means by `name`: a path, or the end of one.

        Raises:
            RetrievalError: no document is meant, or more than one.
        """
        path = os.path.abspath(name)
        sources = [info.source for info in self.documents()]
        if path in sources:
            return path
        meant = [source for source in sources if source.endswith(os.sep + name)]
        if not meant:
            raise self._unknown(name)
        if len(meant) > 1:
            raise RetrievalError(
                "{name!r} could be {count} documents; name one of: {names}",
                name=name,
                count=len(meant),
                names=", ".join(meant[:5]),
            )
        return meant[0]

    def _unknown(self, name: str) -> RetrievalError:
        if self.path is None:
            return RetrievalError("The temporary index has no document {name!r}.", name=name)
        return RetrievalError(
            "The index has no document {name!r}; see those it has: avalan index show {index}",
            name=name,
            index=self.path.stem,
        )

    def _sources_below(self, folder: Path) -> list[tuple[str, str]]:
        prefix = _prefix(str(folder))
        sql = "SELECT source, root FROM documents WHERE substr(source, 1, ?) = ? ORDER BY source"
        return self._all(sql, (len(prefix), prefix))

    def _passages(
        self, table: str, order: str, values: tuple[object, ...], *, score: str
    ) -> list[Passage]:
        sql = (
            "SELECT d.source, p.start_byte, p.end_byte, p.text, p.heading, "
            f"{score}, d.offsets_in, d.encoding "
            f"FROM {table} JOIN documents AS d ON d.id = p.document {order}"
        )
        return [
            Passage(
                source=row[0],
                start=row[1],
                end=row[2],
                text=joined(row[3]),
                heading=joined(row[4]),
                score=float(row[5]),
                offsets_in=row[6],
                encoding=row[7],
            )
            for row in self._all(sql, values)
        ]

    def _one(self, sql: str, source: str) -> Any:
        if not (rows := self._all(sql, (source,))):
            raise self._unknown(source)
        return rows[0]

    def _all(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        with store.speaking(self.path):
            return self._connection.execute(sql, values).fetchall()


def _place(path: Path | str) -> Path:
    if not os.fspath(path).strip():
        raise RetrievalError("A path is empty; name a file or a folder.")
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        name = os.fsencode(path).decode("utf-8", "replace")
        raise RetrievalError(
            "The name {name!r} is not valid Unicode; rename the file or folder.", name=name
        ) from None
    return Path(os.path.abspath(path))


def _prefix(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep
