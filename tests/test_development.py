"""What packaging tools read: the requirements files, the extras, one version everywhere."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from avalan import __version__

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = SETTINGS["project"]["optional-dependencies"]
NAMES = "agent audio cpu memory server test translation vision"
"""What the first README installs, in its words."""


def lines_of(name: str) -> list[str]:
    """The requirements of a file, without comments and what the compiler adds below each."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def test_the_version_is_the_same_everywhere() -> None:
    text = (ROOT / "src" / "avalan" / "VERSION.txt").read_text(encoding="ascii")
    assert text == f"{__version__}\n"
    assert SETTINGS["tool"]["poetry"]["version"] == __version__


def test_no_extra_names_the_project_because_poetry_could_not_lock_it() -> None:
    for name, lines in EXTRAS.items():
        assert not [line for line in lines if line.startswith("avalan")], name


def test_extras_contain_what_they_build_on() -> None:
    for name in ("cpu", "export", "train", "translation", "vision", "quantization", "all"):
        assert set(EXTRAS["transformers"]) <= set(EXTRAS[name]), name
    assert set(EXTRAS["export"]) <= set(EXTRAS["train"])
    assert set(EXTRAS["all"]) - {"torch>=2.6"} <= set(EXTRAS["test"])


def test_the_extras_that_the_first_readme_installs_are_there() -> None:
    assert {*NAMES.split(), "all"} <= set(EXTRAS)


def test_requirements_are_the_dependencies() -> None:
    assert lines_of("requirements.in") == SETTINGS["project"]["dependencies"]


def test_compiled_requirements_meet_the_ranges_and_name_no_index() -> None:
    compiled = [Requirement(line) for line in lines_of("requirements.txt")]
    pinned = {canonicalize_name(each.name): each for each in compiled}
    for line in SETTINGS["project"]["dependencies"]:
        wanted = Requirement(line)
        (exact,) = pinned[canonicalize_name(wanted.name)].specifier
        assert exact.operator == "=="
        assert exact.version in wanted.specifier
    assert not re.search("https?:|index-url|find-links", "\n".join(lines_of("requirements.txt")))
