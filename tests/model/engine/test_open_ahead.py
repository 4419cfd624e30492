"""Sessions that are opened beside other work: once each, and their failures are not lost."""

import threading
from pathlib import Path

import onnxruntime
import pytest

from avalan.cli import main
from avalan.errors import ModelError
from avalan.model import bundled
from avalan.model.engine.onnx_session import open_ahead, open_session
from avalan.model.entities import EngineSettings

Opened = list[tuple[str, str]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The folder of each graph that is opened, and by which thread."""
    found: Opened = []
    real = onnxruntime.InferenceSession

    def opening(path: Path, *args: object, **options: object) -> onnxruntime.InferenceSession:
        found.append((path.parent.name, threading.current_thread().name))
        return real(path, *args, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opening)
    return found


def test_a_session_begun_ahead_is_the_one_that_is_wanted(opened: Opened) -> None:
    path = bundled.find("embedder").folder / "model.onnx"
    settings = EngineSettings(num_threads=2)

    open_ahead(path, settings)
    open_ahead(path, settings)
    first = open_session(path, settings)
    second = open_session(path, settings)

    assert first is not second
    (_graph, ahead), (_same, alone) = opened
    assert ahead.startswith("avalan-ahead")
    assert alone == "MainThread"


def test_what_fails_ahead_is_said_when_the_session_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")

    open_ahead(path, EngineSettings())

    with pytest.raises(ModelError, match="cannot open"):
        open_session(path, EngineSettings())


def test_a_question_to_the_default_opens_reader_and_embedder_ahead_and_once(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lease.md").write_text("The lease of the mill is signed by Ana Bell in 1901.\n")

    assert main(["ask", "Who signs the lease of the mill?", "--docs", "lease.md"]) == 0

    wanted = {name: thread for name, thread in opened if name in ("reader", "embedder")}
    assert sorted(name for name, _ in opened if name in wanted) == ["embedder", "reader"]
    assert all(thread.startswith("avalan-ahead") for thread in wanted.values())
