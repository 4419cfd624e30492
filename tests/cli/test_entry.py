"""The way in: `avalan` and `python -m avalan`, and Ctrl-C before and after the command itself."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Sends SIGINT to itself at the very moment a module is looked for.
INTERRUPT_AT = """
import os, signal, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Watch())
"""
START = "import sys; sys.argv = ['avalan', '--version']; from avalan.__main__ import main; "


def python(script: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["avalan.extras", "avalan.cli", "avalan.cli.console", "typing"])
def test_ctrl_c_while_the_command_line_loads_is_quiet(module: str) -> None:
    done = python(INTERRUPT_AT.format(module=module) + START + "sys.exit(main())")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_python_tidies_up_is_quiet() -> None:
    late = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT); "
    done = python(late + START + "sys.exit(main())")
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_while_the_demonstration_loads_is_quiet() -> None:
    run = "import runpy; runpy.run_module('avalan.cli.demo', run_name='__main__')"
    done = python(INTERRUPT_AT.format(module="avalan.retrieval.index") + run)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_that_the_parent_ignores_stays_ignored() -> None:
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = python(ignored + INTERRUPT_AT.format(module="avalan.cli") + START + "sys.exit(main())")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("avalan ")


def test_the_command_has_ctrl_c_to_itself() -> None:
    script = (
        "import signal, sys; from avalan import cli; from avalan.__main__ import main\n"
        "cli.main = lambda: signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "assert main() is True"
    )
    assert python(script).returncode == 0


def test_the_script_and_the_module_start_alike() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["avalan"] == "avalan.__main__:main"
    command = [sys.executable, "-m", "avalan", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("avalan ")
