"""docs/retrieval.md does what it says: its blocks are run, in order."""

import os
import re
from collections.abc import Callable
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "retrieval.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_blocks_run(run_block: Callable[..., str], tmp_path: Path) -> None:
    environment = os.environ | {"AVALAN_HOME": str(tmp_path / "home")}
    said = [run_block(language, text, environment) for language, text in BLOCKS]

    # Neither "park" nor "car" stands in the note that answers.
    assert re.search(r"1\. .*visitors\.md:0-\d+  \d\.\d\d · BM25 0\.00 · cosine", said[0])
    assert "bundled" in said[1]
    assert "The beds are watered" in said[1]
    assert re.search(r"1\. .*garden\.md", said[2])
    assert "Added(" in said[3]
    assert "watered at six" in said[3]


def test_every_block_of_code_is_run() -> None:
    assert len(BLOCKS) >= 4
    assert len(BLOCKS) == PAGE.count("\n```") // 2
