"""A disk that is full or read-only: what was indexed is found, and nothing is left half done."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from avalan.cli import main
from avalan.errors import StateError
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named

SIZE_KB = 600
Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system of its own, of `SIZE_KB`."""

    path: Path

    def fill(self, *, but_kb: int = 0) -> None:
        """Leave room for `but_kb` and no more."""
        reserve = self.path / "reserve"
        reserve.write_bytes(bytes(but_kb * 1024))
        with (self.path / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                reserve.unlink()

    def clear(self) -> None:
        """Take the filling away."""
        (self.path / "filler").unlink()

    def forbid_writing(self) -> None:
        """As on a medium for reading only; for root as well."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield Disk(path=path)
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture(autouse=True)
def home(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state lies on the small disk, the documents do not."""
    monkeypatch.setenv("AVALAN_HOME", str(disk.path / "home"))
    return disk.path / "home"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number, drink in enumerate(["tea", "coffee", "milk"]):
        (folder / f"{number}.txt").write_text(f"The {drink} is served at {number + 3} o'clock.")
    return folder


def fill(path: Path, *places: Path) -> None:
    with SyncIndex.open(path, create=True) as index:
        list(index.add(places))


def files(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def assert_found() -> None:
    with SyncIndex.open(named()) as index:
        assert len(index.documents()) == 3
        assert [each.text for each in index.search("tea")] == ["The tea is served at 3 o'clock."]


def many_words(path: Path) -> Path:
    path.write_text("".join(f"word{n} is new. " for n in range(40_000)))
    return path


# --- reading ----------------------------------------------------------------------------------


def test_an_index_on_a_full_disk_can_be_read(disk: Disk, home: Path, notes: Path) -> None:
    fill(named(), notes)
    disk.fill()
    assert_found()
    assert files(home) == ["default.sqlite"]


@pytest.mark.parametrize("words", [["search", "tea"], ["list"], ["show", "default"]])
def test_commands_that_read_work_on_a_full_disk(
    disk: Disk, notes: Path, capsys: Captured, words: list[str]
) -> None:
    fill(named(), notes)
    disk.fill()
    assert main(["index", *words]) == 0
    output = capsys.readouterr()
    assert output.out
    assert output.err == ""


def test_questions_are_answered_on_a_full_disk(disk: Disk, notes: Path, capsys: Captured) -> None:
    fill(named(), notes)
    disk.fill()
    assert main(["ask", "When is the tea served?", "--model", "rules", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passages"]


def test_an_index_on_a_read_only_disk_can_be_read(disk: Disk, notes: Path) -> None:
    fill(named(), notes)
    disk.forbid_writing()
    assert_found()


def test_adding_to_a_full_disk_is_a_sentence_and_what_was_there_is_still_found(
    disk: Disk, notes: Path, tmp_path: Path
) -> None:
    fill(named(), notes)
    disk.fill()
    with (
        SyncIndex.open(named()) as index,
        pytest.raises(StateError, match="no room left on its disk"),
    ):
        list(index.add([many_words(tmp_path / "new.txt")]))
    assert_found()


def test_a_disk_that_fills_up_while_adding_loses_nothing(
    disk: Disk, notes: Path, tmp_path: Path
) -> None:
    fill(named(), notes)
    disk.fill(but_kb=250)
    with (
        SyncIndex.open(named()) as index,
        pytest.raises(StateError, match="no room left on its disk"),
    ):
        list(index.add([many_words(tmp_path / "new.txt")]))
    assert_found()
    disk.clear()
    assert_found()


KILLED = """
import os, sys
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named
index = SyncIndex.open(named(), create=True)
list(index.add(sys.argv[1:]))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_left_is_read_on_a_full_disk(
    disk: Disk, home: Path, notes: Path
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(notes)], check=False)
    assert "default.sqlite-wal" in files(home)
    disk.fill()
    assert_found()
    disk.clear()
    assert_found()
    assert files(home) == ["default.sqlite"]


def test_a_disk_that_is_full_when_the_writer_ends_does_not_keep_its_log(
    disk: Disk, home: Path, notes: Path
) -> None:
    fill(named(), notes)
    (notes / "2.txt").write_text("The milk is served at 9 o'clock.")
    with SyncIndex.open(named()) as index:
        list(index.add([notes]))
        disk.fill()
    assert files(home) == ["default.sqlite"]
    connection = sqlite3.connect(named())
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert_found()


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_an_index_that_wants_a_log_is_read_where_none_can_be_made(
    disk: Disk, notes: Path, state: str
) -> None:
    """As one that was copied while it was written, or written by an older version."""
    fill(named(), notes)
    connection = sqlite3.connect(named())
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    if state == "full":
        disk.fill()
    else:
        disk.forbid_writing()
    assert_found()
    sentence = "no room left on its disk" if state == "full" else "cannot be read or written"
    with pytest.raises(StateError, match=sentence):
        SyncIndex.open(named(), create=True)


def test_a_log_that_was_left_on_a_read_only_disk_is_read(disk: Disk, notes: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(notes)], check=False)
    disk.forbid_writing()
    assert_found()


# --- nothing is left half done ----------------------------------------------------------------


@pytest.mark.parametrize("room_kb", [0, 4, 8, 20, 40, 100])
def test_a_first_index_that_does_not_fit_leaves_nothing(
    disk: Disk, home: Path, tmp_path: Path, capsys: Captured, room_kb: int
) -> None:
    named().parent.mkdir(parents=True)
    disk.fill(but_kb=room_kb)
    assert main(["index", "add", str(many_words(tmp_path / "new.txt"))]) == 1
    output = capsys.readouterr()
    assert "has no room left on its disk; free some space" in output.err
    assert output.out == ""
    assert files(home) == []


def test_a_rebuild_that_does_not_fit_keeps_the_damaged_index_and_leaves_nothing_else(
    disk: Disk, home: Path, notes: Path, tmp_path: Path, capsys: Captured
) -> None:
    fill(named(), notes)
    named().write_bytes(named().read_bytes()[:8192])
    disk.fill(but_kb=100)
    assert main(["index", "add", str(many_words(tmp_path / "new.txt")), "--rebuild"]) == 1
    output = capsys.readouterr()
    assert "has no room left on its disk" in output.err
    assert output.out == ""
    assert files(home) == ["default.sqlite"]
    assert named().stat().st_size == 8192
