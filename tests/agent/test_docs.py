"""docs/agents.md does what it says: its blocks are run, in order, in one folder."""

import re
from collections.abc import Callable
from pathlib import Path

from avalan.agent.specification import SECTIONS, key_types

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "agents.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_blocks_are_run_in_order(run_block: Callable[..., str]) -> None:
    for language, text in BLOCKS:
        assert run_block(language, text)


def test_every_block_of_code_is_run() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2 == 3


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert targets
    assert not [target for target in targets if not (DOCS / target).exists()]


def test_the_table_names_the_sections_and_keys_that_exist() -> None:
    rows = re.findall(r"^\| `\[(\w+)\]` \|(.*)\|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(SECTIONS)
    for name, keys in rows:
        named = set(re.findall(r"`(\w+)`", keys))
        assert named <= set(key_types(name))
    agent = dict(rows)["agent"]
    assert set(re.findall(r"`(\w+)`", agent)) == set(key_types("agent"))
