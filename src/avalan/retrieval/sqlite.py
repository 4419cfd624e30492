"""An index in one SQLite file: FTS5 ranks by words, numpy by meaning.

Words are ranked by BM25 (Robertson and Zaragoza, 2009, doi:10.1561/1500000019) over their stems.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from avalan import extras
from avalan.retrieval import journal, query, store, tables
from avalan.retrieval.backend import Embedding, Lexical, Totals, embedded_text, most_bm25
from avalan.retrieval.entities import DocumentInfo, OffsetsIn, Passage
from avalan.retrieval.scripts import joined

if TYPE_CHECKING:
    from avalan.retrieval.documents import Document
    from avalan.retrieval.vectors import Matrix, Vectors

# What a word counts in the file's name, in the headings above a passage, and in the passage.
_WEIGHTS = "0.5, 0.5, 1.0"

_COLUMNS = (
    "SELECT p.rowid, d.source, p.start_byte, p.end_byte, p.text, p.heading, d.offsets_in, "
    "d.encoding, p.locator "
)


class SqliteBackend:
    """See `Backend`; it serves one thread at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        place: Path | None,
        *,
        replacement: Path | None = None,
    ) -> None:
        self.place = place
        self._connection = connection
        # The file that takes the index's place when it is filled; until then, what is open.
        self._replacement = replacement
        self._matrix: Matrix | None = None
        self._matrix_of: object = None

    @classmethod
    def open(cls, path: Path, *, create: bool = False, rebuild: bool = False) -> Self:
        """The index in the file at `path`; see `Index.open`."""
        if rebuild and store.needs_replacing(path):
            made = store.beside(path)
            store.discard(made)
            return cls(store.connect(made, create=True), path, replacement=made)
        return cls(store.connect(path, create=create), path)

    @classmethod
    def temporary(cls) -> Self:
        """An empty index that is gone when it is closed."""
        return cls(store.temporary(), None)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._matrix = None
        with store.speaking(self.place):
            journal.close(self._connection)
        if self._replacement:
            store.discard(self._replacement)

    def writing(self) -> AbstractContextManager[None]:
        """A transaction; failures become sentences."""
        return store.writing(self.place, self._connection)

    @contextmanager
    def anew(self) -> Iterator[None]:
        """See `Backend.anew`; a damaged file is replaced by another one."""
        if self._replacement is None or self.place is None:
            with self.writing():
                tables.drop(self._connection)
                tables.create(self._connection)
                yield
            return
        yield
        with store.speaking(self.place):
            journal.close(self._connection)
        store.replace(self.place, self._replacement)
        self._replacement = None
        self._connection = store.connect(self.place, create=False)

    # --- documents --------------------------------------------------------------------------

    def documents(self) -> list[DocumentInfo]:
        """All of them, by source."""
        sql = "SELECT source, num_passages, size_bytes, offsets_in FROM documents ORDER BY source"
        return [
            DocumentInfo(source=row[0], num_passages=row[1], size_bytes=row[2], offsets_in=row[3])
            for row in self._all(sql)
        ]

    def totals(self) -> Totals:
        """How much there is."""
        sql = (
            "SELECT count(*), coalesce(sum(num_passages), 0), coalesce(sum(num_embedded), 0) "
            "FROM documents"
        )
        status = self.place.stat() if isinstance(self.place, Path) else None
        ((num_documents, num_passages, num_embedded),) = self._all(sql)
        return Totals(
            num_documents=num_documents,
            num_passages=num_passages,
            num_embedded=num_embedded,
            size_bytes=status.st_size if status else 0,
            updated=status.st_mtime if status else 0.0,
        )

    def sources_below(self, prefix: str) -> list[tuple[str, str]]:
        """(source, root) of the documents whose source begins with `prefix`, by source."""
        sql = "SELECT source, root FROM documents WHERE substr(source, 1, ?) = ? ORDER BY source"
        return self._all(sql, (len(prefix), prefix))

    def is_unchanged(self, document: "Document", root: str) -> bool:
        """Whether the document is there with this content; `root` is noted anew."""
        with store.speaking(self.place):
            return tables.is_unchanged(self._connection, document, root)

    def insert(self, document: "Document", root: str) -> int:
        """Store a document, found through the folder `root`; how many passages it has."""
        with store.speaking(self.place):
            return tables.insert(self._connection, document, root)

    def forget(self, source: str) -> bool:
        """Remove a document with all that belongs to it; whether there was one."""
        with store.speaking(self.place):
            return tables.forget(self._connection, source)

    def content(self, source: str) -> tuple[OffsetsIn, bytes, str] | None:
        """What its offsets count, its digest, and its extracted text, "" where it has none."""
        sql = "SELECT id, offsets_in, digest FROM documents WHERE source = ?"
        rows = self._all(sql, (source,))
        if not rows:
            return None
        number, offsets_in, digest = rows[0]
        sql = "SELECT text FROM extracts WHERE document = ? ORDER BY position"
        return offsets_in, digest, "".join(text for (text,) in self._all(sql, (number,)))

    # --- passages ---------------------------------------------------------------------------

    def passages(self, source: str, limit: int | None = None) -> list[Passage]:
        """A document's, in its order, the first `limit` or all; empty without such a document."""
        # SQLite takes a cross join as it stands: the document first, then its numbers.
        sql = (
            f"{_COLUMNS} FROM documents AS d CROSS JOIN passages AS p WHERE d.source = ? "
            "AND p.rowid BETWEEN d.first_passage AND d.first_passage + d.num_passages - 1 "
            "ORDER BY p.rowid LIMIT ?"
        )
        most = -1 if limit is None else limit  # Which is how SQLite says all.
        return [_passage(row) for row in self._all(sql, (source, most))]

    def numbered(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Passages by number; those that are gone are left out."""
        marks = ", ".join("?" * len(numbers))
        sql = (
            f"{_COLUMNS} FROM passages AS p JOIN documents AS d ON d.id = p.document "
            f"WHERE p.rowid IN ({marks})"
        )
        rows = self._all(sql, tuple(numbers))
        return {row[0]: _passage(row) for row in rows}

    def lexical(self, question: str, limit: int) -> Lexical:
        """The passages that share words with the question, by BM25."""
        words = query.words(question)
        if not words:
            return Lexical(scores={}, most=0.0)
        sql = (
            f"SELECT rowid, -bm25(passages, {_WEIGHTS}) AS score FROM passages "
            "WHERE passages MATCH ? ORDER BY score DESC, rowid LIMIT ?"
        )
        scores = dict(self._all(sql, (query.any_of(words), limit)))
        ((num_passages,),) = self._all("SELECT coalesce(sum(num_passages), 0) FROM documents")
        counting = "SELECT count(*) FROM passages WHERE passages MATCH ?"
        counts = [self._all(counting, (query.any_of([word]),))[0][0] for word in words]
        return Lexical(scores=scores, most=most_bm25(counts, num_passages))

    # --- vectors ----------------------------------------------------------------------------

    def embedding(self) -> Embedding | None:
        """Where the vectors come from; None if nobody has said yet."""
        rows = self._all("SELECT name, fingerprint, dimension FROM embedding")
        for name, fingerprint, dimension in rows:
            return Embedding(name=name, fingerprint=fingerprint, dimension=dimension)
        return None

    def use(self, embedding: Embedding) -> None:
        """Take vectors of this model from now on; all that there are go."""
        with self.writing():
            self._connection.execute("DELETE FROM embedding")
            self._connection.execute("DELETE FROM vectors")
            self._connection.execute("UPDATE documents SET num_embedded = 0")
            values = (embedding.name, embedding.fingerprint, embedding.dimension)
            self._connection.execute("INSERT INTO embedding VALUES (?, ?, ?)", values)
        self._matrix = None

    def has_vectors(self) -> bool:
        """Whether any passage has one."""
        return bool(self._all("SELECT 1 FROM vectors LIMIT 1"))

    def pending(self, limit: int) -> list[tuple[int, str]]:
        """(number, text) of passages without a vector, each document's in its order."""
        sql = (
            "SELECT source, first_passage + num_embedded, num_passages - num_embedded "
            "FROM documents WHERE num_embedded < num_passages ORDER BY id LIMIT ?"
        )
        found: list[tuple[int, str]] = []
        for source, first, num_left in self._all(sql, (limit,)):
            num = min(num_left, limit - len(found))
            sql = "SELECT rowid, heading, text FROM passages WHERE rowid BETWEEN ? AND ?"
            found += [
                (number, embedded_text(source, joined(heading), joined(text)))
                for number, heading, text in self._all(sql, (first, first + num - 1))
            ]
            if len(found) >= limit:
                break
        return found

    def put_vectors(self, numbers: Sequence[int], vectors: "Vectors") -> None:
        """Store what `pending` asked for; what has gone meanwhile is left out."""
        sql = (
            "SELECT id, first_passage, num_passages, num_embedded FROM documents "
            "WHERE num_embedded < num_passages AND first_passage <= ? "
            "AND first_passage + num_passages > ?"
        )
        place = {number: row for row, number in enumerate(numbers)}
        with self.writing():
            span = (numbers[-1], numbers[0])
            for document, first, num_passages, num_embedded in self._all(sql, span):
                begin, row = first + num_embedded, place.get(first + num_embedded)
                if row is None:
                    continue
                end = row
                while end < len(numbers) and numbers[end] < first + num_passages:
                    end += 1
                data = extras.load("avalan.retrieval.vectors").packed(vectors[row:end])
                self._connection.execute("INSERT INTO vectors VALUES (?, ?)", (begin, data))
                sql_done = "UPDATE documents SET num_embedded = num_embedded + ? WHERE id = ?"
                self._connection.execute(sql_done, (end - row, document))

    def nearest(self, query: "Vectors", limit: int) -> dict[int, float]:
        """The passages most similar to a vector, (dimension,), with their cosines, best first."""
        return self._loaded().nearest(query, limit)

    def similarities(self, query: "Vectors", numbers: Sequence[int]) -> dict[int, float]:
        """The cosines of certain passages; those without a vector are left out."""
        return self._loaded().similarities(query, numbers)

    def _loaded(self) -> "Matrix":
        """The vectors as they are now; read again only where somebody has written."""
        with store.speaking(self.place):
            # The first counts what others have written, the second what this connection has.
            version = (*self._all("PRAGMA data_version"), self._connection.total_changes)
        if self._matrix is None or version != self._matrix_of:
            embedding = self.embedding()
            stored = self._all("SELECT first, data FROM vectors ORDER BY first")
            matrix: Matrix = extras.load("avalan.retrieval.vectors").Matrix.unpacked(
                stored, embedding.dimension if embedding else 1
            )
            self._matrix, self._matrix_of = matrix, version
        return self._matrix

    def _all(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        with store.speaking(self.place):
            return self._connection.execute(sql, values).fetchall()


def _passage(row: Any) -> Passage:
    return Passage(
        source=row[1],
        start=row[2],
        end=row[3],
        text=joined(row[4]),
        heading=joined(row[5]),
        offsets_in=row[6],
        encoding=row[7],
        locator=row[8],
    )
