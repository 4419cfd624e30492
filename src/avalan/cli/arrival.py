"""What has to be downloaded before a command can go on, shown on its way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avalan import extras
from avalan.cli.console import Console

# As in `avalan.model.bundled.RESERVED`, whose package is too heavy for `--help`.
RESERVED = ("bundled", "embedder", "reader", "rules")


@contextmanager
def arriving(name: str | None, console: Console) -> Iterator[None]:
    """Show the download of the model called `name`, if it happens inside.

    What ships or lies on the disk does not pay for what would show it.
    """
    if name is None or name in RESERVED or Path(name).expanduser().exists():
        yield
        return
    with extras.load("avalan.cli.display.download").shown(console):
        yield
