"""The file: kills, other versions, full disks, two processes, bounded memory."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from avalan.errors import AvalanError, RetrievalError, StateError
from avalan.retrieval import documents, journal, store, tables
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named, names


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"note number {number}")
    return folder


def fill(path: Path, *places: Path) -> None:
    with SyncIndex.open(path, create=True) as index:
        list(index.add(places))


def sources(path: Path) -> list[str]:
    with SyncIndex.open(path) as index:
        return [Path(document.source).name for document in index.documents()]


def assert_sound(path: Path) -> None:
    """Every document has all its passages, and every passage a document."""
    with SyncIndex.open(path) as index:
        total = 0
        for document in index.documents():
            data = Path(document.source).read_bytes()
            if document.offsets_in == "extracted":
                data = index.text(document.source).encode()
            passages = index.passages(document.source)
            assert len(passages) == document.num_passages > 0
            assert all(data[each.start : each.end].decode() == each.text for each in passages)
            total += len(passages)
        count = index._backend._connection.execute("SELECT count(*) FROM passages").fetchone()[0]
        assert count == total
        index._backend._connection.execute(
            "INSERT INTO passages(passages) VALUES ('integrity-check')"
        )
        assert index._backend._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_index_is_one_private_file(notes: Path) -> None:
    fill(named(), notes)
    assert [path.name for path in named().parent.iterdir()] == ["default.sqlite"]
    assert named().stat().st_mode & 0o777 == 0o600
    assert names() == ["default"]
    assert sources(named()) == ["0.txt", "1.txt", "2.txt"]


def test_the_text_of_plain_files_is_stored_once(tmp_path: Path) -> None:
    text = "\n\n".join(f"the words of paragraph {n} " + "and so on " * 20 for n in range(500))
    (tmp_path / "a.txt").write_text(text)
    fill(named(), tmp_path / "a.txt")
    assert named().read_bytes().count(b"the words of paragraph 250 ") == 1


ADD = """
import sys
from pathlib import Path
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named
with SyncIndex.open(named(), create=True) as index:
    for event in index.add([Path(sys.argv[1])]):
        print(type(event).__name__, flush=True)
"""


@pytest.mark.parametrize("num_events", [0, 1, 4, 6])
def test_after_a_kill_at_any_point_the_index_is_sound_and_adding_completes_it(
    notes: Path, num_events: int
) -> None:
    for number in range(3, 7):  # These take a while each, so that the kill falls within one.
        (notes / f"{number}.txt").write_text(f"a longer note {number}. " * 8_000)
    process = subprocess.Popen(
        [sys.executable, "-c", ADD, str(notes)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    seen = [process.stdout.readline() for _ in range(num_events)]
    process.send_signal(signal.SIGKILL)
    process.communicate()

    if named().exists() and named().stat().st_size:
        assert_sound(named())
        assert len(sources(named())) >= len(seen)
    fill(named(), notes)
    assert_sound(named())
    assert sources(named()) == [f"{number}.txt" for number in range(7)]


def test_others_read_while_one_writes(notes: Path) -> None:
    fill(named(), notes / "0.txt")
    with SyncIndex.open(named(), rebuild=True) as writer, SyncIndex.open(named()) as reader:
        events = writer.add([notes])
        next(events)
        next(events)
        assert [each.text for each in reader.search("note", 9)] == ["note number 0"]
        list(events)
        assert len(reader.search("note", 9)) == 3


def test_two_writers_take_turns_and_one_that_waits_too_long_is_told(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_TIMEOUT_S", 0.05)
    fill(named(), notes / "0.txt")
    with SyncIndex.open(named(), rebuild=True) as first, SyncIndex.open(named()) as second:
        events = first.add([notes])
        next(events)
        with pytest.raises(StateError, match="is being written by another process; try again"):
            list(second.add([notes]))
        list(events)
        assert len(list(second.add([notes]))) == 3


def journal_mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return str(mode)


def test_no_log_is_kept_at_rest_whoever_closes_last(notes: Path) -> None:
    fill(named(), notes / "0.txt")
    with SyncIndex.open(named()) as reader:
        with SyncIndex.open(named()) as writer:
            list(writer.add([notes]))
            assert len(reader.search("note", 9)) == 3
            assert named().with_name("default.sqlite-wal").exists()
        assert len(reader.search("note", 9)) == 3
    assert journal_mode(named()) == "delete"
    assert [path.name for path in named().parent.iterdir()] == ["default.sqlite"]
    assert_sound(named())


def test_who_begins_to_write_waits_for_another_that_does(tmp_path: Path) -> None:
    """SQLite itself refuses one of two at once, however long its time-out."""
    path = tmp_path / "a.sqlite"
    one, two = (
        sqlite3.connect(path, isolation_level=None, check_same_thread=False) for _ in range(2)
    )
    one.execute("CREATE TABLE t(x)")
    one.execute("BEGIN IMMEDIATE")

    def finish() -> None:
        time.sleep(0.2)
        one.execute("COMMIT")

    thread = threading.Thread(target=finish)
    thread.start()
    journal.log_ahead(two, patience_s=10)
    thread.join()
    assert two.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    one.close()
    journal.close(two)
    assert journal_mode(path) == "delete"


WORKER = """
import sys
from pathlib import Path
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named
kind, folder = sys.argv[1], Path(sys.argv[2])
for turn in range(12):
    if kind == "read":
        with SyncIndex.open(named()) as index:
            assert index.search("note", 5)
            for document in index.documents():
                assert len(index.passages(document.source)) == document.num_passages
        continue
    folder.mkdir(exist_ok=True)
    for number in range(3):
        # Always of one length, so that a document has as many passages before and after.
        (folder / f"{number}.txt").write_text(f"note {number} of turn {turn:02}. " * 60)
    with SyncIndex.open(named(), create=True) as index:
        list(index.add([folder]))
"""


def test_processes_that_read_and_write_at_once_are_never_in_each_others_way(
    notes: Path, tmp_path: Path
) -> None:
    fill(named(), notes)
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, kind, str(tmp_path / f"{kind}{number}")])
        for kind in ("read", "write")
        for number in range(2)
    ]
    assert [process.wait() for process in processes] == [0] * 4
    assert_sound(named())
    assert len(sources(named())) == 9
    assert journal_mode(named()) == "delete"


# --- rebuilding -------------------------------------------------------------------------------


def set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_an_index_of_another_version_is_refused_with_the_command_that_rebuilds_it(
    notes: Path,
) -> None:
    fill(named("mine"), notes)
    set_version(named("mine"), 99)
    for create in (False, True):
        with pytest.raises(
            RetrievalError,
            match="is of version 99 and this avalan reads version 3; "
            "rebuild it with: avalan index add PATH --name mine --rebuild",
        ):
            SyncIndex.open(named("mine"), create=create)

    with SyncIndex.open(named("mine"), rebuild=True) as index:
        assert len(list(index.add([notes / "1.txt"]))) == 1
    assert sources(named("mine")) == ["1.txt"]
    assert_sound(named("mine"))


def test_a_rebuild_replaces_tables_that_this_version_knows_nothing_of(notes: Path) -> None:
    named().parent.mkdir(parents=True)
    connection = sqlite3.connect(named(), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA application_id = {tables.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("CREATE TABLE vectors(x)")
    connection.close()
    with pytest.raises(RetrievalError, match="is of version 1 and this avalan reads version 3"):
        SyncIndex.open(named())

    with SyncIndex.open(named(), rebuild=True) as index:
        list(index.add([notes]))
    assert_sound(named())
    assert len(sources(named())) == 3


def test_rebuilding_drops_what_is_not_named_and_says_so(notes: Path) -> None:
    fill(named(), notes)
    with SyncIndex.open(named(), create=True, rebuild=True) as index:
        events = [type(event).__name__ for event in index.add([notes / "1.txt"])]
        again = [type(event).__name__ for event in index.add([notes / "2.txt"])]
    assert events == ["Added", "Dropped", "Dropped"]
    assert again == ["Added"]
    assert sources(named()) == ["1.txt", "2.txt"]


def test_a_rebuild_that_fails_or_is_left_changes_nothing(notes: Path) -> None:
    fill(named(), notes)
    (notes / "bad.txt").write_bytes(b"\0")
    with SyncIndex.open(named(), rebuild=True) as index:
        with pytest.raises(RetrievalError, match="it is binary"):
            list(index.add([notes / "1.txt", notes / "bad.txt"]))
        next(index.add([notes / "1.txt"]))
    assert sources(named()) == ["0.txt", "1.txt", "2.txt"]
    assert_sound(named())


# --- what is no index -------------------------------------------------------------------------


def test_a_missing_index_names_the_command_that_makes_it() -> None:
    with pytest.raises(
        RetrievalError, match=r"There is no index at .*; make it with: avalan index add PATH$"
    ):
        SyncIndex.open(named())
    with pytest.raises(RetrievalError, match=r"avalan index add PATH --name mine$"):
        SyncIndex.open(named("mine"))
    with pytest.raises(RetrievalError, match="see those there are: avalan index list"):
        store.remove(named())


def test_an_empty_file_is_an_index_to_be_filled(notes: Path) -> None:
    """A kill can leave one."""
    named().parent.mkdir(parents=True)
    named().touch()
    with pytest.raises(RetrievalError, match=r"is empty; fill it with: avalan index add PATH$"):
        SyncIndex.open(named())
    fill(named(), notes)
    assert len(sources(named())) == 3


@pytest.mark.parametrize("content", [b"not a database at all " * 100, b"x", b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_a_sentence_and_is_never_replaced(content: bytes) -> None:
    named().parent.mkdir(parents=True)
    named().write_bytes(content)
    for options in ({}, {"create": True}, {"create": True, "rebuild": True}):
        with pytest.raises(
            RetrievalError,
            match=r"is damaged or not a database \(.*\); remove it with 'avalan index remove'",
        ):
            SyncIndex.open(named(), **options)
    assert named().read_bytes() == content
    assert [path.name for path in named().parent.iterdir()] == ["default.sqlite"]
    store.remove(named())
    assert not named().exists()


def test_damage_inside_is_a_sentence(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"some words {number} " * 200)
    fill(named(), tmp_path)
    data = bytearray(named().read_bytes())
    data[8192 : len(data) // 2] = b"\xaa" * (len(data) // 2 - 8192)
    named().write_bytes(data)
    with pytest.raises(
        RetrievalError, match=r"is damaged .*rebuild it with: avalan index add PATH --rebuild"
    ):
        assert_sound(named())


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[: len(data) // 3],
    "all but the header gone": lambda data: data[:100],
    "torn first page": lambda data: data[:100] + b"\xaa" * 3000 + data[3100:],
    "overwritten": lambda data: data[:8192] + b"\xaa" * (len(data) - 8192),
    "zeros": lambda data: data[:4096] + bytes(len(data) - 4096),
    "a table of other columns": lambda data: data.replace(b"num_passages I", b"num_passagez I"),
    "one bad page": lambda data: data[:-4096] + b"\xaa" * 4096,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_rebuild_replaces_a_damaged_index(notes: Path, damage: str) -> None:
    (notes / "9.txt").write_text("".join(f"word{n} is there. " for n in range(3000)))
    fill(named(), notes)
    data = DAMAGES[damage](named().read_bytes())
    named().write_bytes(data)

    with SyncIndex.open(named(), rebuild=True) as index:
        events = index.add([notes / "1.txt"])
        assert type(next(events)).__name__ == "Added"
        assert named().read_bytes() == data
        list(events)
        assert [each.text for each in index.search("note")] == ["note number 1"]
        (notes / "1.txt").write_text("changed after the rebuild")
        list(index.add([notes / "1.txt"]))

    assert_sound(named())
    assert sources(named()) == ["1.txt"]
    assert [path.name for path in named().parent.iterdir()] == ["default.sqlite"]
    assert named().stat().st_mode & 0o777 == 0o600


def test_a_table_of_other_columns_is_damage_and_not_a_mistake_of_ours(notes: Path) -> None:
    fill(named(), notes)
    named().write_bytes(DAMAGES["a table of other columns"](named().read_bytes()))
    with SyncIndex.open(named()) as index, pytest.raises(RetrievalError, match="is damaged"):
        index.documents()


def test_a_log_of_what_was_replaced_is_not_taken_for_the_new_ones(notes: Path) -> None:
    """It is there where another process has the old index open."""
    fill(named(), notes)
    with closing(sqlite3.connect(named(), isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("PRAGMA user_version = 1")
        with SyncIndex.open(named(), rebuild=True) as index:
            list(index.add([notes / "1.txt"]))
        assert not named().with_name("default.sqlite-wal").exists()
        fill(named(), notes / "2.txt")
        assert_sound(named())
    assert sources(named()) == ["1.txt", "2.txt"]


@pytest.mark.parametrize("end", ["bad path", "left"])
def test_a_rebuild_of_a_damaged_index_that_fails_or_is_left_changes_nothing(
    notes: Path, end: str
) -> None:
    fill(named(), notes)
    data = named().read_bytes()[:5000]
    named().write_bytes(data)
    (notes / "bad.txt").write_bytes(b"\0")

    with SyncIndex.open(named(), rebuild=True) as index:
        if end == "left":
            next(index.add([notes]))
        else:
            with pytest.raises(RetrievalError, match="it is binary"):
                list(index.add([notes / "1.txt", notes / "bad.txt"]))

    assert named().read_bytes() == data
    assert [path.name for path in named().parent.iterdir()] == ["default.sqlite"]


@pytest.mark.parametrize("options", [{}, {"rebuild": True}, {"create": True, "rebuild": True}])
@pytest.mark.parametrize("application_id", [0, 0x0F055112])
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_someone_elses_database_is_never_touched(
    tmp_path: Path, options: dict[str, bool], application_id: int, journal: str, is_damaged: bool
) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("CREATE TABLE precious(x)")
    connection.execute("INSERT INTO precious VALUES (zeroblob(20000))")
    connection.close()
    if is_damaged:
        path.write_bytes(path.read_bytes()[:5000])
    before = path.read_bytes()
    with pytest.raises(RetrievalError, match=r"is not an avalan index; choose|remove it with"):
        SyncIndex.open(path, **options)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["other.sqlite"]


def test_a_file_with_another_programs_name_and_no_tables_is_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA application_id = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(RetrievalError, match="is not an avalan index; choose another file"):
        SyncIndex.open(path, create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("seed", range(12))
def test_whatever_bytes_are_damaged_ends_in_a_sentence_and_a_rebuild_heals_it(
    notes: Path, seed: int
) -> None:
    """Everything but the header, which says whose the file is."""
    (notes / "page.html").write_text("<h1>Tea</h1><p>Green tea.</p>")
    fill(named(), notes)
    data = bytearray(named().read_bytes())
    random = Random(seed)
    for _ in range(random.choice([1, 5, 50])):
        start = random.randrange(100, len(data))
        size = random.choice([1, 1, 4, 100, 2000])
        data[start : start + size] = random.randbytes(min(size, len(data) - start))
    named().write_bytes(data)

    with suppress(AvalanError), SyncIndex.open(named()) as index:
        for document in index.documents():
            index.passages(document.source)
            index.text(document.source)
    with suppress(AvalanError), SyncIndex.open(named()) as index:
        index.search("note number tea")
    with suppress(AvalanError), SyncIndex.open(named()) as index:
        list(index.add([notes]))

    with SyncIndex.open(named(), rebuild=True) as index:
        list(index.add([notes]))
    assert_sound(named())
    assert sources(named()) == ["0.txt", "1.txt", "2.txt", "page.html"]


# --- what the machine refuses -----------------------------------------------------------------


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path, notes: Path) -> None:
    fill(named(), notes)
    (notes / "9.txt").write_text("".join(f"word{n} is new. " for n in range(40_000)))
    with SyncIndex.open(named()) as index:
        pages = index._backend._connection.execute("PRAGMA page_count").fetchone()[0]
        index._backend._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(StateError, match="has no room left on its disk; free some space"):
            list(index.add([notes]))
        assert len(index.search("number", 9)) == 3

    assert sources(named()) == ["0.txt", "1.txt", "2.txt"]
    fill(named(), notes)
    assert_sound(named())


LIMITED = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
LIMITED += "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"


def test_a_write_that_fails_is_a_sentence_and_loses_nothing(notes: Path) -> None:
    fill(named(), notes)
    (notes / "9.txt").write_text("".join(f"word{n} is new. " for n in range(40_000)))

    script = LIMITED + ADD
    done = subprocess.run(
        [sys.executable, "-c", script, str(notes)], capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["Unchanged"] * 3
    last = done.stderr.splitlines()[-1]
    assert last.startswith("avalan.errors.StateError: The index at "), last
    assert_sound(named())
    assert sources(named()) == ["0.txt", "1.txt", "2.txt"]


def test_a_state_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StateError, match=r"The state folder .* cannot be made \(Not a directory\)"):
        SyncIndex.open(named(), create=True)
    with pytest.raises(RetrievalError, match="There is no index"):
        SyncIndex.open(named())


def test_a_folder_where_an_index_would_be_is_a_sentence(notes: Path) -> None:
    (named() / "precious").mkdir(parents=True)
    sentence = r"There is a folder at .*default\.sqlite, where an index would be a file; move it"
    for options in ({}, {"create": True}, {"rebuild": True}):
        with pytest.raises(RetrievalError, match=sentence):
            SyncIndex.open(named(), **options)
    with pytest.raises(RetrievalError, match=sentence):
        store.remove(named())
    assert (named() / "precious").is_dir()


def test_a_pipe_where_an_index_would_be_is_a_sentence() -> None:
    named().parent.mkdir(parents=True)
    os.mkfifo(named())
    with pytest.raises(RetrievalError, match="There is a device or pipe at"):
        SyncIndex.open(named(), create=True)


def test_a_file_that_cannot_be_written_is_a_sentence(notes: Path) -> None:
    fill(named(), notes)
    with SyncIndex.open(named()) as index:
        index._backend._connection.execute("PRAGMA query_only = 1")
        assert index.search("number")
        (notes / "0.txt").write_text("new")
        with pytest.raises(StateError, match="cannot be read or written"):
            list(index.add([notes]))


# --- memory -----------------------------------------------------------------------------------


def paragraphs(num_bytes: int) -> Iterator[str]:
    size = number = 0
    while size < num_bytes:
        text = " ".join(f"word{(number * 7 + n) % 4001}" for n in range(60)) + ".\n\n"
        yield text
        size += len(text)
        number += 1


def test_a_file_is_read_in_blocks_and_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BLOCK_CHARS", 1 << 13)
    monkeypatch.setattr(documents, "_PIECE_BYTES", 1 << 13)
    path = tmp_path / "big.txt"
    path.write_text("".join(paragraphs(1_200_000)))
    page = tmp_path / "big.html"
    page.write_text("".join(f"<p>{text}</p>" for text in paragraphs(400_000)))

    with SyncIndex.open(named(), create=True) as index:
        tracemalloc.start()
        list(index.add([path, page]))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 400_000
    with SyncIndex.open(named()) as index:
        assert len(index.passages(str(path))) > 1200


# Not ru_maxrss: that starts from what the process that forked this one held.
MEASURE = ADD + (
    "import re; print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
)


@pytest.mark.slow
def test_100_megabytes_are_indexed_in_less_than_400(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    with path.open("w") as file:
        file.writelines(paragraphs(100_000_000))

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )

    event, peak_kb = done.stdout.split()
    assert event == "Added"
    assert int(peak_kb) < 400_000


def test_somebody_elses_database_is_never_deleted(home: Path) -> None:
    path = named("x")
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (a)")
    connection.close()
    with pytest.raises(RetrievalError, match="is not an avalan index, so it is not deleted"):
        store.remove(path)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"no database at all " * 100])
def test_a_damaged_or_empty_index_may_be_deleted(home: Path, content: bytes) -> None:
    path = named("x")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    store.remove(path)
    assert not path.exists()


def test_a_name_that_is_no_unicode_is_one_sentence(tmp_path: Path) -> None:
    with SyncIndex.temporary() as index, pytest.raises(RetrievalError, match="not valid Unicode"):
        list(index.add([tmp_path / "bad\udcff"]))


def test_any_number_of_passages_may_be_asked_for(notes: Path) -> None:
    with SyncIndex.temporary() as index:
        list(index.add([notes]))
        assert len(index.search("note", 2**63)) == 3
