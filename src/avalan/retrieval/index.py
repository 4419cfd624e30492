"""An index of documents: add files and folders, and get the passages that a question is about.

Each file is added, replaced or dropped in a transaction of its own, so that a kill at any point
leaves an index that can be searched and added to. It can be searched by words at once, and by
meaning as the vectors arrive.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from avalan import extras
from avalan.errors import ConfigurationError, RetrievalError
from avalan.locale import _n
from avalan.retrieval import ranking, store
from avalan.retrieval.backend import Backend, Embedding, Lexical, Totals, prefix
from avalan.retrieval.entities import DocumentInfo, Passage
from avalan.retrieval.place import open_backend
from avalan.retrieval.sqlite import SqliteBackend

if TYPE_CHECKING:  # Whoever searches waits for nothing that adds, and by words for nothing else.
    from avalan.model.nlp.sentence import Embedder
    from avalan.retrieval.events import Embedded, FileEvent
    from avalan.retrieval.vectors import Vectors

Mode = Literal["hybrid", "lexical", "dense"]
MODES: tuple[Mode, ...] = ("hybrid", "lexical", "dense")

NO_EMBEDDER = "none"
"""The name of an embedder that makes no vectors."""
_DEFAULT_EMBEDDER = "bundled"

_MOST_PASSAGES = 1_000_000  # SQLite counts in 64 bits; nobody reads more.
_NUM_LEXICAL, _NUM_DENSE = 300, 200
"""How many passages of each search are fused; whatever is asked for, at least this many."""
_READ_AT_ONCE = (20, 1000)
"""How many passages are read at a time, at least and at most: twice as many as are asked for, since
some say the same."""


class SyncIndex:
    """Documents, cut into passages that can be searched. Close it, or use it in a `with`.

    For one thread at a time; `avalan.retrieval.Index` is for many, and for event loops.
    """

    def __init__(
        self, backend: Backend, *, rebuild: bool = False, embedder: str | None = None
    ) -> None:
        self.place = backend.place
        self._backend = backend
        self._rebuild = rebuild
        self._asked = embedder
        self._embedder: Embedder | None = None

    @classmethod
    def open(
        cls,
        place: Path | str,
        *,
        create: bool = False,
        rebuild: bool = False,
        embedder: str | None = None,
    ) -> Self:
        """The index in the file at `place`, or in the database of that address.

        Args:
            create: make it if there is none.
            rebuild: the next `add` replaces all it holds, at once or not at all; who reads it
                meanwhile reads on. An index that is damaged or of another version is accepted:
                a new file is filled, and then takes its place.
            embedder: which model makes vectors, as in `open_embedder`, or "none"; left open, the
                index's own, and the one in the box for a new one.

        Raises:
            RetrievalError: there is none, it is no index, it is damaged or of another version.
            StateError: it cannot be read or written.
        """
        backend = open_backend(place, create=create, rebuild=rebuild)
        return cls(backend, rebuild=rebuild, embedder=embedder)

    @classmethod
    def temporary(cls, *, embedder: str | None = None) -> Self:
        """An empty index that is gone when it is closed."""
        return cls(SqliteBackend.temporary(), embedder=embedder)

    def close(self) -> None:
        """Let go of the database and the embedder; closing twice is harmless."""
        self._backend.close()
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.place.stem if isinstance(self.place, Path) else self.place or ""

    # --- writing ----------------------------------------------------------------------------

    def add(self, paths: Iterable[Path | str]) -> "Iterator[FileEvent]":
        """Bring files and folders into the index, or up to date in it.

        Each file is done when its event is read; events that are not read do not happen. Passages
        are found by their words from then on, and by their meaning after `embed`.

        Raises:
            RetrievalError: a path does not exist, a file named itself cannot be indexed, or a
                folder holds no text. What was added before it stays.
            StateError: the index cannot be written.
        """
        adding = extras.load("avalan.retrieval.adding")
        places = [_place(path) for path in paths]
        for place in places:
            self._require(place)
        if not self._rebuild:
            yield from adding.add(self._backend, places)
            return
        yield from adding.add_anew(self._backend, places)
        self._rebuild = False

    def embed(self) -> "Iterator[Embedded]":
        """Give a vector to every passage that has none; each event is a batch that is stored.

        Raises:
            ConfigurationError: the index has vectors of another embedder than the one asked for.
            ModelError: the embedder cannot be loaded or asked.
            StateError: the index cannot be written.
        """
        embedding = self._backend.embedding()
        name = self._asked or (embedding.name if embedding else _DEFAULT_EMBEDDER)
        if name == NO_EMBEDDER:
            if embedding is None:
                none = Embedding(name=NO_EMBEDDER, fingerprint="", dimension=0)
                self._backend.use(none)
            elif embedding.name != NO_EMBEDDER:
                raise self._of_another(embedding, name, 0)
            return
        if embedding and embedding.name == name and not self._backend.pending(1):
            return
        embedder = self._open_embedder(name)
        found = Embedding(name=name, fingerprint=embedder.fingerprint, dimension=embedder.dimension)
        if embedding is None or (embedding.name == name and embedding != found):
            self._backend.use(found)
        elif embedding != found:
            raise self._of_another(embedding, name, embedder.dimension)
        yield from extras.load("avalan.retrieval.adding").embed_pending(self._backend, embedder)

    def remove(self, name: str) -> list[str]:
        """Forget the document called `name`, as in `find`, or all below that folder; their sources.

        Raises:
            RetrievalError: there is none.
        """
        with self._backend.writing():
            below = [source for source, _ in self._sources_below(_place(name))]
            sources = below or [self.find(name)]
            for source in sources:
                self._backend.forget(source)
        return sources

    def _require(self, place: Path) -> None:
        if os.path.lexists(place):
            return
        sentence = _n("There is no file or folder at {path}; check the path.")
        if self.place and self._sources_below(place):
            sentence = _n(
                "There is no file or folder at {path}; to forget its documents: "
                "avalan index remove {index} '{path}'."
            )
        raise RetrievalError(sentence, path=place, index=self.name)

    # --- reading ----------------------------------------------------------------------------

    def search(
        self,
        question: str,
        top_k: int = 10,
        *,
        mode: Mode = "hybrid",
    ) -> list[Passage]:
        """The passages that a question is about, best first, at most `top_k` different texts.

        Args:
            mode: by words and meaning together, by words alone, or by meaning alone. While there
                are no vectors, hybrid goes by words.

        Raises:
            RetrievalError: the mode needs vectors, and the index has none, or of a model that is
                no longer the same.
            ModelError: the embedder cannot be loaded or asked.
        """
        if not question.strip() or top_k < 1:
            return []
        top_k = min(top_k, _MOST_PASSAGES)
        lexical = Lexical(scores={}, most=0.0)
        if mode != "dense":
            lexical = self._backend.lexical(question, max(_NUM_LEXICAL, 2 * top_k))
        dense = self._similar(question, mode, lexical, max(_NUM_DENSE, 2 * top_k))
        scores = ranking.fuse(lexical.scores, dense, most_lexical=lexical.most)
        numbers = ranking.ranked(scores)
        size = min(max(2 * top_k, _READ_AT_ONCE[0]), _READ_AT_ONCE[1])
        batches = (numbers[start : start + size] for start in range(0, len(numbers), size))
        return ranking.fold((self._scored(each, scores, lexical, dense) for each in batches), top_k)

    def _similar(self, question: str, mode: Mode, lexical: Lexical, limit: int) -> dict[int, float]:
        """Cosines of the passages nearest to a question, and of those that share words with it."""
        query = self._query(question, mode)
        if query is None:
            return {}
        found = self._backend.nearest(query, limit)
        others = [number for number in lexical.scores if number not in found]
        return self._backend.similarities(query, others[:_NUM_LEXICAL]) | found

    def _query(self, question: str, mode: Mode) -> "Vectors | None":
        """The question's vector; None where the search goes by words alone."""
        if mode == "lexical":
            return None
        embedding = self._backend.embedding()
        if embedding is None or not self._backend.has_vectors():
            if mode == "dense":
                raise RetrievalError(
                    "The index {name!r} has no vectors, so it cannot be searched by meaning; make "
                    "them with: {command}, or search with --mode lexical.",
                    name=self.name,
                    command=self._add_command(),
                )
            return None
        embedder = self._open_embedder(embedding.name)
        if embedder.fingerprint != embedding.fingerprint:
            raise RetrievalError(
                "The vectors of the index {name!r} come from another version of the embedder "
                "{embedder!r}; make them again with: {command}, or search with --mode lexical.",
                name=self.name,
                embedder=embedding.name,
                command=self._add_command(),
            )
        vector: Vectors = embedder.embed([question], kind="query")[0]
        return vector

    def _scored(
        self,
        numbers: list[int],
        scores: dict[int, float],
        lexical: Lexical,
        dense: dict[int, float],
    ) -> list[Passage]:
        passages = self._backend.numbered(numbers)
        return [
            replace(
                passages[number],
                score=scores[number],
                lexical=lexical.scores.get(number, 0.0),
                dense=dense.get(number),
            )
            for number in numbers
            if number in passages
        ]

    def passages(self, source: str, limit: int | None = None) -> list[Passage]:
        """The passages of the document at `source`, in its order: the first `limit`, or all.

        Raises:
            RetrievalError: there is no such document.
        """
        if found := self._backend.passages(source, limit):
            return found
        raise self._unknown(source)

    def documents(self) -> list[DocumentInfo]:
        """The documents, by path."""
        return self._backend.documents()

    def totals(self) -> Totals:
        """How much there is."""
        return self._backend.totals()

    def embedding(self) -> Embedding | None:
        """Which model its vectors come from; None if nobody has said yet."""
        return self._backend.embedding()

    def text(self, source: str) -> str:
        """The text that the offsets of a document's passages count in, without byte order mark.

        Raises:
            RetrievalError: there is no such document, or its file has changed since it was added.
        """
        content = self._backend.content(source)
        if content is None:
            raise self._unknown(source)
        offsets_in, digest, extracted = content
        if offsets_in == "extracted":
            return extracted
        document = extras.load("avalan.retrieval.documents").survey(Path(source))
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
        if self.place is None:
            return RetrievalError("The temporary index has no document {name!r}.", name=name)
        return RetrievalError(
            "The index has no document {name!r}; see those it has: avalan index show {index}",
            name=name,
            index=self.name,
        )

    def _of_another(self, held: Embedding, name: str, dimension: int) -> ConfigurationError:
        return ConfigurationError(
            "The index {index!r} holds {held}-dimensional vectors of {embedder!r} and {name!r} "
            "makes {dimension}; rebuild it with: {command}",
            index=self.name,
            held=held.dimension,
            embedder=held.name,
            name=name,
            dimension=dimension,
            command=self._add_command("--embedder", name, "--rebuild"),
        )

    def _add_command(self, *options: str) -> str:
        return store.add_command(self.place, *options)

    def _open_embedder(self, name: str) -> "Embedder":
        if self._embedder is None or self._embedder.name != name:
            sentence = extras.load("avalan.model.nlp.sentence")
            self._embedder = sentence.open_embedder(name)
        embedder: Embedder = self._embedder
        return embedder

    def _sources_below(self, folder: Path) -> list[tuple[str, str]]:
        return self._backend.sources_below(prefix(str(folder)))


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
