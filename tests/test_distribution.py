"""The names: `avalan` to import and to type, `avalan-slm` on the package index."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from avalan import __version__, extras

ROOT = Path(__file__).parents[1]
SKIPPED = {".venv", ".git", "dist", "build", "runs", "node_modules", "__pycache__"}
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".rst", ".html", ".cfg", ".sh", ""}

# The plain name on the index belongs to another project.
WRONG = re.compile(
    r"\b(?:pipx?3?|uv(?: pip| tool)?) (?:install|run) (?:-\S+ )*['\"]?avalan(?!-slm)\b"
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def texts() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if not SKIPPED & set(parts) and path.suffix in TEXT and path.is_file():
            yield path


def test_no_text_tells_anyone_to_install_the_other_project() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in texts()
        if path != Path(__file__)
        for match in WRONG.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found


def test_the_wrong_instruction_is_recognised_and_the_right_one_is_not() -> None:
    assert WRONG.search("pip install avalan")
    assert WRONG.search("pip install -U 'avalan[all]'")
    assert WRONG.search("uv tool install avalan")
    assert not WRONG.search("pip install 'avalan-slm[all]'")
    assert not WRONG.search("pip install -e '.[test]'")


def test_the_package_knows_the_name_of_its_distribution() -> None:
    assert PROJECT["name"] == extras.DISTRIBUTION == "avalan-slm"
    assert PROJECT["scripts"] == {"avalan": "avalan.__main__:main"}


def test_the_changelog_has_the_version() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_base_install_has_no_torch() -> None:
    names = {re.split(r"[<>=\[]", line)[0] for line in PROJECT["dependencies"]}
    assert not names & {"torch", "transformers", "accelerate", "scipy", "pydantic"}


def test_only_the_test_extra_pins_exactly() -> None:
    pinned = {
        name
        for name, lines in PROJECT["optional-dependencies"].items()
        if any("==" in line for line in lines)
    }
    assert pinned == {"test"}


def test_the_extra_all_has_what_every_other_one_for_users_has() -> None:
    given = PROJECT["optional-dependencies"]
    assert set(given["all"]) == {
        line for name, lines in given.items() if name not in ("all", "test") for line in lines
    }
