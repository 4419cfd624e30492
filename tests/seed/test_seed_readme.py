"""docs/seed-readme.md is current, and what it says of a command is held by a test that exists."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("seed_readme", ROOT / "scripts" / "seed_readme.py")
assert _spec
assert _spec.loader
seed_readme = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(seed_readme)

COMMANDS = seed_readme.commands()
RESULTS = seed_readme.results()


def test_every_command_has_a_result_in_the_same_order() -> None:
    assert len(COMMANDS) == 61
    assert list(COMMANDS) == list(RESULTS)
    assert {each["result"] for each in RESULTS.values()} <= set(seed_readme.RESULTS)


def test_the_page_is_current() -> None:
    page = seed_readme.rendered(COMMANDS, RESULTS)
    assert seed_readme.PAGE.read_text(encoding="utf-8") == page


@pytest.mark.parametrize("name", [name for name, each in RESULTS.items() if "test" in each])
def test_the_test_of_a_command_exists(name: str) -> None:
    file, _, function = RESULTS[name]["test"].partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_what_is_claimed_has_a_test_and_what_is_open_has_none() -> None:
    for name, each in RESULTS.items():
        if each["result"] in ("runs", "parts"):
            assert "test" in each, name
        elif each["result"] == "open":
            assert "test" not in each, name
        else:
            assert "note" in each, name


def test_the_file_of_the_agent_is_the_one_in_the_examples() -> None:
    example = ROOT / "docs" / "examples" / "agent_gettext_translator.toml"
    assert example.read_text(encoding="utf-8") == COMMANDS["agent-file"]
