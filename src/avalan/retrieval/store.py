"""The one SQLite file that an index is: how it is opened, and what can go wrong with it."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from avalan import state
from avalan.errors import AvalanError, RetrievalError, StateError, reason_of
from avalan.locale import _, _n
from avalan.retrieval import journal, tables

_BUSY_TIMEOUT_S = 10.0
_LOG_INDEX_BYTES = 1 << 15


def folder() -> Path:
    """Where named indexes lie; it may not exist yet."""
    return state.home() / "indexes"


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the index at `path`.

    Args:
        create: make it if there is none.

    Raises:
        RetrievalError: there is none, it is not an index, or it is of another version.
        StateError: it cannot be read or written.
    """
    with speaking(path):
        is_new = not _exists(path)
        if is_new and not create:
            raise RetrievalError(
                "There is no index at {path}; make it with: {command}",
                path=path,
                command=add_command(path),
            )
        if is_new:
            _make_file(path)
        if not _is_database(path):
            raise _damaged(path, _("file is not a database"))
        try:
            return _opened(path, create=create)
        except BaseException:
            if is_new and not path.stat().st_size:
                discard(path)  # Of a disk without room for the tables, for example.
            raise


def needs_replacing(path: Path) -> bool:
    """Whether an index of ours is at `path` that is damaged or of another version.

    False where nothing is, and for somebody else's file, which is never replaced.

    Raises:
        StateError: the file cannot be read.
    """
    with speaking(path):
        if not _exists(path) or not path.stat().st_size:
            return False
        try:
            with closing(_connected(_uri(path))) as connection:
                return tables.are_ours(connection) and not tables.are_sound(connection)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.Error) and _kind(error) in _NOT_NOW:
                raise
            return _has_our_header(path)


def beside(path: Path) -> Path:
    """Where the index is made that will replace the one at `path`."""
    return path.with_name(f"{path.name}.{os.getpid()}.new")


def replace(path: Path, made: Path) -> None:
    """Put the index at `made`, which nobody has open, in the place of the one at `path`."""
    with speaking(path):
        for log in _logs(path):  # A log must not be taken for the new file's.
            log.unlink(missing_ok=True)
        made.replace(path)


def discard(path: Path) -> None:
    """Delete the file at `path`, if there is one, and what SQLite keeps beside it."""
    with speaking(path):
        for file in (path, *_logs(path)):
            file.unlink(missing_ok=True)


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
            raise RetrievalError(
                "There is no index at {path}; see those there are: {command}",
                path=path,
                command=LIST,
            )
        if _is_foreign(path):
            raise RetrievalError(
                "The database at {path} is not an avalan index, so it is not deleted; "
                "if it is not needed, delete the file yourself.",
                path=path,
            )
    discard(path)


LIST = "avalan index list"


def add_command(place: Path | str | None, *options: str) -> str:
    """The command that fills the index at `place`."""
    name: list[str] = []
    if isinstance(place, str):
        name = ["--name", f"'{place}'"]
    elif place and place.parent == folder() and place.stem != "default":
        name = ["--name", place.stem]
    return " ".join(["avalan index add", _("PATH"), *name, *options])


# --- opening --------------------------------------------------------------------------------


def _exists(path: Path) -> bool:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not is_file:
        sentence = _n(
            "There is a device or pipe at {path}, where an index would be a file; move it, or "
            "choose another name for the index."
        )
        if path.is_dir():
            sentence = _n(
                "There is a folder at {path}, where an index would be a file; move it, or choose "
                "another name for the index."
            )
        raise RetrievalError(sentence, path=path)
    return True


def _is_foreign(path: Path) -> bool:
    """Whether another program's tables are in the file."""
    with suppress(sqlite3.Error), closing(_connected(_uri(path))) as connection:
        return tables.are_foreign(connection)
    return False


def _is_database(path: Path) -> bool:
    """Whether the file is empty or begins as SQLite's do, which takes a few bytes for nothing.

    Source: https://www.sqlite.org/fileformat.html, "The Database Header".
    """
    return _header(path)[:16] in (b"", b"SQLite format 3\0")


def _has_our_header(path: Path) -> bool:
    """Whether the file says that it is an SQLite database of ours, however damaged the rest is."""
    application_id = int.from_bytes(_header(path)[68:72], "big")
    return _is_database(path) and application_id == tables.APPLICATION_ID


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(72)


def _logs(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _make_file(path: Path) -> None:
    if path.parent == folder():
        state.folder(folder().name)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _uri(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=rw"


def _connected(uri: str) -> sqlite3.Connection:
    # The library serialises calls, so a worker thread may search what the caller opened.
    return sqlite3.connect(
        uri,
        uri=bool(uri),
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _opened(path: Path, *, create: bool) -> sqlite3.Connection:
    try:
        return _checked(_uri(path), path, create=create)
    except sqlite3.OperationalError as error:
        # The file wants a log, and there is no room or no right to make one beside it. If none is
        # there, nobody is writing, and the file alone is the index.
        if create or _kind(error) not in _NOT_WRITABLE or _has_log(path):
            raise
        return _checked(f"{_uri(path)}&immutable=1", path, create=False)


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _checked(uri: str, path: Path, *, create: bool) -> sqlite3.Connection:
    connection = _connected(uri)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        _check(connection, path, create=create)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    if tables.are_foreign(connection):
        raise RetrievalError(
            "The database at {path} is not an avalan index; choose another file.", path=path
        )
    if not tables.are_there(connection):
        if not create:
            raise RetrievalError(
                "The index at {path} is empty; fill it with: {command}",
                path=path,
                command=add_command(path),
            )
        with tables.transaction(connection):
            if not tables.are_there(connection):  # Another process may have been quicker.
                tables.create(connection)
        return
    if (found := tables.version(connection)) != tables.VERSION:
        raise RetrievalError(
            "The index at {path} is of version {found} and this avalan reads version {read}; "
            "rebuild it with: {command}",
            path=path,
            found=found,
            read=tables.VERSION,
            command=add_command(path, "--rebuild"),
        )


# --- what can go wrong ------------------------------------------------------------------------

_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_NOT_WRITABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")
_NOT_NOW = (*_NOT_WRITABLE, "SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED")


@contextmanager
def writing(path: Path | None, connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction, during which others may read; failures become sentences."""
    with speaking(path):
        if not connection.in_transaction:
            journal.log_ahead(connection, patience_s=_BUSY_TIMEOUT_S)
        with tables.transaction(connection):
            yield


@contextmanager
def speaking(path: Path | None) -> Iterator[None]:
    """Turn the failures of SQLite and of the file system into sentences."""
    try:
        yield
    except sqlite3.Error as error:
        if sentence := _sentence(_kind(error), path, error):
            raise sentence from None
        # Damage has many faces; what has none of it is a mistake of ours.
        if path and needs_replacing(path):
            raise _damaged(path, str(error)) from None
        raise
    except UnicodeDecodeError:  # SQLite quotes in its message what it has found.
        raise _damaged(path, _("its tables are not legible")) from None
    except OSError as error:
        raise StateError(
            "{index} cannot be reached ({reason}); check the folder, or choose another with "
            "the environment variable AVALAN_HOME.",
            index=_subject(path),
            reason=reason_of(error),
        ) from None


def _kind(error: sqlite3.Error) -> str:
    """As in "SQLITE_IOERR", without what SQLite adds to it; "" for an error of Python's."""
    return "_".join((getattr(error, "sqlite_errorname", None) or "").split("_")[:2])


def _subject(path: Path | None) -> str:
    return _("The index at {path}", path=path) if path else _("The temporary index")


def _sentence(kind: str, path: Path | None, error: sqlite3.Error) -> AvalanError | None:
    index = _subject(path)
    if kind == "SQLITE_FULL" or (kind == "SQLITE_IOERR" and _is_full(path)):
        return StateError(
            "{index} has no room left on its disk; free some space and try again, what was "
            "there before is kept.",
            index=index,
        )
    if kind in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return StateError(
            "{index} is being written by another process; try again when that has finished.",
            index=index,
        )
    if kind in _NOT_WRITABLE:
        return StateError(
            "{index} cannot be read or written ({reason}); check its disk and permissions, or "
            "choose another folder with the environment variable AVALAN_HOME.",
            index=index,
            reason=reason_of(error),
        )
    if kind in _DAMAGED or "Could not decode" in str(error):
        return _damaged(path, str(error))
    return None


def _damaged(path: Path | None, how: str) -> RetrievalError:
    if path and path.is_file() and _has_our_header(path):
        sentence = _n("{index} is damaged or not a database ({how}); rebuild it with: {command}")
    else:
        sentence = _n(
            "{index} is damaged or not a database ({how}); remove it with 'avalan index remove' "
            "and its name, and add its documents again."
        )
    command = path and add_command(path, "--rebuild")
    return RetrievalError(sentence, index=_subject(path), how=how, command=command)


def _is_full(path: Path | None) -> bool:
    """Whether there is no room for a log's index, which SQLite reports as a failure to write."""
    if path is None:
        return False
    try:
        return shutil.disk_usage(path.parent).free < _LOG_INDEX_BYTES
    except OSError:
        return False
