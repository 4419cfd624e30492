"""The index for Python programs: its methods are async, and may be called from any thread."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from avalan.retrieval import ranking
from avalan.retrieval.backend import Totals
from avalan.retrieval.entities import DocumentInfo, Passage
from avalan.retrieval.events import Event
from avalan.retrieval.index import Mode, SyncIndex
from avalan.retrieval.place import DEFAULT_INDEX, located

__all__ = ["Index", "Rerank"]

Rerank = Callable[[str, Sequence[Passage]], Awaitable[Sequence[float]]]
"""A question and passages, to a score for each passage; higher is better."""

_NUM_RERANKED = 50

T = TypeVar("T")


class Index:
    """Documents that can be searched by words and by meaning.

    Example:
        ```python
        async with await Index.open("notes", create=True) as index:
            async for event in index.add(["notes/"]):
                print(event)
            for passage in await index.search("Where may I park?", top_k=3):
                print(passage.source, passage.start, passage.end, passage.text)
        ```

    Reading and writing have a connection each, so that a search does not wait until what is being
    added is there.
    """

    def __init__(self, reader: SyncIndex, open_writer: Callable[[], SyncIndex]) -> None:
        """Made by `open` and `temporary`."""
        self._reader = _Turns(reader)
        self._open_writer = open_writer
        self._writer: _Turns | None = None
        self._lock = threading.Lock()

    @classmethod
    async def open(
        cls,
        name: str | Path = DEFAULT_INDEX,
        *,
        create: bool = False,
        rebuild: bool = False,
        embedder: str | None = None,
    ) -> Self:
        """The index called `name`.

        Args:
            name: of an index of the command line, a file's path (with a slash, or a `Path`), or an
                address: `postgresql://user@host/database`.
            create: make it if there is none.
            rebuild: what is added next replaces everything, at once or not at all.
            embedder: what makes vectors: `bundled`, a folder or a hub id in the layout of
                sentence-transformers, a served model's URI, or `none`; left open, the index's own,
                and the one in the box for a new one.

        Raises:
            ConfigurationError: the name cannot be an index's.
            RetrievalError: there is none, it is no index, it is damaged or of another version.
            StateError: it cannot be read or written.
        """
        is_path = isinstance(name, Path) or ("/" in name and "://" not in name)
        place = Path(name).expanduser() if is_path else located(str(name))

        def open_writer() -> SyncIndex:
            return SyncIndex.open(place, create=create, rebuild=rebuild, embedder=embedder)

        def open_reader() -> SyncIndex:
            return SyncIndex.open(place, create=create)

        if rebuild:  # What takes the index's place may be another file.
            index = await asyncio.to_thread(open_writer)
            return cls(index, lambda: index)
        return cls(await asyncio.to_thread(open_reader), open_writer)

    @classmethod
    async def temporary(cls, *, embedder: str | None = None) -> Self:
        """An empty index that is gone when it is closed."""
        index = await asyncio.to_thread(SyncIndex.temporary, embedder=embedder)
        return cls(index, lambda: index)

    async def close(self) -> None:
        """Let go of the database and the embedder; closing twice is harmless."""
        for turns in (self._writer, self._reader):
            if turns is not None:
                await turns.take(lambda index: index.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_args: object) -> None:
        await self.close()

    async def add(self, paths: Sequence[str | Path]) -> AsyncIterator[Event]:
        """Bring files and folders into the index, or up to date in it.

        Each file is done, and found by its words, when its event comes; `Embedded` events follow,
        as passages are found by their meaning too. Events that are not read do not happen.

        Raises:
            ConfigurationError: the index has vectors of another embedder.
            RetrievalError: a path does not exist, a file named itself cannot be indexed, or a
                folder holds no text. What was added before it stays.
            ModelError: the embedder cannot be loaded or asked.
            StateError: the index cannot be written.
        """
        writer = await self._writing()
        events: Iterator[Event] = itertools.chain(writer.index.add(paths), writer.index.embed())
        while event := await writer.take(lambda _index: next(events, None)):
            yield event

    async def search(
        self,
        question: str,
        top_k: int = 10,
        *,
        mode: Mode = "hybrid",
        rerank: Rerank | None = None,
    ) -> list[Passage]:
        """The passages that a question is about, best first, at most `top_k` different texts.

        A passage has its place (`source`, and bytes from `start` to `end`, exclusive), a locator
        for people, the `score` that it is ranked by, and its parts: `lexical`, BM25 (0 and more),
        and `dense`, the cosine (-1 to 1, None without vectors). What repeats it stands in `also`.

        Args:
            mode: `hybrid`, `lexical` (words alone) or `dense` (meaning alone). While there are no
                vectors, hybrid goes by words.
            rerank: scores the best fifty anew.

        Raises:
            RetrievalError: the mode needs vectors that the index does not have.
            ModelError: the embedder cannot be loaded or asked.
        """
        num_found = top_k if rerank is None else max(top_k, _NUM_RERANKED)
        found = await self._reader.take(lambda index: index.search(question, num_found, mode=mode))
        if rerank is None:
            return found
        return ranking.reranked(found, await rerank(question, found))[:top_k]

    async def remove(self, name: str) -> list[str]:
        """Forget a document, by its path or the end of one, or all below a folder; their sources.

        Raises:
            RetrievalError: there is none.
        """
        writer = await self._writing()
        return await writer.take(lambda index: index.remove(name))

    async def documents(self) -> list[DocumentInfo]:
        """The documents, by path."""
        return await self._reader.take(lambda index: index.documents())

    async def passages(self, source: str) -> list[Passage]:
        """All passages of the document at `source`, in its order.

        Raises:
            RetrievalError: there is no such document.
        """
        return await self._reader.take(lambda index: index.passages(source))

    async def text(self, source: str) -> str:
        """The text that the offsets of a document's passages count in.

        Raises:
            RetrievalError: there is no such document, or its file has changed since it was added.
        """
        return await self._reader.take(lambda index: index.text(source))

    async def totals(self) -> Totals:
        """How much there is."""
        return await self._reader.take(lambda index: index.totals())

    async def reading(self, act: Callable[[SyncIndex], T]) -> T:
        """Do something with the index underneath, in a thread, while no other reader does."""
        return await self._reader.take(act)

    async def _writing(self) -> "_Turns":
        def opened() -> _Turns:
            with self._lock:
                if self._writer is None:
                    index = self._open_writer()
                    is_reader = index is self._reader.index
                    self._writer = self._reader if is_reader else _Turns(index)
                return self._writer

        return await asyncio.to_thread(opened)


class _Turns:
    """One connection, which serves one caller at a time, whatever thread or loop it comes from."""

    def __init__(self, index: SyncIndex) -> None:
        self.index = index
        self._lock = threading.Lock()

    async def take(self, act: Callable[[SyncIndex], T]) -> T:
        def acted() -> T:
            with self._lock:
                return act(self.index)

        return await asyncio.to_thread(acted)
