"""What contributors type works: Poetry, the requirements files, one version everywhere.

Poetry is no part of the `test` extra; where it is on the path, it is run.
"""

import hashlib
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from avalan import __version__

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = SETTINGS["project"]["optional-dependencies"]
NAMES = "agent audio cpu memory server test translation vision"
"""What the first README installs, in its words."""
POETRY = shutil.which("poetry")
needs_poetry = pytest.mark.skipif(POETRY is None, reason="poetry is not installed")


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
    for name in ("cpu", "export", "train", "translation", "vision", "all"):
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


# --- Poetry, against an index on this machine ---------------------------------------------------


class Index(BaseHTTPRequestHandler):
    """The packages of this environment as a package index (PEP 503 and 658): metadata alone.

    A package for other systems only is there in a few versions and needs nothing. Of every other
    there is one version: where it leaves out one release of Python, Poetry could choose no other,
    so that which Pythons a package needs is not told.
    """

    def do_GET(self) -> None:
        kind, _, name = self.path.strip("/").partition("/")
        body = self.page(name) if kind == "simple" else metadata(*name.split("-")[:2])
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "simple" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, name: str) -> bytes:
        links = []
        for version in versions(name):
            file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            digest = hashlib.sha256(metadata(name, version)).hexdigest()
            links.append(
                f'<a href="/files/{file}#sha256={digest}" data-core-metadata="sha256={digest}">'
                f"{file}</a><br>"
            )
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def versions(name: str) -> list[str]:
    try:
        return [distribution(name).version]
    except PackageNotFoundError:
        return ["0.99", "4.99", "999"]


def metadata(name: str, version: str) -> bytes:
    name = canonicalize_name(name)
    try:
        text = re.sub(
            "(?m)^Requires-Python:.*\n", "", distribution(name).read_text("METADATA") or ""
        )
    except PackageNotFoundError:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return text.encode()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A copy of what Poetry reads, with the index of this machine as its only source."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f'url = "http://127.0.0.1:{server.server_port}/simple/"\npriority = "primary"\n'
        settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        settings += f'\n[[tool.poetry.source]]\nname = "here"\n{source}'
        (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
        for name in ("README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / name, tmp_path)
        (tmp_path / "src" / "avalan").mkdir(parents=True)
        (tmp_path / "src" / "avalan" / "__init__.py").touch()
        yield tmp_path
        server.shutdown()


def poetry(project: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    assert POETRY
    monkeypatch.setenv("POETRY_CACHE_DIR", str(project / "cache"))
    done = subprocess.run(
        [POETRY, *words, "--no-interaction"], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def planned(project: Path, monkeypatch: pytest.MonkeyPatch, extras: str) -> set[str]:
    """What Poetry would install, without what it would skip."""
    text = poetry(project, monkeypatch, "install", "--extras", extras, "--dry-run")
    return set(re.findall(r"(?m)- Installing ([\w.-]+) \([^)]*\)$", text))


@pytest.mark.slow
@needs_poetry
def test_poetry_checks_locks_and_knows_the_extras(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poetry(project, monkeypatch, "check")
    poetry(project, monkeypatch, "lock")
    for extras in ("cpu", NAMES, "all"):
        assert {"rich", "torch"} <= planned(project, monkeypatch, extras)
    base = planned(project, monkeypatch, "agent")
    assert "rich" in base
    assert not {"torch", "transformers"} & base
