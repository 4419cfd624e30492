"""Build the wheel, weigh it, look inside, and run it apart from the checkout."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 45_000_000
UNWANTED = (".safetensors", ".pt", ".pyc", ".db")


def main() -> int:
    """Print what was found; the exit code is 1 if the wheel may not be published."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        with zipfile.ZipFile(wheel) as archive:
            complaints = inspect(wheel.stat().st_size, archive.namelist())
            archive.extractall(folder / "apart")
        complaints += run(folder / "apart")
        print(f"wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
    for complaint in complaints:
        print(f"wheel: {complaint}", file=sys.stderr)
    return bool(complaints)


def build(folder: Path) -> Path:
    """Without isolation: the build backend is in the `test` extra, so no network is needed."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run([*command, folder, ROOT], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def inspect(size: int, names: list[str]) -> list[str]:
    """What is wrong with a wheel of `size` bytes that holds `names`."""
    complaints = [f"holds {name}" for name in names if name.endswith(UNWANTED)]
    complaints += [f"holds {name}" for name in names if name.startswith(("tests/", "bench/"))]
    if size > MOST_BYTES:
        complaints.append(f"has {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}")
    if "avalan/py.typed" not in names:
        complaints.append("has no py.typed")
    return complaints


def run(folder: Path) -> list[str]:
    """What the unpacked wheel cannot do, with the packages of this environment."""
    environment = os.environ | {"PYTHONPATH": str(folder), "AVALAN_HOME": str(folder / "home")}
    script = "import avalan, sys; sys.exit(not avalan.__file__.startswith(sys.argv[1]))"
    commands = [
        [sys.executable, "-c", script, str(folder)],
        [sys.executable, "-m", "avalan", "--help"],
        [sys.executable, "-m", "avalan", "model", "run", "bundled", "Hello", "--quiet"],
    ]
    done = [
        subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        for command in commands
    ]
    return [f"fails: {each.args[1:]}: {each.stderr.strip()}" for each in done if each.returncode]


if __name__ == "__main__":
    sys.exit(main())
