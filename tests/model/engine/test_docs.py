"""docs/engines.md does what it says: the same three commands on every engine that is here."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avalan.model.engine import load_engine
from avalan.model.entities import EngineSettings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
LLAMA_SERVER = os.environ.get("AVALAN_LLAMA_SERVER") or shutil.which("llama-server")
BLOCKS = re.findall(r"^```bash run ?(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(run_block: Callable[..., str], tmp_path: Path) -> Callable[[str], list[str]]:
    """Runs the blocks that are marked with a word, in order, beside the repository's models."""
    (tmp_path / "models").symlink_to(ROOT / "models")

    def run(mark: str) -> list[str]:
        chosen = [text for found, text in BLOCKS[1:] if found == mark]
        return [run_block("bash", text) for text in (BLOCKS[0][1], *chosen)]

    return run


def test_every_block_of_code_is_run_where_its_engine_is() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2 == 8


def check(said: str, kept_by: str = "llguidance") -> None:
    assert said.count("I am avalan, a small local assistant.") == 2
    assert f"choice kept by {kept_by}" in said
    assert '"text": "Paris"' in said


def test_onnx_and_transformers(run: Callable[[str], list[str]]) -> None:
    pytest.importorskip("llguidance", reason="constraints need llguidance")
    _prompts, onnx, transformers, profile = run("")
    check(onnx)
    check(transformers)
    assert '"engine": "onnx"' in profile
    assert "transformers " in profile


def test_gguf_and_a_server(run: Callable[[str], list[str]]) -> None:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: make gguf-wheel")
    pytest.importorskip("uvicorn", reason="needs llama-cpp-python[server]")
    _prompts, gguf, remote = run("gguf")
    check(gguf)
    assert "schema kept by ai://local:8123/nano" in remote
    assert remote.count('"finish_reason"') == 2


@pytest.mark.skipif(LLAMA_SERVER is None, reason="no llama-server: make llama-server")
def test_a_llama_server(
    run: Callable[[str], list[str]],
    run_block: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{Path(str(LLAMA_SERVER)).parent}{os.pathsep}{os.environ['PATH']}")
    run_block("bash", "avalan model export models/nano --out nano.gguf --precision fp16")
    check(run("llama_server")[-1], kept_by="ai://llama-server:8124/nano")


@pytest.mark.slow
@pytest.mark.skipif("AVALAN_VLLM" not in os.environ, reason="AVALAN_VLLM names no vLLM")
def test_vllm(run: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load_engine("vllm", ROOT / "models" / "nano", EngineSettings())
    try:
        # One server for all commands: starting one for each takes minutes.
        monkeypatch.setenv("AVALAN_VLLM", engine._service.base_url)  # type: ignore[union-attr]
        check(run("vllm")[-1], kept_by="vllm")
    finally:
        engine.close()
