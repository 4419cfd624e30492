"""docs/training.md: its block marked `run` is run."""

import re
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
BLOCK = re.compile(r"^```(\w+) run\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_blocks_are_run_in_order(run_block: Callable[..., str]) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 1
    for language, text in blocks:
        assert "200 records of" in run_block(language, text)
