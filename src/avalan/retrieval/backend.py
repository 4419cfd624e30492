"""What an index needs of the database that holds it: rows in, rows out, two ways to search.

`sqlite` keeps one file on this machine, `postgres` a database for many; the index above them is the
same. Adding one is a file with these methods and a row in `place.open_backend`.
"""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from avalan.retrieval.entities import DocumentInfo, OffsetsIn, Passage

if TYPE_CHECKING:  # Whoever searches need not wait for what reads documents, or for numpy.
    from avalan.retrieval.documents import Document
    from avalan.retrieval.vectors import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Which model the vectors of an index come from."""

    name: str
    """As it was asked for."""
    fingerprint: str
    """Of its files; a model of the same name with another one gives other vectors."""
    dimension: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexical:
    """What a search by words found."""

    scores: Mapping[int, float]
    """BM25 of each passage that shares a word with the question, best first."""
    most: float
    """What a passage would score that has all of the question's words again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much an index holds."""

    num_documents: int
    num_passages: int
    num_embedded: int
    """Passages that have a vector."""
    size_bytes: int
    """On disk."""
    updated: float
    """When it was last written; seconds since 1970, 0 if that is not known."""


class Backend(Protocol):
    """One index's rows. Every method may raise RetrievalError and StateError."""

    @property
    def place(self) -> Path | str | None:
        """A file, an address without its password, or None for a temporary index."""

    def close(self) -> None:
        """Let go of the database; closing twice is harmless."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction, all or nothing; others read what was there before it."""

    def anew(self) -> AbstractContextManager[None]:
        """What is written inside takes the place of everything that was there, all or nothing."""

    # --- documents

    def documents(self) -> list[DocumentInfo]:
        """All of them, by source."""

    def totals(self) -> Totals:
        """How much there is."""

    def sources_below(self, prefix: str) -> list[tuple[str, str]]:
        """(source, root) of the documents whose source begins with `prefix`, by source."""

    def is_unchanged(self, document: "Document", root: str) -> bool:
        """Whether the document is there with this content; `root` is noted anew."""

    def insert(self, document: "Document", root: str) -> int:
        """Store a document, found through the folder `root`; how many passages it has."""

    def forget(self, source: str) -> bool:
        """Remove a document with all that belongs to it; whether there was one."""

    def content(self, source: str) -> tuple[OffsetsIn, bytes, str] | None:
        """What its offsets count, its digest, and its extracted text, "" where it has none."""

    # --- passages

    def passages(self, source: str, limit: int | None = None) -> list[Passage]:
        """A document's, in its order, the first `limit` or all; empty without such a document."""

    def numbered(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Passages by number; those that are gone are left out."""

    def lexical(self, question: str, limit: int) -> Lexical:
        """The passages that share words with the question, at most `limit` of them."""

    # --- vectors

    def embedding(self) -> Embedding | None:
        """Where the vectors come from; None if nobody has said yet."""

    def use(self, embedding: Embedding) -> None:
        """Take vectors of this model from now on; all that there are go."""

    def has_vectors(self) -> bool:
        """Whether any passage has one."""

    def pending(self, limit: int) -> list[tuple[int, str]]:
        """(number, text) of passages without a vector, each document's in its order."""

    def put_vectors(self, numbers: Sequence[int], vectors: "Vectors") -> None:
        """Store what `pending` asked for: vectors, (len(numbers), dimension), of unit length.

        What has gone meanwhile is left out.
        """

    def nearest(self, query: "Vectors", limit: int) -> dict[int, float]:
        """The passages most similar to a vector, (dimension,), with their cosines, best first."""

    def similarities(self, query: "Vectors", numbers: Sequence[int]) -> dict[int, float]:
        """The cosines of certain passages; those without a vector are left out."""


_SATURATION = 1.2
"""BM25's k1, as in SQLite."""
_LEAST_IDF = 1e-6
"""Of a word that is in more than half of the passages, as in SQLite."""


def most_bm25(counts: Sequence[int], num_passages: int) -> float:
    """What BM25 comes to at most, for words that stand in so many of `num_passages` passages.

    The sum of the words' idf * (k1 + 1), which is what their frequency saturates to. A word that
    is nowhere counts too: a passage cannot have it, so no passage comes near the most.
    """
    # The counts are read one after another, and another process may add passages meanwhile.
    num_passages = max(num_passages, *counts, 0)
    idfs = (math.log((num_passages - n + 0.5) / (n + 0.5)) for n in counts)
    return sum(max(idf, _LEAST_IDF) * (_SATURATION + 1) for idf in idfs)


def embedded_text(source: str, heading: str, text: str) -> str:
    """What an embedder reads of a passage: also the file's name and the headings above it."""
    title = f"{Path(source).stem}: {heading}" if heading else Path(source).stem
    return f"{title}\n{text}"


def prefix(folder: str) -> str:
    """What the path of everything in `folder` begins with."""
    return folder.rstrip(os.sep) + os.sep
