"""The index for programs: async, shared by loops and threads, and reranked by whoever likes."""

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import avalan.retrieval
from avalan.errors import ConfigurationError, RetrievalError
from avalan.retrieval import Index
from avalan.retrieval.entities import Passage
from avalan.retrieval.events import Added, Embedded

DIMENSION = 64


class WordEmbedder:
    """Texts that share words are alike: each word adds a direction of its own."""

    dimension = DIMENSION

    def __init__(self, name: str = "words", fingerprint: str = "1") -> None:
        self.name, self.fingerprint = name, fingerprint

    def embed(self, texts: Sequence[str], *, kind: str = "passage") -> np.ndarray:
        rows = np.full((len(texts), DIMENSION), 1e-3, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                seed = int.from_bytes(
                    hashlib.sha256(word.strip(".,:?").encode()).digest()[:4], "big"
                )
                row += np.random.default_rng(seed).normal(size=DIMENSION)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "avalan.model.nlp.sentence.open_embedder", lambda name, *_: WordEmbedder(name)
    )


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "garden.md").write_text("The greenhouse opens at seven.\n")
    (folder / "visitors.md").write_text("Visitors park behind the mill.\n")
    (folder / "kitchen.md").write_text("Bread is baked on Fridays.\n")
    return folder


async def filled(notes: Path) -> Index:
    index = await Index.open("notes", create=True)
    async for _event in index.add([notes]):
        pass
    return index


def stems(passages: Sequence[Passage]) -> list[str]:
    return [Path(passage.source).stem for passage in passages]


def test_it_is_found_under_its_name() -> None:
    assert avalan.retrieval.Index is Index
    assert "Index" in dir(avalan.retrieval)
    with pytest.raises(AttributeError, match="no attribute 'Shelf'"):
        _ = avalan.retrieval.Shelf


def test_documents_are_found_by_words_before_they_are_by_meaning(notes: Path) -> None:
    async def main() -> None:
        async with await Index.open("notes", create=True) as index:
            seen = []
            async for event in index.add([notes]):
                if isinstance(event, Added):
                    found = await index.search("greenhouse visitors bread")
                    seen.append((len(found), [passage.dense for passage in found]))
                assert isinstance(event, Added | Embedded)
            assert seen == [(1, [None]), (2, [None] * 2), (3, [None] * 3)]
            best = (await index.search("When does the greenhouse open?"))[0]
            assert best.dense is not None
            assert best.lexical > 0
            assert (await index.totals()).num_embedded == 3

    asyncio.run(main())


def test_each_mode_goes_by_what_it_says(notes: Path) -> None:
    async def main() -> None:
        async with await filled(notes) as index:
            lexical = await index.search("visitors", mode="lexical")
            assert stems(lexical) == ["visitors"]
            assert lexical[0].dense is None
            dense = await index.search("bread fridays", mode="dense")
            assert stems(dense)[0] == "kitchen"
            assert [passage.lexical for passage in dense] == [0.0] * 3
            hybrid = await index.search("the mill", 2)
            assert stems(hybrid)[0] == "visitors"
            assert len(hybrid) == 2

    asyncio.run(main())


def test_whoever_reranks_decides_the_order(notes: Path) -> None:
    async def by_length(question: str, passages: Sequence[Passage]) -> list[float]:
        assert question == "the"
        return [-float(len(passage.text)) for passage in passages]

    async def main() -> None:
        async with await filled(notes) as index:
            found = await index.search("the", 1, rerank=by_length)
            assert stems(found) == ["kitchen"]

    asyncio.run(main())


def test_many_threads_and_loops_may_search_while_one_adds(notes: Path, tmp_path: Path) -> None:
    index = asyncio.run(filled(notes))
    failures: list[BaseException] = []

    def search() -> None:
        async def main() -> None:
            for _ in range(10):
                assert "visitors" in stems(await index.search("visitors mill"))

        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        (tmp_path / "more").mkdir(exist_ok=True)
        (tmp_path / "more" / f"{number}.txt").write_text(f"Note number {number}.")

    async def add() -> None:
        async for _event in index.add([tmp_path / "more"]):
            pass

    asyncio.run(add())
    for thread in threads:
        thread.join()
    assert not failures
    assert asyncio.run(index.totals()).num_embedded == 13
    asyncio.run(index.close())


def test_what_is_removed_is_not_found(notes: Path) -> None:
    async def main() -> None:
        async with await filled(notes) as index:
            assert await index.remove("garden.md") == [str(notes / "garden.md")]
            assert stems(await index.search("greenhouse", mode="lexical")) == []
            assert "garden" not in stems(await index.search("greenhouse"))
            assert len(await index.documents()) == 2

    asyncio.run(main())


def test_an_index_goes_on_with_its_own_embedder_and_refuses_another(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add(**options: object) -> None:
        async with await Index.open("notes", **options) as index:  # type: ignore[arg-type]
            async for _event in index.add([notes]):
                pass

    async def search(mode: str) -> list[Passage]:
        async with await Index.open("notes") as index:
            return await index.search("visitors", mode=mode)  # type: ignore[arg-type]

    asyncio.run(add(create=True, embedder="words"))
    asyncio.run(add())
    with pytest.raises(ConfigurationError, match=r"holds 64-dimensional vectors of 'words' and"):
        asyncio.run(add(embedder="other"))
    asyncio.run(add(embedder="other", rebuild=True))
    # A release with another embedder of the same name: its vectors are made anew when adding.
    monkeypatch.setattr(
        "avalan.model.nlp.sentence.open_embedder", lambda name, *_: WordEmbedder(name, "2")
    )
    with pytest.raises(RetrievalError, match=r"another version of the embedder 'other'"):
        asyncio.run(search("hybrid"))
    assert stems(asyncio.run(search("lexical"))) == ["visitors"]
    (notes / "new.md").write_text("Something new.")
    asyncio.run(add())
    assert asyncio.run(search("dense"))


def test_without_an_embedder_there_is_nothing_to_search_by_meaning(notes: Path) -> None:
    async def main() -> None:
        async with await Index.open("notes", create=True, embedder="none") as index:
            events = [event async for event in index.add([notes])]
            assert not any(isinstance(event, Embedded) for event in events)
            assert stems(await index.search("visitors")) == ["visitors"]
            with pytest.raises(RetrievalError, match=r"has no vectors.*--mode lexical"):
                await index.search("visitors", mode="dense")

    asyncio.run(main())


def test_a_path_is_a_file_and_a_name_is_none(notes: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with await Index.open(tmp_path / "own.idx", create=True) as index:
            async for _event in index.add([notes]):
                pass
        assert (tmp_path / "own.idx").is_file()
        async with await Index.open(str(tmp_path / "own.idx")) as index:
            assert len(await index.documents()) == 3
        with pytest.raises(RetrievalError, match="There is no index at"):
            await Index.open("absent")
        async with await Index.temporary() as index:
            events = [event async for event in index.add([notes])]
            assert isinstance(events[-1], Embedded)
            assert stems(await index.search("bread"))[0] == "kitchen"

    asyncio.run(main())
