"""For the blocks about the repository: a copy of it, in which they are pasted into a shell."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
_KEPT = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")


class Checkout:
    """A copy of the repository, and a person with a fresh home who works in it.

    Attributes:
        folder: the copy.
        environment: what a shell in it knows. No terminal is there to answer on.
    """

    def __init__(self, folder: Path, home: Path, seed_readme: ModuleType) -> None:
        self.folder, self._commands = folder, seed_readme.commands()
        self._results = seed_readme.results()
        self.environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.environment["HOME"] = str(home)

    def paste(self, block: str, *, code: int = 0, **environment: str) -> str:
        """Run a block of the README; what it printed."""
        return self.run(self._commands[block], code=code, **environment)

    def meant(self, block: str) -> str:
        """What an erratum says that its block should have been: the first words in backquotes."""
        found = re.search("`(.+?)`", self._results[block]["note"])
        assert found
        return found[1]

    def run(self, words: str, *, code: int = 0, **environment: str) -> str:
        """Run any words; `code` is what the shell must end with."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", words],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert done.returncode == code, done.stdout[-4000:]
        return done.stdout

    def prefer(self, *folders: Path) -> None:
        """Put these folders of programs before all others."""
        self.environment["PATH"] = os.pathsep.join([*map(str, folders), self.environment["PATH"]])


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of the working tree, without what git ignores."""
    if not (ROOT / ".git").exists():
        pytest.skip("only in a git checkout")
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folder, home = tmp_path / "checkout", tmp_path / "home"
    home.mkdir()
    for name in listed.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    made = Checkout(folder, home, _seed_readme())
    made.prefer(Path(sys.executable).parent)
    return made


def _seed_readme() -> ModuleType:
    path = ROOT / "scripts" / "seed_readme.py"
    spec = importlib.util.spec_from_file_location("seed_readme", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
