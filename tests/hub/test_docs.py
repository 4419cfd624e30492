"""docs/hub.md does what it says: its blocks are run, in order, against a hub on this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

from avalan.hub.failure import PATIENCE_S
from avalan.hub.transfer import NUM_THREADS
from avalan.testing import LocalHub

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hub.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_blocks_run(local_hub: LocalHub, pico_folder: Path, tmp_path: Path) -> None:
    local_hub.add("Qwen/Qwen3-0.6B", pico_folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = local_hub.environment() | {"AVALAN_HOME": str(tmp_path / "home"), "PATH": path}
    for language, text in BLOCKS:
        python = [sys.executable, "-W", "error", "-c", text]
        bash = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            python if language == "python" else bash,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_every_block_of_code_is_run() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2 == 3


def test_its_numbers_are_those_of_the_program() -> None:
    assert f"{PATIENCE_S}\nseconds are too few" in PAGE
    assert NUM_THREADS == 4
    assert "four at a time" in PAGE
