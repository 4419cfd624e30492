"""`avalan ask` disturbed: Ctrl-C at every stage, an index that changes, a terminal that shrinks."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from avalan.cli import main
from avalan.reflection.events import Answer, Found, Read
from avalan.reflection.loop import ask
from avalan.reflection.panel import open_panel
from avalan.retrieval.index import SyncIndex

BEDS = "When are the beds watered?"
ANSWER = "The beds are watered at six in the evening."


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of two notes, in a state folder of its own."""
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "garden.md").write_text(f"# Garden\n\nThe greenhouse opens at seven. {ANSWER}\n")
    (folder / "pool.md").write_text("# Pool\n\nFlower beds by the pool are watered by nobody.\n")
    assert main(["index", "add", str(folder), "--quiet"]) == 0
    return folder


def started(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "avalan", "ask", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("delay_s", [0.15, 0.3, 0.45, 0.6, 0.75, 0.9])
def test_ctrl_c_ends_in_a_sentence_or_an_answer_and_the_index_stays(
    notes: Path, delay_s: float
) -> None:
    asked = started(BEDS, "--json")
    time.sleep(delay_s)
    os.killpg(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=30)
    assert "Traceback" not in err
    assert err.strip() in ("", "Ended before there was an answer.")
    assert (
        (asked.returncode, out) == (130, "")
        or "six in the evening" in out
        or asked.returncode == -2
    )
    with SyncIndex.open(notes.parent / "home" / "indexes" / "default.sqlite") as index:
        assert index.totals().num_documents == 2


def test_ctrl_c_among_many_questions_keeps_the_answers_so_far(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text(f"{BEDS}\n" * 5000)
    asked = started("--questions", str(tmp_path / "many.txt"), "--model", "rules")
    assert asked.stdout is not None
    first = [asked.stdout.readline() for _ in range(3)]
    os.killpg(asked.pid, signal.SIGINT)
    rest, err = asked.communicate(timeout=30)
    lines = ["".join(first), *rest.splitlines()]
    assert asked.returncode == 130
    assert re.fullmatch(r"Ended after [\d,]+ lines\.\n", err)
    assert len(lines) < 5000
    assert all(ANSWER in line and line.rstrip().endswith("}") for line in lines if line)


def test_an_index_that_loses_a_document_meanwhile_is_no_harm(notes: Path) -> None:
    path = notes.parent / "home" / "indexes" / "default.sqlite"
    with SyncIndex.open(path) as index, open_panel("rules") as panel:
        events = ask(BEDS, panel=panel, index=index)
        while not isinstance(next(events), Found):
            pass
        with SyncIndex.open(path) as other:
            other.remove("garden.md")
        assert isinstance(next(events), Read)
        *_, end = events
    assert isinstance(end, Answer)
    assert end.text == ANSWER


def test_a_terminal_that_shrinks_meanwhile_gets_the_rest_of_the_answer(notes: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "avalan", "ask", BEDS, "--trace"])
    resize(terminal, 120)
    seen = b""
    for columns in (100, 30, 20, 60):
        time.sleep(0.15)
        resize(terminal, columns)
        # Who has said all and gone away is readable for ever.
        while select.select([terminal], [], [], 0)[0] and (piece := read(terminal)):
            seen += piece
    while piece := read(terminal):
        seen += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = seen.decode()
    assert "Traceback" not in text
    assert "evening" in text


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
