"""docs/hub.md does what it says: its blocks are run, in order, against a hub on this machine."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from avalan.hub.failure import PATIENCE_S
from avalan.hub.transfer import NUM_THREADS
from avalan.testing import LocalHub

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hub.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_blocks_run(
    local_hub: LocalHub,
    pico_folder: Path,
    pico_onnx_folder: Path,
    run_block: Callable[..., str],
    tmp_path: Path,
) -> None:
    local_hub.add("Qwen/Qwen3-0.6B", pico_folder)
    onnx, gguf = tmp_path / "onnx", tmp_path / "gguf"
    shutil.copytree(pico_onnx_folder, onnx)
    (onnx / "onnx").mkdir()
    (onnx / "model.onnx").rename(onnx / "onnx" / "model_q4.onnx")
    local_hub.add("onnx-community/Qwen3-0.6B-ONNX", onnx)
    gguf.mkdir()
    (gguf / "Qwen3-0.6B-Q8_0.gguf").write_bytes(b"only its name matters")
    local_hub.add("unsloth/Qwen3-0.6B-GGUF", gguf)
    for language, text in BLOCKS:
        assert run_block(language, text, local_hub.environment())


def test_every_block_of_code_is_run() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2 == 4


def test_its_numbers_are_those_of_the_program() -> None:
    assert f"{PATIENCE_S}\nseconds are too few" in PAGE
    assert NUM_THREADS == 4
    assert "four at a time" in PAGE
