"""The tables of an index, and the rows that a document is."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from avalan import extras
from avalan.retrieval.scripts import spaced

if TYPE_CHECKING:  # Whoever searches need not wait for what reads documents.
    from avalan.retrieval.documents import Document

VERSION = 3
"""Of the tables below, and of how text is cut into chunks and written; another is not read."""

APPLICATION_ID = 0x61766C6E  # "avln"

_TABLES = (
    """CREATE TABLE documents(
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL UNIQUE,
        root TEXT NOT NULL,         -- the folder it was found through; '' if named itself
        offsets_in TEXT NOT NULL,   -- 'file' or 'extracted'
        encoding TEXT NOT NULL,     -- of the bytes that offsets count
        digest BLOB NOT NULL,       -- SHA-256 of the file
        size_bytes INTEGER NOT NULL,
        first_passage INTEGER NOT NULL,  -- rowid in passages; a document's are consecutive
        num_passages INTEGER NOT NULL,
        num_embedded INTEGER NOT NULL DEFAULT 0  -- the first so many have a vector
    )""",
    # The only copy of a passage's text is the full-text table's own, as `scripts.spaced` writes it.
    """CREATE VIRTUAL TABLE passages USING fts5(
        name, heading, text, document UNINDEXED, start_byte UNINDEXED, end_byte UNINDEXED,
        locator UNINDEXED,
        tokenize = 'porter unicode61 remove_diacritics 2'
    )""",
    """CREATE TABLE extracts(
        document INTEGER NOT NULL, position INTEGER NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY(document, position)
    ) WITHOUT ROWID""",
    # The vector of the passage `first` and of those that follow, as `vectors.packed` writes them.
    "CREATE TABLE vectors(first INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE embedding(name TEXT NOT NULL, fingerprint TEXT NOT NULL, dimension INTEGER)",
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database; part of the transaction that is open, if one is."""
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def drop(connection: sqlite3.Connection) -> None:
    """Drop every table, of whatever version."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY sql LIKE '%VIRTUAL%' DESC"
    for (name,) in connection.execute(query).fetchall():
        # A full-text table takes its shadow tables with it.
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')


def version(connection: sqlite3.Connection) -> int:
    """The version of the tables; 0 where there are none yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def are_there(connection: sqlite3.Connection) -> bool:
    """Whether there are tables, whoever made them."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def are_ours(connection: sqlite3.Connection) -> bool:
    """Whether the tables, of whatever version, are our own."""
    return _application_id(connection) == APPLICATION_ID


def are_foreign(connection: sqlite3.Connection) -> bool:
    """Whether the file belongs to another program; one without tables and name is nobody's."""
    return not are_ours(connection) and (are_there(connection) or _application_id(connection) != 0)


def _application_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def are_sound(connection: sqlite3.Connection) -> bool:
    """Whether the tables are those of this version, and all that is in them is in order.

    Raises:
        sqlite3.DatabaseError: they are damaged, and so much that this cannot be said otherwise.
    """
    if version(connection) != VERSION or not set(_TABLES) <= _schema(connection):
        return False
    connection.execute("SELECT * FROM passages LIMIT 1").fetchall()
    return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")


def _schema(connection: sqlite3.Connection) -> set[str]:
    return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, also inside another transaction."""
    inner = connection.in_transaction
    connection.execute("SAVEPOINT step" if inner else "BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("RELEASE step" if inner else "COMMIT")
    except BaseException:
        # After some failures, a full disk among them, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK TO step" if inner else "ROLLBACK")
        raise


def is_unchanged(connection: sqlite3.Connection, document: "Document", root: str) -> bool:
    """Whether the document is there with this content; `root` is noted anew."""
    sql = "SELECT root FROM documents WHERE source = ? AND digest = ?"
    row = connection.execute(sql, (document.source, document.digest)).fetchone()
    if row and row[0] != root:
        sql = "UPDATE documents SET root = ? WHERE source = ?"
        connection.execute(sql, (root, document.source))
    return row is not None


def insert(connection: sqlite3.Connection, document: "Document", root: str) -> int:
    """Store a document, found through the folder `root`; how many passages it has."""
    sql = "SELECT rowid FROM passages ORDER BY rowid DESC LIMIT 1"
    last = connection.execute(sql).fetchone()
    first = last[0] + 1 if last else 1
    values = (
        document.source,
        root,
        document.offsets_in,
        document.offset_encoding,
        document.digest,
        document.size_bytes,
        first,
    )
    number = connection.execute(_INSERT_DOCUMENT, values).lastrowid
    rowid = first
    name = spaced(document.path.stem)
    blocks = extras.load("avalan.retrieval.rows").blocks
    for position, (text, rows) in enumerate(blocks(document)):
        if document.offsets_in == "extracted":
            sql = "INSERT INTO extracts VALUES (?, ?, ?)"
            connection.execute(sql, (number, position, text))
        for heading, passage, *where in rows:
            row = (rowid, number, name, spaced(heading), spaced(passage), *where)
            connection.execute(_INSERT_PASSAGE, row)
            rowid += 1
    sql = "UPDATE documents SET num_passages = ? WHERE id = ?"
    connection.execute(sql, (rowid - first, number))
    return rowid - first


_INSERT_DOCUMENT = (
    "INSERT INTO documents(source, root, offsets_in, encoding, digest, size_bytes, first_passage, "
    "num_passages) VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
)
_INSERT_PASSAGE = (
    "INSERT INTO passages(rowid, document, name, heading, text, start_byte, end_byte, "
    "locator) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def forget(connection: sqlite3.Connection, source: str) -> bool:
    """Remove the document at `source`; whether there was one."""
    sql = "SELECT id, first_passage, num_passages FROM documents WHERE source = ?"
    row = connection.execute(sql, (source,)).fetchone()
    if row is None:
        return False
    number, first, num_passages = row
    last = first + num_passages - 1
    connection.execute("DELETE FROM passages WHERE rowid BETWEEN ? AND ?", (first, last))
    connection.execute("DELETE FROM vectors WHERE first BETWEEN ? AND ?", (first, last))
    connection.execute("DELETE FROM extracts WHERE document = ?", (number,))
    connection.execute("DELETE FROM documents WHERE id = ?", (number,))
    return True
