"""`avalan index add --watch`: what changes on the disk changes in the index, until Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("watchfiles", reason="following changes needs the package watchfiles")

WITHIN_S = 30


class Watching:
    """The command in a process of its own, and what it says."""

    def __init__(self, folder: Path) -> None:
        words = ["index", "add", str(folder), "--watch", "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "avalan", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        self._lines: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self, kind: str) -> dict[str, Any]:
        """The next event of that kind; those before it are passed over."""
        while True:
            event: dict[str, Any] = json.loads(self._lines.get(timeout=WITHIN_S))
            if event["event"] == kind:
                return event

    def end(self) -> tuple[int, str]:
        """By Ctrl-C: the exit code, and what was said beside the events."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, errors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "tea.md").write_text("Green tea brews for two minutes.\n")
    return tmp_path / "notes"


@pytest.fixture
def watching(folder: Path) -> Iterator[Watching]:
    started = Watching(folder)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


def test_files_that_come_change_and_go_are_followed_until_the_end(
    watching: Watching, folder: Path
) -> None:
    assert watching.next("added")["source"] == str(folder / "tea.md")
    watching.next("embedded")
    # From here on, whether the watch stands already or not.
    (folder / "coffee.md").write_text("Coffee takes four minutes.\n")
    assert watching.next("added")["source"] == str(folder / "coffee.md")
    assert watching.next("summary")["documents"] == 2
    assert watching.next("embedded")["passages"] == 1
    (folder / "coffee.md").write_text("Coffee takes five minutes, or six.\n")
    assert watching.next("replaced")["source"] == str(folder / "coffee.md")
    watching.next("embedded")
    (folder / "tea.md").unlink()
    assert watching.next("dropped")["source"] == str(folder / "tea.md")
    assert watching.next("summary")["documents"] == 1
    code, said = watching.end()
    assert code == 130
    assert "Watching for changes; Ctrl-C ends this." in said
    assert "Traceback" not in said


def test_a_file_that_cannot_be_read_ends_nothing(watching: Watching, folder: Path) -> None:
    watching.next("embedded")
    (folder / "tea.md").rename(folder.parent / "aside.md")
    (folder / "empty.md").write_text("")
    assert watching.next("dropped")["source"] == str(folder / "tea.md")
    (folder.parent / "aside.md").rename(folder / "tea.md")
    assert watching.next("added")["source"] == str(folder / "tea.md")
    assert "Traceback" not in watching.end()[1]
