"""Print the requirement of the `test` extra for one package: `pinned.py torch`."""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirement(package: str) -> str:
    """The line of the extra that names `package`."""
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    found: str = next(line for line in extras["test"] if re.match(rf"{package}\b", line))
    return found


if __name__ == "__main__":
    print(requirement(sys.argv[1]))
