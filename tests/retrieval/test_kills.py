"""Whatever moment `avalan index add` is killed at, what it reported is there, and it goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from avalan.cli.demonstration import topics, write_pages
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named

MANY, FEW = 24, 5


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))


def some_pages(folder: Path, count: int) -> Path:
    """Pages of Python's reference."""
    write_pages(folder / "pages", dict(sorted(topics().items())[:count]))
    return folder / "pages"


def start(pages: Path, name: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "avalan", "index", "add", str(pages), "--name", name, "--json"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ)


def killed(pages: Path, name: str, after_s: float) -> tuple[list[dict[str, Any]], bool]:
    """What a process reported, and whether it was killed before it ended by itself."""
    process = start(pages, name)
    timer = threading.Timer(after_s, lambda: process.send_signal(signal.SIGKILL))
    timer.start()
    output, _ = process.communicate()
    timer.cancel()
    # The last line may be cut off.
    whole = [line for line in output.splitlines(keepends=True) if line.endswith("}\n")]
    return [json.loads(line) for line in whole], process.returncode == -signal.SIGKILL


def content(name: str) -> list[Any]:
    """Everything an index holds, but for the numbers that it counts its rows with."""
    with SyncIndex.open(named(name)) as index:
        backend: Any = index._backend
        vectors = backend._loaded()
        rows = backend._all(
            "SELECT source, digest, num_passages, num_embedded, first_passage FROM documents "
            "ORDER BY source"
        )
        found = []
        for source, digest, num_passages, num_embedded, first in rows:
            numbers = list(range(first, first + num_passages))
            places = [vectors.numbers.searchsorted(number) for number in numbers]
            found.append(
                (source, digest, num_embedded, backend.passages(source), vectors.rows[places])
            )
        assert backend._all("PRAGMA integrity_check") == [("ok",)]
        return found


def assert_survives(pages: Path, num_kills: int) -> None:
    whole = start(pages, "whole")
    whole.communicate()
    assert whole.returncode == 0
    generator = random.Random(7)
    reported: set[str] = set()
    num_killed = 0
    while num_killed < num_kills:
        events, was_killed = killed(pages, "torn", generator.uniform(0.15, 1.6))
        num_killed += was_killed
        reported |= {each["source"] for each in events if each["event"] in ("added", "unchanged")}
        assert named("torn").exists() or not reported
        if named("torn").exists():
            # A kill before the first table leaves an empty file, which is made an index then.
            with SyncIndex.open(named("torn"), create=True) as index:
                assert reported <= {info.source for info in index.documents()}
                index.search("What does a nonlocal statement do?", mode="lexical")
        # Some get through; then everything begins again.
        if any(each["event"] == "embedded" for each in events):
            subprocess.run(
                [sys.executable, "-m", "avalan", "index", "remove", "torn"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            reported.clear()
    last = start(pages, "torn")
    last.communicate()
    assert last.returncode == 0
    for torn, expected in zip(content("torn"), content("whole"), strict=True):
        assert torn[:4] == expected[:4]
        assert abs(torn[4] - expected[4]).max() < 2e-3  # Batches are cut elsewhere.


def test_a_few_kills_harm_nothing(tmp_path: Path) -> None:
    assert_survives(some_pages(tmp_path, FEW), 3)


@pytest.mark.slow
def test_a_hundred_kills_harm_nothing(tmp_path: Path) -> None:
    assert_survives(some_pages(tmp_path, MANY), 100)
