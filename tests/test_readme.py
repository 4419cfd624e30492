"""The README does what it says: its blocks marked `run` are run, in order, in one folder."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of the README."""

    language: str
    mark: str
    text: str


BLOCKS = [Block(language, mark.strip(), text) for language, mark, text in BLOCK.findall(README)]
RUN = [block for block in BLOCKS if block.mark == "run"]


def test_blocks_are_marked_with_a_word_that_the_tests_know() -> None:
    assert {block.mark for block in BLOCKS} <= {"", "run"}
    assert {block.language for block in RUN} == {"bash", "python"}


def test_blocks_marked_run_are_run_in_order(run_block: Callable[..., str]) -> None:
    for block in RUN:
        assert run_block(block.language, block.text)


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_every_extra_is_in_its_table() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == set(
        project["optional-dependencies"]
    )


def test_the_test_command_is_what_continuous_integration_calls() -> None:
    assert "make test" in README
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in lines


def test_the_files_that_the_walk_names_exist() -> None:
    named = re.findall(r"`([\w/]+\.(?:py|json|toml))`", (ROOT / "docs" / "walk.md").read_text())
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / "src" / "avalan" / path).is_file()]
