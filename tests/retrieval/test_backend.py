"""One contract for both databases, and what PostgreSQL adds: addresses, roles, other machines."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import psycopg
import pytest
from psycopg import errors

from avalan.cli.demonstration import topics, write_pages
from avalan.errors import AvalanError, ConfigurationError, RetrievalError, StateError
from avalan.model.nlp.sentence import Kind
from avalan.retrieval import postgres, postgres_tables, store
from avalan.retrieval.backend import Embedding
from avalan.retrieval.documents import survey
from avalan.retrieval.index import Added, Dropped, Passage, Replaced, SyncIndex, Unchanged
from avalan.retrieval.postgres import PostgresBackend
from avalan.retrieval.sqlite import SqliteBackend
from avalan.retrieval.vectors import Vectors

QUESTIONS = Path(__file__).parents[2] / "bench" / "data" / "python-questions-even.jsonl"
NUMBERS = count()


class WordHashes:
    """An embedder whose vectors are sums of one random vector for each word."""

    def __init__(self, dimension: int = 24) -> None:
        self.name = "hashes"
        self.fingerprint = f"hashes of {dimension}"
        self.dimension = dimension
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> Vectors:
        rows = np.stack([sum(map(self._word, set(text.lower().split()))) for text in texts])
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def _word(self, word: str) -> Vectors:
        if word not in self._known:
            generator = np.random.default_rng(crc32(word.encode()))
            self._known[word] = generator.normal(size=self.dimension).astype(np.float32)
        return self._known[word]

    def close(self) -> None:
        pass


Open = Callable[..., SyncIndex]


def opener(open_backend: Callable[..., Any], opened: list[SyncIndex]) -> Open:
    def open_index(*, dimension: int = 24, rebuild: bool = False, **options: Any) -> SyncIndex:
        backend = open_backend(create=True, rebuild=rebuild, **options)
        embedder = WordHashes(dimension)
        index = SyncIndex(backend, rebuild=rebuild, embedder=embedder.name)
        index._embedder = embedder
        opened.append(index)
        return index

    return open_index


@pytest.fixture
def opened() -> Iterator[list[SyncIndex]]:
    """Indexes that are closed when the test ends."""
    indexes: list[SyncIndex] = []
    yield indexes
    for index in indexes:
        index.close()


@pytest.fixture
def open_sqlite(tmp_path: Path, opened: list[SyncIndex]) -> Open:
    path = tmp_path / "one.sqlite"
    return opener(lambda **options: SqliteBackend.open(path, **options), opened)


def with_options(server: str, **options: object) -> str:
    found = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{server}{'&' if '?' in server else '?'}{found}"


@pytest.fixture
def address(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of an index that is not there yet, and is gone when the test ends."""
    name = f"test_{next(NUMBERS)}_{re.sub('[^0-9]', '', str(id(request)))[-9:]}"
    yield with_options(postgres_server, index=name)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS avalan_{name} CASCADE")


@pytest.fixture
def open_postgres(address: str, opened: list[SyncIndex]) -> Open:
    def open_backend(exact: bool = False, **options: Any) -> PostgresBackend:
        return PostgresBackend.open(with_options(address, exact=int(exact)), **options)

    return opener(open_backend, opened)


@pytest.fixture(params=["sqlite", "postgres"])
def open_index(request: pytest.FixtureRequest) -> Open:
    """Opens the same index of one of the databases, as often as is wanted."""
    found: Open = request.getfixturevalue(f"open_{request.param}")
    return found


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Garden\n\nThe beds are watered at six in the evening.")
    (folder / "b.md").write_text("# Cars\n\nVisitors leave their cars behind the mill.")
    (folder / "c.html").write_text("<h1>Dogs</h1><p>Dogs stay outside.</p>")
    return folder


def fill(index: SyncIndex, *places: Path) -> list[str]:
    """Add and embed; what happened, as in ["added a.md"]."""
    events = [event for event in index.add(places)]
    list(index.embed())
    kinds = (Added, Replaced, Unchanged, Dropped)
    return [
        f"{type(event).__name__.lower()} {Path(event.source).name}"
        for event in events
        if isinstance(event, kinds)
    ]


def sources(index: SyncIndex) -> list[str]:
    return [Path(info.source).name for info in index.documents()]


def where(passages: Sequence[Passage]) -> list[tuple[str, int]]:
    return [(Path(each.source).name, each.start) for each in passages]


# --- documents ------------------------------------------------------------------------------


def test_documents_are_added_replaced_and_dropped(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        assert fill(index, notes) == ["added a.md", "added b.md", "added c.html"]
        assert fill(index, notes) == ["unchanged a.md", "unchanged b.md", "unchanged c.html"]
        (notes / "a.md").write_text("Nothing is watered.")
        (notes / "b.md").unlink()
        assert fill(index, notes) == ["replaced a.md", "unchanged c.html", "dropped b.md"]
        assert sources(index) == ["a.md", "c.html"]
        assert [each.text for each in index.passages(str(notes / "a.md"))] == [
            "Nothing is watered."
        ]
        totals = index.totals()

    assert (totals.num_documents, totals.num_passages, totals.num_embedded) == (2, 2, 2)
    assert totals.size_bytes > 0
    assert totals.updated > 1e9


def test_a_passage_says_where_it_stands(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        (plain,) = index.search("watered", 1, mode="lexical")
        (page,) = index.search("dogs", 1, mode="lexical")
        text = index.text(page.source)

    assert (notes / "a.md").read_bytes()[plain.start : plain.end].decode() == plain.text
    assert (plain.heading, plain.locator, plain.offsets_in) == ("Garden", "line 1", "file")
    assert text.encode()[page.start : page.end].decode() == page.text
    assert (page.offsets_in, page.locator) == ("extracted", "Dogs")


def test_what_is_forgotten_leaves_nothing(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        backend = index._backend
        assert backend.forget(str(notes / "c.html"))
        assert not backend.forget(str(notes / "c.html"))
        assert backend.content(str(notes / "c.html")) is None
        assert backend.passages(str(notes / "c.html")) == []
        assert index.search("dogs", mode="lexical") == []
        assert len(backend.nearest(WordHashes().embed(["dogs"])[0], 9)) == 2


def test_names_are_no_patterns(open_index: Open, tmp_path: Path) -> None:
    for name in ("a_b", "axb", "a%b", "Zoë"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.txt").write_text(name)
    with open_index() as index:
        fill(index, *(tmp_path / name for name in ("a_b", "axb", "a%b", "Zoë")))
        found = index._backend.sources_below(f"{tmp_path}/a_b")
        order = [Path(info.source).parent.name for info in index.documents()]

    assert found == [(str(tmp_path / "a_b" / "c.txt"), str(tmp_path / "a_b"))]
    assert order == ["Zoë", "a%b", "a_b", "axb"]


def test_odd_texts_are_stored_and_found(open_index: Open, tmp_path: Path) -> None:
    cell = {"cell_type": "markdown", "source": "nul \0 and half \ud83d of a pair"}
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell], "nbformat": 4}))
    (tmp_path / "b.txt").write_text("𝐀" * 900 + " beside it")
    (tmp_path / "c.txt").write_text("x" * 20_000)
    (tmp_path / "d.md").write_text(f"# {'Long title ' * 30_000}\n\nunder a title")
    (tmp_path / "e.txt").write_text("数据库系统 café ﬁn 1e5d3a it's \\back 'slash' & | ! <->")
    long = tmp_path.joinpath(*["y" * 200] * 12)
    long.mkdir(parents=True)
    (long / "f.txt").write_text("deep down")
    with open_index() as index:
        assert len(fill(index, tmp_path)) == 6
        for question, name in [
            ("half", "a.ipynb"),
            ("beside", "b.txt"),
            ("under", "d.md"),
            ("数据", "e.txt"),
            ("CAFE\u0301", "e.txt"),
            ("1e5d3a", "e.txt"),
            ("'slash' & | !", "e.txt"),
            ("deep", "f.txt"),
        ]:
            assert name in {place for place, _ in where(index.search(question))}, question
        for question in ("\0", "\ud83d", "z" * 9000, "absent 'or' & | \\"):
            assert index.search(question, mode="lexical") == []


# --- all or nothing -------------------------------------------------------------------------


class Stop(Exception):
    pass


def test_a_failed_transaction_changes_nothing(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        for transaction in (index._backend.writing, index._backend.anew):
            with pytest.raises(Stop), transaction():
                index._backend.forget(str(notes / "a.md"))
                raise Stop
            assert sources(index) == ["a.md", "b.md", "c.html"]
            assert where(index.search("watered", 1)) == [("a.md", 0)]


def test_an_inner_failure_leaves_the_outer_transaction(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        with index._backend.writing():
            index._backend.forget(str(notes / "a.md"))
            with pytest.raises(Stop), index._backend.writing():
                index._backend.forget(str(notes / "b.md"))
                raise Stop
        assert sources(index) == ["b.md", "c.html"]


def test_others_read_the_old_until_the_new_is_complete(open_index: Open, notes: Path) -> None:
    with open_index() as writer:
        fill(writer, notes)
    reader = open_index()
    for _ in range(8):  # From some number on, statements are prepared.
        assert sources(reader) == ["a.md", "b.md", "c.html"]
        assert where(reader.search("watered", 1)) == [("a.md", 0)]
    (notes / "a.md").write_text("Rain")
    with open_index(rebuild=True) as writer:
        events = writer.add([notes])
        next(events)
        assert where(reader.search("watered", 1)) == [("a.md", 0)]
        assert len(list(events)) == 2
        list(writer.embed())
    assert reader.search("watered", mode="lexical") == []
    assert where(reader.search("rain", 1)) == [("a.md", 0)]
    assert reader.totals().num_embedded == 3


def test_two_writers_take_turns(open_index: Open, tmp_path: Path) -> None:
    for letter in "ab":
        (tmp_path / letter).mkdir()
        for number in range(12):
            (tmp_path / letter / f"{letter}{number}.txt").write_text(f"note {letter} {number}")
    indexes = [open_index(), open_index()]
    failures: list[AvalanError] = []

    def add(index: SyncIndex, folder: Path) -> None:
        try:
            fill(index, folder)
        except AvalanError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=add, args=(index, tmp_path / letter))
        for index, letter in zip(indexes, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(sources(indexes[0])) == 24
    assert indexes[1].totals().num_embedded == 24


def test_who_waits_too_long_for_a_writer_is_told(
    open_index: Open, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(postgres_tables, "_PATIENCE", "100ms")
    first, second = open_index(), open_index()
    fill(first, notes / "a.md")
    with first._backend.writing():
        first._backend.forget(str(notes / "a.md"))
        assert sources(second) == ["a.md"]
        with pytest.raises(StateError, match="is being written by another process; try again"):
            list(second.add([notes]))
    assert fill(second, notes) == ["added a.md", "added b.md", "added c.html"]


# --- vectors --------------------------------------------------------------------------------


def test_vectors_arrive_in_the_order_of_the_passages(open_index: Open, notes: Path) -> None:
    embedder = WordHashes()
    with open_index() as index:
        backend = index._backend
        list(index.add([notes]))
        assert backend.embedding() is None
        assert not backend.has_vectors()
        found = Embedding(name="hashes", fingerprint=embedder.fingerprint, dimension=24)
        backend.use(found)
        assert backend.embedding() == found
        pending = backend.pending(2)
        assert [text.partition("\n")[0] for _, text in pending] == ["a: Garden", "b: Cars"]
        backend.forget(str(notes / "b.md"))
        numbers = [number for number, _ in pending]
        backend.put_vectors(numbers, embedder.embed([text for _, text in pending]))
        assert backend.has_vectors()
        assert backend.totals().num_embedded == 1
        ((number, text),) = backend.pending(9)
        assert text.startswith("c: Dogs")
        query = embedder.embed([pending[0][1]])[0]
        assert backend.nearest(query, 9) == {numbers[0]: pytest.approx(1, abs=1e-3)}
        assert list(backend.similarities(query, [number, numbers[0]])) == [numbers[0]]
        backend.use(found)
        assert backend.nearest(query, 9) == backend.similarities(query, numbers) == {}


def test_an_embedder_of_another_dimension_is_refused(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
    (notes / "d.md").write_text("Another note")
    with open_index(dimension=12) as index:
        index._embedder.name = index._asked = "other"  # type: ignore[union-attr]
        with pytest.raises(ConfigurationError, match=r"holds 24-dim.*'other' makes 12; rebuild"):
            fill(index, notes)


def test_an_index_without_vectors_is_searched_by_words(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        index._asked = "none"
        fill(index, notes)
        assert where(index.search("watered")) == [("a.md", 0)]
        with pytest.raises(RetrievalError, match="has no vectors"):
            index.search("watered", mode="dense")


# --- the same on both -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python's reference, which the questions are on."""
    folder = tmp_path_factory.mktemp("pages")
    write_pages(folder, topics())
    return folder


def test_both_rank_alike(
    open_sqlite: Open, open_postgres: Open, pages: Path, tmp_path: Path
) -> None:
    """Cosines exactly, words by the same formula, and so what is made of both."""
    asked = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    asked = [each for each in asked if each["split"] == "validation"]
    one, two = open_sqlite(), open_postgres()
    for index in (one, two):
        fill(index, pages)
    embedder = WordHashes()
    right: dict[SyncIndex, list[bool]] = {one: [], two: []}
    for question in asked:
        query = embedder.embed([question["question"]])[0]
        near = [index._backend.nearest(query, 200) for index in (one, two)]
        # Two that differ in the last bit of a sum may change places.
        assert list(near[0].values()) == pytest.approx(list(near[1].values()), abs=1e-6)
        assert len(near[0].keys() ^ near[1].keys()) <= 400
        found = [index.search(question["question"], 5) for index in (one, two)]
        assert where(found[0]) == where(found[1])
        for index in (one, two):
            passages = index.search(question["question"], 5, mode="lexical")
            names = {Path(each.source).stem for each in passages}
            right[index].append(bool(names & {question["document"], *question["also"]}))
    recalls = [np.mean(found) for found in right.values()]
    print(recalls)
    assert abs(recalls[0] - recalls[1]) <= 0.02
