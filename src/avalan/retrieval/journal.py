"""How an index's file is kept whole: a write-ahead log while it is written, none at rest.

The log lets any number of processes read while one writes, but every reader needs room beside the
file for it. At rest the file is therefore in SQLite's older mode, in which reading needs no more
than to read: on a full disk, and where nothing may be written.
"""

import sqlite3
from contextlib import suppress
from time import monotonic, sleep

_PAUSE_S = 0.01


def log_ahead(connection: sqlite3.Connection, *, patience_s: float) -> None:
    """Write to a log from now on; does nothing if it is so already.

    Args:
        patience_s: how long to wait for others to let go of the file.

    Raises:
        sqlite3.OperationalError: there is no room for a log, or others keep the file busy.
    """
    deadline = monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Two that change the mode at once would wait for each other, so SQLite refuses one.
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or monotonic() > deadline:
                raise
        sleep(_PAUSE_S)


def close(connection: sqlite3.Connection) -> None:
    """Close the connection, and do away with the log if nobody else needs it.

    Whoever is last does it. Where it cannot be done, the log stays, and is read as before.
    """
    with suppress(sqlite3.Error):
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute("PRAGMA busy_timeout = 0")
            # The room that this needs on a full disk is what the log gives back.
            connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
