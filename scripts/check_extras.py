"""Fail if the extra `all` cannot be resolved beside the base install (pip's dry run).

Without a package index there is nothing to resolve against: then the reason is printed and the
check passes.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """The exit code is 1 if an index answers and the extra does not resolve."""
    done = dry_run("--editable", f"{ROOT}[all]")
    if done.returncode == 0:
        print("extras: all resolves")
        return 0
    if dry_run("--ignore-installed", "--no-deps", "pip").returncode != 0:
        print("extras: not checked, because no package index can be reached")
        return 0
    print(f"extras: all does not resolve:\n{done.stderr}", file=sys.stderr)
    return 1


def dry_run(*words: str) -> "subprocess.CompletedProcess[str]":
    """What pip would install, installing nothing."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
