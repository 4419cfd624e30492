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

from avalan.cli import main
from avalan.cli.demonstration import topics, write_pages
from avalan.errors import AvalanError, ConfigurationError, RetrievalError, StateError
from avalan.model.nlp.sentence import Kind
from avalan.retrieval import postgres, postgres_tables, store
from avalan.retrieval.backend import Embedding, embedded_text
from avalan.retrieval.entities import Passage
from avalan.retrieval.events import Added, Dropped, Replaced, Unchanged
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.postgres import PostgresBackend
from avalan.retrieval.postgres_tables import Address, speaking
from avalan.retrieval.sqlite import SqliteBackend
from avalan.retrieval.vectors import Vectors

QUESTIONS = Path(__file__).parents[1] / "data" / "python" / "even.questions.jsonl"
NUMBERS = count()


class WordHashes:
    """An embedder whose vectors are sums of one random vector for each word."""

    def __init__(self, dimension: int = 24) -> None:
        self.name = "hashes"
        self.fingerprint = f"hashes of {dimension}"
        self.dimension = dimension
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> Vectors:
        words = [sorted(set(text.lower().split())) for text in texts]
        rows = np.stack([sum(map(self._word, each)) for each in words])
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
    events = list(index.add(places))
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
    (tmp_path / "e.txt").write_text(
        "数据库系统 café กำลังเดินทาง 1e5d3a it's \\back 'slash' & | ! <->"
    )
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
            ("cafe", "e.txt"),
            ("เดินทาง", "e.txt"),
            ("1e5d3a", "e.txt"),
            ("'slash' & | !", "e.txt"),
            ("deep", "f.txt"),
        ]:
            found = where(index.search(question, mode="lexical"))
            assert name in {place for place, _ in found}, question
        for question in ("\0", "\ud83d", "z" * 9000, "absent 'or' & | \\"):
            assert index.search(question, mode="lexical") == []


# --- all or nothing -------------------------------------------------------------------------


class Stop(Exception):
    pass


def forget_in(transaction: Callable[[], Any], index: SyncIndex, path: Path) -> None:
    with transaction():
        index._backend.forget(str(path))
        raise Stop


def test_a_failed_transaction_changes_nothing(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        for transaction in (index._backend.writing, index._backend.anew):
            with pytest.raises(Stop):
                forget_in(transaction, index, notes / "a.md")
            assert sources(index) == ["a.md", "b.md", "c.html"]
            assert where(index.search("watered", 1)) == [("a.md", 0)]


def test_an_inner_failure_leaves_the_outer_transaction(open_index: Open, notes: Path) -> None:
    with open_index() as index:
        fill(index, notes)
        with index._backend.writing():
            index._backend.forget(str(notes / "a.md"))
            with pytest.raises(Stop):
                forget_in(index._backend.writing, index, notes / "b.md")
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


def test_both_rank_alike(open_sqlite: Open, open_postgres: Open, pages: Path) -> None:
    """By meaning and by words: cosines are equal, and BM25 is the same formula over like words."""
    indexes = (open_sqlite(), open_postgres())
    for index in indexes:
        fill(index, pages)
    right: list[list[bool]] = []
    for number, question in enumerate(questions()):
        asked = str(question["question"])
        if number % 4 == 0:
            first, second = (index.search(asked, 5) for index in indexes)
            assert where(first) == where(second)
            assert [each.score for each in first] == pytest.approx([each.score for each in second])
        names = {str(question["document"]), *question["also"]}
        found = (index.search(asked, 5, mode="lexical") for index in indexes)
        right.append([any(Path(each.source).stem in names for each in five) for five in found])

    recall_at_5 = np.mean(right, axis=0)
    assert recall_at_5[0] > 0.6
    assert abs(recall_at_5[0] - recall_at_5[1]) <= 0.02


def test_cosines_are_those_of_sqlite(open_sqlite: Open, open_postgres: Open, pages: Path) -> None:
    indexes = (open_sqlite(), open_postgres())
    for index in indexes:
        fill(index, pages / "debugger.rst", pages / "typesseq.rst", pages / "lambda.rst")
    (sqlite, other) = (index._backend for index in indexes)
    place = dict(zip(*(numbers(index) for index in indexes), strict=True))
    for query in WordHashes().embed([str(each["question"]) for each in questions()]):
        expected = {place[number]: cosine for number, cosine in sqlite.nearest(query, 9).items()}
        found = other.nearest(query, 9)
        assert list(found) == list(expected)
        assert found == pytest.approx(expected, abs=1e-6)
        assert other.similarities(query, list(found)) == pytest.approx(expected, abs=1e-6)


def test_scripts_and_accents_score_as_in_sqlite(
    open_sqlite: Open, open_postgres: Open, tmp_path: Path
) -> None:
    texts = {
        "zh": "# 数据库\n\n数据库系统是数据的仓库。",
        "th": "เรากำลังเดินทางไปที่เมืองหลวง",
        "ko": "# 서울\n\n서울에서 부산까지 기차로 간다.",
        "ja": "# 電車\n\n電車が遅れています、ガイドさん。",
        "fr": "# Été\n\nLes élèves naïfs étaient à l'école; ŒUVRES de Straße.",
        "code": "# Code\n\ndef snake_case(a1, 0x1f): return 3.14e5 - 1e5 * café_2",
        "el": "# Άλφα\n\nΗ ΟΔΟΣ και το βήτα, Ёлка и йод",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    indexes = (open_sqlite(), open_postgres())
    for index in indexes:
        fill(index, tmp_path)
    for question in (
        *texts.values(),
        "数据库系统",
        "仓",
        "遅れ",
        "เดิน",
        "ete eleves",
        "1e5",
        "14e5",
    ):
        first, second = (index.search(question, mode="lexical") for index in indexes)
        assert first
        scores = {each.source: each.lexical for each in first}
        assert {each.source: each.lexical for each in second} == pytest.approx(scores), question


def questions() -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["split"] == "validation"]


def numbers(index: SyncIndex) -> list[int]:
    """Of all passages, in order."""
    everything = index._backend.nearest(WordHashes().embed(["a"])[0], 10_000)
    return sorted(everything)


# --- what only PostgreSQL has ---------------------------------------------------------------


@pytest.fixture
def own_server(postgres_server: str) -> str:
    """A server where the tests may make roles."""
    if "avalan-postgres-" not in postgres_server:
        pytest.skip("makes roles, which is only done on a server of the tests' own")
    return postgres_server


def execute(address: str, *statements: str) -> list[Any]:
    """What the last statement gives, in the database of an address with ?index=."""
    with psycopg.connect(re.sub("[?&]index=.*", "", address), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def schema(address: str) -> str:
    return "avalan_" + address.rpartition("index=")[2]


def as_role(address: str, role: str) -> str:
    return address.replace("//postgres@", f"//{role}@")


def test_a_database_holds_several_indexes(postgres_server: str, notes: Path) -> None:
    addresses = [with_options(postgres_server, index=f"several_{name}") for name in "ab"]
    for address, name in zip(addresses, ("a.md", "b.md"), strict=True):
        with SyncIndex.open(address, create=True, embedder="none") as index:
            fill(index, notes / name)
    for address, name in zip(addresses, ("a.md", "b.md"), strict=True):
        with SyncIndex.open(address) as index:
            assert sources(index) == [name]
        postgres.remove(address)
        with pytest.raises(RetrievalError, match=r"There is no index at .*; make it with: avalan"):
            SyncIndex.open(address)


def test_a_large_index_has_a_graph_and_can_be_searched_exactly(
    open_postgres: Open, pages: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(postgres, "_MANY", 50)
    names = ["lambda", "integers", "yield", "debugger", "assert", "typesseq", "import", "class"]
    graph, exact = open_postgres(), open_postgres(exact=True)
    fill(graph, *(pages / f"{name}.rst" for name in names))
    assert graph.totals().num_passages >= 50
    sql = f"SELECT indexname FROM pg_indexes WHERE schemaname = '{schema(address)}'"
    assert ("graph",) in execute(address, sql)
    queries = WordHashes().embed(["how do I yield", "what is a class", "set a breakpoint"])
    rows, known = WordHashes().embed(all_texts(graph)), numbers(graph)
    for query in [*queries] * 4:  # From some number on, statements are prepared.
        cosines = rows.astype(np.float16).astype(np.float32) @ query
        best = [known[place] for place in np.argsort(-cosines, kind="stable")[:10]]
        assert list(exact._backend.nearest(query, 10)) == best
        assert len(set(best) & set(graph._backend.nearest(query, 10))) >= 9
    assert len(graph._backend.nearest(query, 5000)) == len(rows)


def all_texts(index: SyncIndex) -> list[str]:
    """What was embedded, in order."""
    sql = "SELECT source, heading, text FROM passages JOIN documents ON id = document"
    assert isinstance(index._backend, PostgresBackend)
    return [embedded_text(*texts) for texts in index._backend._all(f"{sql} ORDER BY number")]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("postgresql://me:s3cret@host:1/db?index=a", "postgresql://me@host:1/db?index=a"),
        ("postgresql://me:s3c@ret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:s3c/re?t@host/db", "postgresql://me@host/db"),
        ("postgresql://:s3cret@host/db", "postgresql://@host/db"),
        ("postgresql:///db?user=me&password=s3cret", "postgresql:///db?user=me"),
        ("postgresql:///db?password=s3cret&exact=1", "postgresql:///db?exact=1"),
    ],
)
def test_no_password_is_ever_shown(address: str, place: str) -> None:
    try:
        shown = f"{(found := Address.parse(address)).place} {found!r}"
    except ConfigurationError as error:
        shown = str(error)
    assert shown.startswith(f"{place} ")
    assert "s3c" not in shown


def test_an_address_names_an_index_as_a_schema_can_be_called() -> None:
    found = Address.parse("postgresql://host/db?exact=1&index=notes_2&sslmode=disable")
    assert (found.schema, found.exact) == ("avalan_notes_2", True)
    assert found.options["sslmode"] == "disable"
    assert Address.parse("postgresql://host/db").schema == "avalan"
    for name in ("", "A", "a-b", "a;drop", "x" * 41):
        with pytest.raises(ConfigurationError, match="An index in a database cannot be called"):
            Address.parse(f"postgresql://host/db?index={name}")


def test_a_server_that_is_down_is_named() -> None:
    with pytest.raises(StateError, match=r"^The database at postgresql://me@localhost:1/d cannot "):
        SyncIndex.open("postgresql://me:s3cret@localhost:1/d")


def test_a_database_lists_its_indexes(
    open_postgres: Open, notes: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(open_postgres(), notes)
    database = re.sub("index=[^&]*", "index=another", address)  # Whichever is named of it.
    assert main(["index", "list", database, "--json"]) == 0
    rows = {row["index"]: row for row in json.loads(capsys.readouterr().out)}
    row = rows[Address.parse(address).place]
    assert (row["documents"], row["passages"], row["problem"]) == (3, 3, None)
    execute(address, f"UPDATE {schema(address)}.about SET version = 0")
    assert main(["index", "list", database]) == 0
    assert "is of version 0" in capsys.readouterr().err
    assert main(["index", "list", "notes"]) == 2


def test_a_database_that_is_missing_is_named(own_server: str) -> None:
    with pytest.raises(StateError, match=r'\(database "none" does not exist\).* createdb'):
        SyncIndex.open(own_server.replace("/postgres?", "/none?"))


def test_a_wrong_password_is_refused_without_being_shown(own_server: str) -> None:
    execute(own_server, "CREATE ROLE asked LOGIN PASSWORD 's3cret'")
    with pytest.raises(StateError, match="refuses the password") as caught:
        SyncIndex.open(as_role(own_server, "asked:s3crxt"))
    assert "s3cr" not in str(caught.value)
    with pytest.raises(RetrievalError, match="There is no index at postgresql://asked@/"):
        SyncIndex.open(as_role(own_server, "asked:s3cret"))


def test_an_index_of_another_version_is_rebuilt_while_others_stay_away(
    open_postgres: Open, notes: Path, address: str
) -> None:
    fill(open_postgres(), notes)
    execute(address, f"UPDATE {schema(address)}.about SET version = 0")
    execute(address, f"ALTER TABLE {schema(address)}.documents RENAME source TO name")
    with pytest.raises(RetrievalError, match=r"is of version 0 and .* reads version 1; rebuild .*"):
        SyncIndex.open(address)
    with open_postgres(rebuild=True) as index:
        assert sources(index) == []
        assert index.totals().num_passages == 0
        with pytest.raises(RetrievalError, match="There is no file"):
            list(index.add([notes / "none"]))
        assert fill(index, notes) == ["added a.md", "added b.md", "added c.html"]
        assert sources(index) == ["a.md", "b.md", "c.html"]
        assert fill(index, notes) == ["unchanged a.md", "unchanged b.md", "unchanged c.html"]
    assert sources(open_postgres()) == ["a.md", "b.md", "c.html"]


def test_tables_of_another_program_are_left_alone(address: str) -> None:
    for columns in ("about(anything text)", "other(version integer)"):
        execute(
            address,
            f"DROP SCHEMA IF EXISTS {schema(address)} CASCADE",
            f"CREATE SCHEMA {schema(address)}",
            f"CREATE TABLE {schema(address)}.{columns}",
        )
        acts: list[Callable[[], object]] = [
            lambda: SyncIndex.open(address, create=True),
            lambda: postgres.remove(address),
        ]
        for act in acts:
            with pytest.raises(RetrievalError, match="are not an avalan index; choose another"):
                act()


def test_without_pgvector_a_command_is_named(own_server: str, address: str) -> None:
    with pytest.raises(StateError, match=r"has no pgvector.* apt-get install postgresql-\d\d-pgv"):
        SyncIndex.open(f"{address}&options=-cextension_control_path%3D/none", create=True)
    execute(own_server, "CREATE DATABASE bare", "CREATE ROLE plain LOGIN NOINHERIT")
    bare = as_role(own_server.replace("/postgres?", "/bare?"), "plain")
    with pytest.raises(StateError, match=r"may not add pgvector .* run: CREATE EXTENSION vector"):
        SyncIndex.open(bare, create=True)
    execute(own_server, "DROP DATABASE bare")


def test_who_may_only_read_reads_and_is_told(
    own_server: str, open_postgres: Open, notes: Path, address: str
) -> None:
    fill(open_postgres(), notes)
    execute(
        own_server,
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema(address)} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema(address)} TO reader",
    )
    for other in (
        as_role(address, "reader"),
        f"{address}&options=-cdefault_transaction_read_only%3Don",
    ):
        with SyncIndex.open(other, create=True) as index:
            assert where(index.search("watered", mode="lexical")) == [("a.md", 0)]
            (notes / "d.md").write_text("Another")
            with pytest.raises(StateError, match=r"cannot be read or written \(.*\); have its own"):
                list(index.add([notes / "d.md"]))
    execute(own_server, "DROP OWNED BY reader", "DROP ROLE reader")


def forget_in_vain(index: SyncIndex, path: Path, end: Callable[[], Any]) -> None:
    with index._backend.writing():
        index._backend.forget(str(path))
        end()
        index._backend.forget(str(path))


def test_a_lost_connection_is_said_and_made_again(
    open_postgres: Open, notes: Path, address: str
) -> None:
    index = open_postgres()
    fill(index, notes)

    def cut() -> None:
        assert isinstance(index._backend, PostgresBackend)
        pid = index._backend._connection.info.backend_pid
        execute(address, f"SELECT pg_terminate_backend({pid})")

    for act in (sources, lambda index: fill(index, notes / "d.md")):
        (notes / "d.md").write_text("Another")
        cut()
        with pytest.raises(StateError, match=r"cannot be reached .*; check the address"):
            act(index)
        assert len(sources(index)) == 3
    with pytest.raises(StateError, match="cannot be reached"):
        forget_in_vain(index, notes / "a.md", cut)
    assert sources(index) == ["a.md", "b.md", "c.html"]


def test_an_index_that_was_removed_is_said_to_be_gone(
    open_postgres: Open, notes: Path, address: str
) -> None:
    index = open_postgres()
    fill(index, notes)
    postgres.remove(address)
    with pytest.raises(RetrievalError, match=r"is gone, .*; .* make it with: avalan index add"):
        index.search("watered")


def test_a_full_disk_and_vectors_that_do_not_fit_are_said(open_postgres: Open, notes: Path) -> None:
    with pytest.raises(StateError, match="no room left on its disk; free some"), speaking("x"):
        raise errors.DiskFull("could not extend file: No space left on device")
    with open_postgres() as index:
        fill(index, notes)
        with pytest.raises(RetrievalError, match=r"cannot hold these vectors \(.*12.*\); make it"):
            index._backend.nearest(WordHashes(12).embed(["a"])[0], 5)
    with pytest.raises(errors.SyntaxError), speaking("x"):
        raise errors.SyntaxError("a mistake of ours")
