"""The way into what `make run` does, as `avalan.__main__` is the way into the command."""

import sys

from avalan.__main__ import start

if __name__ == "__main__":
    sys.exit(start("avalan.cli.demonstration"))
