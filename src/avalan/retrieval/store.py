"""The one SQLite file that an index is: how it is opened, and what can go wrong with it.

Write-ahead logging lets any number of processes read while one writes, and leaves a usable file
whenever a writer is killed.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from avalan import state
from avalan.errors import AvalanError, RetrievalError, StateError
from avalan.retrieval import tables

_BUSY_TIMEOUT_S = 10.0


def folder() -> Path:
    """Where named indexes lie; it may not exist yet."""
    return state.home() / "indexes"


def connect(path: Path, *, create: bool, any_version: bool) -> sqlite3.Connection:
    """Open the index at `path`.

    Args:
        create: make it if there is none.
        any_version: open an index of another version too, in order to rebuild it.

    Raises:
        RetrievalError: there is none, it is not an index, or it is of another version.
        StateError: it cannot be read or written.
    """
    with speaking(path):
        if not _exists(path):
            if not create:
                raise RetrievalError(
                    f"There is no index at {path}; make it with: {add_command(path)}"
                )
            _make_file(path)
        connection = _connected(_uri(path))
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            _check(connection, path, create=create, any_version=any_version)
        except BaseException:
            connection.close()
            raise
        return connection


def temporary() -> sqlite3.Connection:
    """An index that nobody else sees; SQLite keeps what exceeds its cache in an unlinked file."""
    connection = _connected("")
    tables.create(connection)
    return connection


def remove(path: Path) -> None:
    """Delete the index at `path` and what SQLite keeps beside it.

    Raises:
        RetrievalError: there is none, or it is somebody else's database. A damaged or empty one
            may be deleted.
        StateError: it cannot be deleted.
    """
    with speaking(path):
        if not _exists(path):
            raise RetrievalError(f"There is no index at {path}; see those there are: {LIST}")
        if _is_foreign(path):
            raise RetrievalError(
                f"The database at {path} is not an avalan index, so it is not deleted; "
                "if it is not needed, delete the file yourself."
            )
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


LIST = "avalan index list"


def add_command(path: Path, *options: str) -> str:
    """The command that fills the index at `path`."""
    name = ["--name", path.stem] if path.parent == folder() and path.stem != "default" else []
    return " ".join(["avalan index add PATH", *name, *options])


# --- opening --------------------------------------------------------------------------------


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_foreign(path: Path) -> bool:
    """Whether another program's tables are in the file."""
    if not path.is_file():
        return False
    with suppress(sqlite3.Error), closing(_connected(_uri(path))) as connection:
        tables_found = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        return bool(tables_found) and application_id != tables.APPLICATION_ID
    return False


def _make_file(path: Path) -> None:
    if path.parent == folder():
        state.folder(folder().name)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _uri(path: Path) -> str:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    # Readers of a write-ahead log write beside it; where they cannot, nobody else does either.
    return uri if os.access(path.parent, os.W_OK) else f"{uri}&immutable=1"


def _connected(uri: str) -> sqlite3.Connection:
    # The library serialises calls, so a worker thread may search what the caller opened.
    return sqlite3.connect(
        uri,
        uri=bool(uri),
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _check(connection: sqlite3.Connection, path: Path, *, create: bool, any_version: bool) -> None:
    found = tables.version(connection)
    has_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    if not has_tables:
        if not create:
            raise RetrievalError(f"The index at {path} is empty; fill it with: {add_command(path)}")
        connection.execute("PRAGMA journal_mode = WAL")
        with tables.transaction(connection):
            if not tables.version(connection):  # Another process may have been quicker.
                tables.create(connection)
        return
    if connection.execute("PRAGMA application_id").fetchone()[0] != tables.APPLICATION_ID:
        raise RetrievalError(f"The database at {path} is not an avalan index; choose another file.")
    if found != tables.VERSION and not any_version:
        raise RetrievalError(
            f"The index at {path} is of version {found} and this avalan reads version "
            f"{tables.VERSION}; rebuild it with: {add_command(path, '--rebuild')}"
        )


# --- what can go wrong ------------------------------------------------------------------------


@contextmanager
def speaking(path: Path | None) -> Iterator[None]:
    """Turn the failures of SQLite and of the file system into sentences."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        if (sentence := _sentence(name, _subject(path), error)) is None:
            raise
        raise sentence from None
    except OSError as error:
        raise StateError(
            f"{_subject(path)} cannot be reached ({error.strerror}); check the folder, or choose "
            "another with the environment variable AVALAN_HOME."
        ) from None


def _subject(path: Path | None) -> str:
    return f"The index at {path}" if path else "The temporary index"


def _sentence(name: str, subject: str, error: sqlite3.Error) -> AvalanError | None:
    kind = "_".join(name.split("_")[:2])
    if kind == "SQLITE_FULL":
        return StateError(
            f"{subject} has no room left on its disk; free some space and try again, what was "
            "there before is kept."
        )
    if kind in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return StateError(
            f"{subject} is being written by another process; try again when that has finished."
        )
    if kind in ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR"):
        return StateError(
            f"{subject} cannot be read or written ({error}); check its disk and permissions, or "
            "choose another folder with the environment variable AVALAN_HOME."
        )
    if kind in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return RetrievalError(
            f"{subject} is damaged or not a database ({error}); remove it with "
            "'avalan index remove' and its name, and add its documents again."
        )
    return None
