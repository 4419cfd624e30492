"""The file: kills, other versions, full disks, two processes, bounded memory."""

import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from avalan.errors import RetrievalError, StateError
from avalan.retrieval import documents, store
from avalan.retrieval.index import Index, named, names


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
    with Index.open(path, create=True) as index:
        list(index.add(places))


def sources(path: Path) -> list[str]:
    with Index.open(path) as index:
        return [Path(document.source).name for document in index.documents()]


def assert_sound(path: Path) -> None:
    """Every document has all its passages, and every passage a document."""
    with Index.open(path) as index:
        total = 0
        for document in index.documents():
            data = Path(document.source).read_bytes()
            passages = index.passages(document.source)
            assert len(passages) == document.num_passages > 0
            assert all(data[each.start : each.end].decode() == each.text for each in passages)
            total += len(passages)
        count = index._connection.execute("SELECT count(*) FROM passages").fetchone()[0]
        assert count == total
        index._connection.execute("INSERT INTO passages(passages) VALUES ('integrity-check')")
        assert index._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


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
from avalan.retrieval.index import Index, named
with Index.open(named(), create=True) as index:
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
    with Index.open(named(), rebuild=True) as writer, Index.open(named()) as reader:
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
    with Index.open(named(), rebuild=True) as first, Index.open(named()) as second:
        events = first.add([notes])
        next(events)
        with pytest.raises(StateError, match="is being written by another process; try again"):
            list(second.add([notes]))
        list(events)
        assert len(list(second.add([notes]))) == 3


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
            match="is of version 99 and this avalan reads version 1; "
            "rebuild it with: avalan index add PATH --name mine --rebuild",
        ):
            Index.open(named("mine"), create=create)

    with Index.open(named("mine"), rebuild=True) as index:
        assert len(list(index.add([notes / "1.txt"]))) == 1
    assert sources(named("mine")) == ["1.txt"]
    assert_sound(named("mine"))


def test_rebuilding_drops_what_is_not_named_and_says_so(notes: Path) -> None:
    fill(named(), notes)
    with Index.open(named(), create=True, rebuild=True) as index:
        events = [type(event).__name__ for event in index.add([notes / "1.txt"])]
        again = [type(event).__name__ for event in index.add([notes / "2.txt"])]
    assert events == ["Added", "Dropped", "Dropped"]
    assert again == ["Added"]
    assert sources(named()) == ["1.txt", "2.txt"]


def test_a_rebuild_that_fails_or_is_left_changes_nothing(notes: Path) -> None:
    fill(named(), notes)
    (notes / "bad.txt").write_bytes(b"\0")
    with Index.open(named(), rebuild=True) as index:
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
        Index.open(named())
    with pytest.raises(RetrievalError, match=r"avalan index add PATH --name mine$"):
        Index.open(named("mine"))
    with pytest.raises(RetrievalError, match="see those there are: avalan index list"):
        store.remove(named())


def test_an_empty_file_is_an_index_to_be_filled(notes: Path) -> None:
    """A kill can leave one."""
    named().parent.mkdir(parents=True)
    named().touch()
    with pytest.raises(RetrievalError, match=r"is empty; fill it with: avalan index add PATH$"):
        Index.open(named())
    fill(named(), notes)
    assert len(sources(named())) == 3


def test_a_damaged_file_is_a_sentence(notes: Path) -> None:
    named().parent.mkdir(parents=True)
    named().write_bytes(b"not a database at all " * 100)
    for options in ({}, {"create": True}, {"create": True, "rebuild": True}):
        with pytest.raises(RetrievalError, match="is damaged or not a database"):
            Index.open(named(), **options)
    store.remove(named())
    assert not named().exists()


def test_damage_inside_is_a_sentence(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"some words {number} " * 200)
    fill(named(), tmp_path)
    data = bytearray(named().read_bytes())
    data[8192 : len(data) // 2] = b"\xaa" * (len(data) // 2 - 8192)
    named().write_bytes(data)
    with pytest.raises(RetrievalError, match="is damaged"):
        assert_sound(named())


def test_someone_elses_database_is_never_touched(tmp_path: Path, notes: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious(x)")
    connection.close()
    before = path.read_bytes()
    for rebuild in (False, True):
        with pytest.raises(RetrievalError, match="is not an avalan index; choose another file"):
            Index.open(path, create=True, rebuild=rebuild)
    assert path.read_bytes() == before


# --- what the machine refuses -----------------------------------------------------------------


def test_a_full_disk_is_a_sentence_and_loses_nothing(tmp_path: Path, notes: Path) -> None:
    fill(named(), notes)
    (notes / "9.txt").write_text("".join(f"word{n} is new. " for n in range(40_000)))
    with Index.open(named()) as index:
        pages = index._connection.execute("PRAGMA page_count").fetchone()[0]
        index._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
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
        Index.open(named(), create=True)
    with pytest.raises(RetrievalError, match="There is no index"):
        Index.open(named())


def test_a_path_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read or written"):
        Index.open(tmp_path, create=True)


def test_a_file_that_cannot_be_written_is_a_sentence(notes: Path) -> None:
    fill(named(), notes)
    with Index.open(named()) as index:
        index._connection.execute("PRAGMA query_only = 1")
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

    with Index.open(named(), create=True) as index:
        tracemalloc.start()
        list(index.add([path, page]))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 400_000
    with Index.open(named()) as index:
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
    with Index.temporary() as index, pytest.raises(RetrievalError, match="not valid Unicode"):
        list(index.add([tmp_path / "bad\udcff"]))


def test_any_number_of_passages_may_be_asked_for(notes: Path) -> None:
    with Index.temporary() as index:
        list(index.add([notes]))
        assert len(index.search("note", 2**63)) == 3
