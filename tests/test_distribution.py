"""The names: `avalan` to import and to type, `avalan-slm` on the package index."""

import gettext
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """But for llama.cpp, which is built for minutes and nobody should have to wait for."""
    given = PROJECT["optional-dependencies"]
    others = (lines for name, lines in given.items() if name not in ("all", "test", "gguf"))
    assert set(given["all"]) == {line for lines in others for line in lines}


# --- the built package --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, the wheel built from it, and in `direct/` the wheel of the tree.

    Without isolation: the build backend is in the `test` extra, so that no network is needed. Of
    what else is here the build must need nothing, least of all the package itself.
    """
    tree, out = tmp_path_factory.mktemp("tree") / "avalan", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*SKIPPED, "*.mo"))
    hidden = tmp_path_factory.mktemp("hidden")
    for name in ("avalan", "rich", "numpy"):
        (hidden / f"{name}.py").write_text("raise ImportError('what is built is not there yet')")
    environment = os.environ | {"PYTHONPATH": str(hidden)}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    for words in ([str(out)], [str(out / "direct"), "--wheel"]):
        done = subprocess.run(
            [*command, *words], cwd=tree, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return out


def wheel_in(folder: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(folder / f"avalan_slm-{__version__}-py3-none-any.whl")


def test_the_build_compiles_the_translations_into_the_wheel(built: Path) -> None:
    with wheel_in(built) as wheel:
        compiled = io.BytesIO(wheel.read("avalan/locale/es/LC_MESSAGES/avalan.mo"))
    told = gettext.GNUTranslations(compiled).gettext("Run a model on a prompt")
    assert told == "Ejecuta un modelo con un prompt"


def test_an_sdist_builds_the_same_wheel_as_the_tree(built: Path) -> None:
    with wheel_in(built) as one, wheel_in(built / "direct") as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert all(one.read(name) == other.read(name) for name in one.namelist())


def test_the_wheel_has_every_file_of_the_package(built: Path) -> None:
    """Those that are no Python too: completions of shells, recipes, the bundled model."""
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "avalan").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".mo")
    } - {"avalan/locale/elsewhere.py"}  # Which only the extraction of texts reads.
    assert "avalan/cli/shells/avalan.fish" in wanted
    with wheel_in(built) as wheel:
        assert wanted <= set(wheel.namelist())


def test_the_sdist_has_what_people_build_and_test_with(built: Path) -> None:
    with tarfile.open(built / f"avalan_slm-{__version__}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"hatch_build.py", "scripts/translations.py", "tests/conftest.py"} <= names
    assert {"locale/avalan.pot", "locale/es/LC_MESSAGES/avalan.po", "Makefile"} <= names
