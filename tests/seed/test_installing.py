"""The README's blocks that install, build and pin, with pip and Poetry, for real.

Nothing is downloaded: the packages of this environment are packed into wheels again, pip finds
them in a folder, and Poetry on an index that serves the folder.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, PackagePath, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from packaging.utils import canonicalize_name

from avalan import __version__

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PIN = re.compile(r"(?m)^([\w.-]+)==(\S+)$")
NOT_CARRIED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}

pytestmark = pytest.mark.slow


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


needs_editables = pytest.mark.skipif(
    find_spec("editables") is None,
    reason="editables, which builds what is edited, is not installed",
)
BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "transformers-99-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, text in {
            "METADATA": "Metadata-Version: 2.1\\nName: transformers\\nVersion: 99\\n",
            "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"transformers-99.dist-info/{file}", text)
    return name
"""


# --- packages, without a network ----------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a wheel of every package of this environment but ours."""
    folder = tmp_path_factory.mktemp("wheels")
    for each in distributions():
        if each.name != "avalan-slm":
            pack(each, folder)
    yield folder
    shutil.rmtree(folder)  # Of gigabytes.


def pack(package: Distribution, folder: Path) -> None:
    """Write an installed package as the wheel that it came from."""
    stem = f"{canonicalize_name(package.name).replace('-', '_')}-{package.version}"
    tags = re.findall("(?m)^Tag: (.+)-(.+)-(.+)$", package.read_text("WHEEL") or "")
    tag = "-".join(".".join(dict.fromkeys(each)) for each in zip(*tags, strict=True))
    rows = []
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w", strict_timestamps=False) as wheel:
        for file in package.files or ():
            if (name := name_in_wheel(file, stem)) and file.locate().is_file():
                wheel.write(file.locate(), name)
                known = f"{file.hash.mode}={file.hash.value},{file.size}" if file.hash else ","
                rows.append(f'"{name}",{known}\n')
        info = next(row for row in rows if ".dist-info/METADATA" in row).split('"')[1]
        record = str(Path(info).with_name("RECORD"))
        wheel.writestr(record, "".join([*rows, f"{record},,\n"]))


def name_in_wheel(file: PackagePath, stem: str) -> str | None:
    """Where a wheel keeps an installed file; None if installing makes it."""
    if file.suffix == ".pyc" or (file.name in NOT_CARRIED and "dist-info" in file.parent.name):
        return None
    if file.parts[0] != "..":
        return str(file)
    return f"{stem}.data/scripts/{file.name}" if file.parent.name == "bin" else None


@pytest.fixture
def offline(checkout: Any, wheels: Path) -> Iterator[Any]:
    """A copy of the repository where pip finds packages in the folder, and asks no index."""
    checkout.prefer(Path(sys.base_prefix) / "bin")
    checkout.environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_COMPILE": "1",
        "PIP_NO_INDEX": "1",
    }
    yield checkout
    shutil.rmtree(checkout.folder.parent)  # With its home, where Poetry keeps what it fetched.


class Index(BaseHTTPRequestHandler):
    """A package index (PEP 503 and 658) of a folder of wheels.

    Poetry locks for every platform: a package that this one lacks is there in a few versions and
    needs nothing. Of every other there is one version: where it leaves out one release of Python,
    Poetry could choose no other, so that which Pythons a package needs is not told.
    """

    wheels: Path

    def do_GET(self) -> None:
        kind, _, name = unquote(self.path).strip("/").partition("/")
        body = self.page(name) if kind == "simple" else self.file(name)
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if kind == "simple" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, name: str) -> bytes:
        project = name.replace("-", "_")
        files = [path.name for path in self.wheels.glob(f"{project}-*.whl")]
        files = files or [f"{project}-{v}-py3-none-any.whl" for v in ("0.99", "4.99", "999")]
        links = [
            f'<a href="/files/{quote(file)}#sha256={self.digest(file)}" '
            f'data-core-metadata="true">{file}</a><br>'
            for file in files
        ]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def digest(self, file: str) -> str:
        path = self.wheels / file
        return digest(path) if path.exists() else hashlib.sha256(self.file(file)).hexdigest()

    def file(self, name: str) -> bytes:
        path = self.wheels / name.removesuffix(".metadata")
        if not name.endswith(".metadata"):
            return path.read_bytes() if path.exists() else b"for another platform"
        if not path.exists():
            project, version = name.split("-")[:2]
            return f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode()
        with zipfile.ZipFile(path) as wheel:
            inside = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
            return re.sub(rb"(?m)^Requires-Python:.*\n", b"", wheel.read(inside))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@cache
def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- pip ----------------------------------------------------------------------------------------


@pytest.fixture
def environment(offline: Any) -> Any:
    """A copy of the repository with a new environment, made as the README meant it."""
    offline.run(offline.meant("python-version").replace("python3.11", PYTHON))
    offline.prefer(offline.folder / ".venv" / "bin")
    return offline


@needs_editables
def test_pip_installs_what_is_edited_tests_and_builds_it(environment: Any) -> None:
    environment.paste("pip-editable")
    assert {"avalan-slm", "rich", "onnxruntime"} <= installed(environment).keys()
    assert not installed(environment).keys() & {"torch", "pytest"}
    (environment.folder / "src" / "avalan" / "VERSION.txt").write_text("7.7.7\n")
    assert "7.7.7" in environment.run("avalan --version")

    environment.paste("pip-test")
    assert {"torch", "transformers", "pytest", "build"} <= installed(environment).keys()
    assert "passed" in environment.run("pytest tests/reflection")

    environment.paste("build")
    made = {path.name for path in (environment.folder / "dist").iterdir()}
    assert made == {"avalan_slm-7.7.7.tar.gz", "avalan_slm-7.7.7-py3-none-any.whl"}


@pytest.mark.skipif(shutil.which("python-3.11") is not None, reason="there is such a program")
def test_the_misprinted_python_is_not_a_program(offline: Any) -> None:
    assert "python-3.11" in offline.paste("python-version", code=127)


@needs_editables
def test_pip_takes_what_the_readme_gives_to_poetry(environment: Any) -> None:
    """Of a repository with no more than a name; the other index is accepted and not asked."""
    url = "https://github.com/huggingface/transformers"
    publish(environment.folder / "upstream")
    environment.run(f"git config --global url.{environment.folder}/upstream.insteadOf {url}")
    environment.run(environment.meant("poetry-git"))
    assert installed(environment)["transformers"] == "99"

    environment.run(environment.meant("poetry-index"))
    assert "avalan-slm" in installed(environment)


@needs("pip-compile")
@pytest.mark.parametrize("index", ["", "-index"])
def test_requirements_are_pinned_and_installed(environment: Any, index: str) -> None:
    """What is added to requirements.in comes out exact, with all that it needs, and goes in."""
    with (environment.folder / "requirements.in").open("a") as file:
        file.write("icdiff>=2\n")
    environment.paste(f"compile{index}")
    text = (environment.folder / "requirements.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(name): pin for name, pin in PIN.findall(text)}
    assert {"icdiff", "rich", "flatbuffers"} <= pinned.keys()

    environment.paste(f"pip-requirements{index}")
    assert pinned.items() <= installed(environment).items()


def installed(checkout: Any) -> dict[str, str]:
    """The packages of the environment, and their versions."""
    words = "import sys; from importlib.metadata import distributions\n"
    words += "for each in distributions(): print(f'{each.name}=={each.version}')"
    listed = checkout.run(f'.venv/bin/python -c "{words}"')
    return {canonicalize_name(name): version for name, version in PIN.findall(listed)}


def publish(folder: Path) -> None:
    """Make a git repository of a package called transformers, whose build needs nothing."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    who = "-c user.name=a -c user.email=a@example.org"
    subprocess.run(
        f"git init -q && git add . && git {who} commit -qm 1", cwd=folder, shell=True, check=True
    )


# --- Poetry -------------------------------------------------------------------------------------


@pytest.fixture
def poetry(offline: Any, wheels: Path) -> Iterator[Any]:
    """A copy of the repository for Poetry, which makes its environment in the folder."""
    handler = type("Handler", (Index,), {"wheels": wheels})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (offline.folder / "pyproject.toml").open("a", encoding="utf-8") as settings:
            settings.write('\n[[tool.poetry.source]]\nname = "here"\npriority = "primary"\n')
            settings.write(f'url = "http://127.0.0.1:{server.server_port}/simple/"\n')
        offline.environment |= {"POETRY_VIRTUALENVS_IN_PROJECT": "1"}
        yield offline
        server.shutdown()


@needs("poetry")
def test_poetry_locks_installs_and_runs_the_tests(poetry: Any) -> None:
    poetry.run("poetry check")
    poetry.paste("poetry-install")
    assert {"avalan-slm", "rich", "onnxruntime"} <= installed(poetry).keys()
    assert not installed(poetry).keys() & {"torch", "pytest"}
    assert __version__ in poetry.run("poetry run avalan --version")

    poetry.paste("poetry-cpu")
    assert {"torch", "transformers"} <= installed(poetry).keys()
    poetry.paste("poetry-extras")
    assert {"torch", "pytest", "pillow", "sentencepiece"} <= installed(poetry).keys()
    assert "passed" in poetry.paste("pytest", PYTEST_ADDOPTS="tests/reflection")
    poetry.paste("poetry-all")
    assert {"torch", "onnx", "pillow"} <= installed(poetry).keys()


@needs("poetry")
def test_what_poetry_installs_speaks_spanish(poetry: Any) -> None:
    poetry.paste("poetry-install")
    assert "Comandos" in poetry.run("poetry run avalan --locale es model --help")


@needs("poetry")
@pytest.mark.parametrize("block", ["poetry-git", "poetry-index"])
def test_poetry_installs_no_package_and_asks_no_other_index(poetry: Any, block: str) -> None:
    """Both are errata of the README."""
    told = poetry.paste(block, code=1)
    assert "No arguments expected" in told or 'option "--extra-index-url" does not exist' in told
