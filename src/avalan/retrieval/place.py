"""Where an index is: a file of this machine, by its name, or a database, by its address."""

import re
from pathlib import Path

from avalan import extras
from avalan.errors import ConfigurationError
from avalan.retrieval import store
from avalan.retrieval.backend import Backend
from avalan.retrieval.sqlite import SqliteBackend

DEFAULT_INDEX = "default"
_POSTGRES = ("postgresql://", "postgres://")
_INDEX_NAME = re.compile(r"\w[\w.-]{0,99}")


def located(name: str = DEFAULT_INDEX) -> Path | str:
    """Where the index called `name` is: a file, as in `named`, or the address that it is.

    Raises:
        ConfigurationError: the name cannot be a file's.
    """
    return name if name.startswith(_POSTGRES) else named(name)


def named(name: str = DEFAULT_INDEX) -> Path:
    """Where the index called `name` lies, whether there is one or not.

    Raises:
        ConfigurationError: the name cannot be a file's.
    """
    if not _INDEX_NAME.fullmatch(name):
        raise ConfigurationError(
            "An index cannot be called {name!r}; use letters, digits, '_', '-' and '.', or give "
            "the address of a database: postgresql://…",
            name=name,
        )
    return store.folder() / f"{name}.sqlite"


def names() -> list[str]:
    """The names of the indexes there are on this machine."""
    return sorted(path.stem for path in store.folder().glob("*.sqlite"))


def in_database(address: str) -> list[str]:
    """The addresses of the indexes in the database at `address`.

    Raises:
        ConfigurationError: it is no address.
        StateError: it cannot be reached.
    """
    if not address.startswith(_POSTGRES):
        raise ConfigurationError(
            "{address!r} is no address of a database; write it as in postgresql://user@host/name.",
            address=address,
        )
    found: list[str] = extras.load("avalan.retrieval.postgres", extra="postgres").addresses(address)
    return found


def open_backend(place: Path | str, *, create: bool, rebuild: bool) -> Backend:
    """The database of the index at `place`: a file's path, or an address."""
    if isinstance(place, str) and place.startswith(_POSTGRES):
        postgres = extras.load("avalan.retrieval.postgres", extra="postgres")
        backend: Backend = postgres.PostgresBackend.open(place, create=create, rebuild=rebuild)
        return backend
    return SqliteBackend.open(Path(place), create=create, rebuild=rebuild)
