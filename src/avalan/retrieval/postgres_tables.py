"""A PostgreSQL database that holds an index: how it is reached, its tables, and what can go wrong.

The tables of an index lie in a schema of their own, so that a database may have several.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from avalan.errors import AvalanError, ConfigurationError, RetrievalError, StateError, reason_of
from avalan.locale import _
from avalan.retrieval import store

Connection = psycopg.Connection[Any]

VERSION = 1
"""Of the tables below, and of how text is cut into chunks and written; another is not read."""

_TABLES = (
    # The stemmer of SQLite's tokenizer, and no stop words: `query` leaves out those of a question.
    "CREATE TEXT SEARCH DICTIONARY stem (TEMPLATE = snowball, LANGUAGE = porter)",
    'CREATE TEXT SEARCH CONFIGURATION words (PARSER = "default")',
    """ALTER TEXT SEARCH CONFIGURATION words
    ADD MAPPING FOR asciiword, word, numword, uint WITH stem""",
    "CREATE TABLE about(version integer, updated timestamptz, next_passage bigint)",
    """CREATE TABLE documents(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        source text COLLATE "C" NOT NULL,
        root text NOT NULL,         -- the folder it was found through; '' if named itself
        offsets_in text NOT NULL,   -- 'file' or 'extracted'
        encoding text NOT NULL,     -- of the bytes that offsets count
        digest bytea NOT NULL,      -- SHA-256 of the file
        size_bytes bigint NOT NULL,
        first_passage bigint NOT NULL,  -- number in passages; a document's are consecutive
        num_passages bigint NOT NULL DEFAULT 0,
        num_embedded bigint NOT NULL DEFAULT 0,  -- the first so many have a vector
        num_words bigint NOT NULL DEFAULT 0,
        EXCLUDE USING hash (source WITH =)  -- a path may be longer than a btree's rows
    )""",
    # A passage is kept whole in its page, where a search reads its words at once.
    """CREATE TABLE passages(
        number bigint PRIMARY KEY, document bigint NOT NULL, heading text NOT NULL,
        text text NOT NULL, start_byte bigint NOT NULL, end_byte bigint NOT NULL,
        locator text NOT NULL, num_words integer NOT NULL,
        words tsvector NOT NULL  -- those of the file's name and the headings have weight A
    ) WITH (toast_tuple_target = 8160)""",
    "CREATE INDEX ON passages USING gin(words)",
    """CREATE TABLE extracts(
        document bigint, position integer, text text NOT NULL, PRIMARY KEY(document, position)
    )""",
    "CREATE TABLE embedding(name text NOT NULL, fingerprint text NOT NULL, dimension integer)",
    # A number never comes again, not even after a rebuild: a vector that is late would go astray.
    f"INSERT INTO about VALUES ({VERSION}, now(), extract(epoch FROM clock_timestamp()) * 1e6)",
)
_PATIENCE = "10s"
_CONNECT_S = 10
_OLDEST_PGVECTOR = (0, 7)
"""The first with half precision."""

# --- addresses ------------------------------------------------------------------------------

_OURS = re.compile(r"(?<=[?&])(index|exact)=([^&]*)&?")
_SECRET = re.compile(r"(?<=//)([^:@/]*):.*(?=@)|(?<=[?&])(?:ssl)?password=[^&]*&?")
_NAME = re.compile(r"[a-z0-9_]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an index is: postgresql://user:password@host:port/database?index=name&exact=1."""

    place: str
    """What a person may see."""
    options: dict[str, Any] = field(repr=False)
    """As libpq calls them."""
    schema: str
    """Which holds the tables, so that a database may have several indexes."""
    exact: bool
    """Whether graphs are passed over."""

    @classmethod
    def parse(cls, address: str) -> Self:
        """Raises ConfigurationError: it is no address, or its index has no possible name."""
        place = _SECRET.sub(r"\1", address).rstrip("?&")
        ours = dict(_OURS.findall(address))
        name = ours.get("index")
        if name is not None and not _NAME.fullmatch(name):
            raise ConfigurationError(
                "An index in a database cannot be called {name!r}; use up to 40 small letters, "
                "digits and '_'.",
                name=name,
            )
        try:
            options = conninfo_to_dict(_OURS.sub("", address).rstrip("?&"))
        except psycopg.Error:  # It quotes what may be the password.
            raise ConfigurationError(
                "{place} is not the address of a database; write it as in "
                "postgresql://user@host:5432/database, with %40 for an @ in a password.",
                place=place,
            ) from None
        return cls(
            place=place,
            options={"connect_timeout": _CONNECT_S, "application_name": "avalan"} | options,
            schema=f"avalan_{name}" if name else "avalan",
            exact=ours.get("exact", "0") not in ("0", ""),
        )


def address_of(address: str, schema: str) -> str:
    """That of the index with the tables in `schema`, in the database at `address`."""
    database = _OURS.sub("", address).rstrip("?&")
    name = schema.removeprefix("avalan").removeprefix("_")
    if not name:
        return database
    return f"{database}{'&' if '?' in database else '?'}index={name}"


# --- connections ----------------------------------------------------------------------------


def connect(address: Address) -> Connection:
    """A connection that finds the index's tables, if there are any.

    Raises:
        StateError: there is none to be had.
    """
    try:
        connection = psycopg.connect(**address.options, autocommit=True)
    except psycopg.Error as error:
        raise _unconnected(address, error) from None
    with speaking(address.place):
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (_PATIENCE,))
        search_in(connection, address.schema)
    return connection


def search_in(connection: Connection, schema: str, *, once: bool = False) -> None:
    """Take tables from `schema`, and what is pgvector's from wherever that is installed.

    Args:
        once: until the transaction ends.
    """
    sql = (
        "SELECT set_config('search_path', concat_ws(', ', %s::text, (SELECT quote_ident(nspname) "
        "FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace "
        "WHERE extname = 'vector')), %s)"
    )
    connection.execute(sql, (schema, once))


@contextmanager
def alone(connection: Connection, address: Address) -> Iterator[None]:
    """A transaction beside which no other writes to the index; failures become sentences."""
    with speaking(address.place), connection.transaction():
        sql = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
        connection.execute(sql, (address.schema,))
        yield


# --- tables ---------------------------------------------------------------------------------


def check(connection: Connection, address: Address, *, create: bool, rebuild: bool) -> bool:
    """Whether the tables are of this version; where there are none, make them if `create` says so.

    Raises:
        RetrievalError: there are none, or of another version and `rebuild` does not allow that.
    """
    found = version(connection, address)
    if found is None and create:
        with alone(connection, address):
            if version(connection, address) is None:  # Another process may have been quicker.
                make(connection, address, address.schema)
        return True
    if found is None:
        raise RetrievalError(
            "There is no index at {path}; make it with: {command}",
            path=address.place,
            command=store.add_command(address.place),
        )
    if found != VERSION and not rebuild:
        raise RetrievalError(
            "The index at {path} is of version {found} and this avalan reads version {read}; "
            "rebuild it with: {command}",
            path=address.place,
            found=found,
            read=VERSION,
            command=store.add_command(address.place, "--rebuild"),
        )
    return found == VERSION


def version(connection: Connection, address: Address) -> int | None:
    """Of the tables; None where there are none.

    Raises:
        RetrievalError: they are another program's.
    """
    sql = (
        "SELECT count(*), count(*) FILTER (WHERE relname = 'about') FROM pg_class "
        "WHERE relnamespace = to_regnamespace(%s)"
    )
    ((num, num_about),) = connection.execute(sql, (address.schema,)).fetchall()
    if not num:
        return None
    if num_about:
        with suppress(errors.UndefinedColumn):
            ((found,),) = connection.execute(f"SELECT version FROM {address.schema}.about")
            return int(found)
    raise RetrievalError(
        "The tables in the schema {schema} of {path} are not an avalan index; choose another "
        "name, as in: ?index=notes",
        schema=address.schema,
        path=address.place,
    )


def make(connection: Connection, address: Address, schema: str) -> None:
    """Make the tables, and use them until the transaction ends."""
    _require_pgvector(connection, address)
    sql = "SELECT to_regnamespace(%s) IS NOT NULL"
    if connection.execute(sql, (schema,)).fetchone() == (False,):
        connection.execute(f"CREATE SCHEMA {schema}")
    search_in(connection, address.schema)
    search_in(connection, schema, once=True)
    for statement in _TABLES:
        connection.execute(statement)
    make_vectors(connection, 1)


def make_vectors(connection: Connection, dimension: int) -> None:
    """Make the table of vectors, in place of the one there is."""
    connection.execute("DROP TABLE IF EXISTS vectors")
    connection.execute(
        f"CREATE TABLE vectors(number bigint PRIMARY KEY, value halfvec({dimension})) "
        "WITH (toast_tuple_target = 8160)"
    )


def make_graph(connection: Connection) -> None:
    """Make the graph that finds the nearest vectors, where there is none."""
    sql = "CREATE INDEX IF NOT EXISTS graph ON vectors USING hnsw(value halfvec_ip_ops)"
    connection.execute(sql)


def _require_pgvector(connection: Connection, address: Address) -> None:
    sql = "SELECT installed_version FROM pg_available_extensions WHERE name = 'vector'"
    row = connection.execute(sql).fetchone()
    if row is None:
        raise StateError(
            "The server of {path} has no pgvector, which keeps the vectors; install it there, "
            "for example with: apt-get install postgresql-{major}-pgvector",
            path=address.place,
            major=connection.info.server_version // 10_000,
        )
    if row[0] is None:
        try:
            with connection.transaction():
                connection.execute("CREATE EXTENSION vector SCHEMA public")
        except errors.InsufficientPrivilege:
            raise StateError(
                "This role may not add pgvector to {path}; have the database's owner run: "
                "CREATE EXTENSION vector",
                path=address.place,
            ) from None
        row = connection.execute(sql).fetchone()
    found = str(row and row[0])
    if tuple(map(int, found.split(".")[:2])) < _OLDEST_PGVECTOR:
        raise StateError(
            "The database at {path} has pgvector {found}, and an index needs 0.7; install that on "
            "the server, then run: ALTER EXTENSION vector UPDATE",
            path=address.place,
            found=found,
        )


# --- what can go wrong ------------------------------------------------------------------------


@contextmanager
def speaking(place: str) -> Iterator[None]:
    """Turn the failures of psycopg into sentences."""
    try:
        yield
    except psycopg.Error as error:
        if sentence := _sentence(place, error):
            raise sentence from None
        raise


def _sentence(place: str, error: psycopg.Error) -> AvalanError | None:
    index, reason = _("The index at {path}", path=place), reason_of(error)
    match error:
        case errors.DiskFull():
            return StateError(
                "{index} has no room left on its disk; free some space and try again, what was "
                "there before is kept.",
                index=index,
            )
        case errors.LockNotAvailable() | errors.DeadlockDetected():
            return StateError(
                "{index} is being written by another process; try again when that has finished.",
                index=index,
            )
        case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
            return StateError(
                "{index} cannot be read or written ({reason}); have its owner grant that, or "
                "connect as another role.",
                index=index,
                reason=reason,
            )
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.InvalidSchemaName():
            return RetrievalError(
                "{index} is gone, or its tables are not those that were made ({reason}); remove "
                "what is left of it, and make it with: {command}",
                index=index,
                reason=reason,
                command=store.add_command(place),
            )
        case errors.DataException():
            return RetrievalError(
                "{index} cannot hold these vectors ({reason}); make it again with: {command}",
                index=index,
                reason=reason,
                command=store.add_command(place, "--rebuild"),
            )
        case psycopg.OperationalError():
            return _unreached(place, reason)
    return None


def _unconnected(address: Address, error: psycopg.Error) -> StateError:
    """Why there is no connection: what the server says of the last address that was tried."""
    reason = reason_of(Exception(str(error).rpartition(" failed: ")[2])).removeprefix("FATAL:  ")
    if "password" in reason:
        return StateError(
            "The database at {path} refuses the password ({reason}); give the right one in the "
            "address, in PGPASSWORD or in ~/.pgpass.",
            path=address.place,
            reason=reason,
        )
    if reason.endswith("exist"):
        return StateError(
            "The database at {path} cannot be opened ({reason}); check the address, or make what "
            "is missing with createdb or createuser.",
            path=address.place,
            reason=reason,
        )
    return _unreached(address.place, reason)


def _unreached(place: str, reason: str) -> StateError:
    return StateError(
        "The database at {path} cannot be reached ({reason}); check the address, and that its "
        "server runs. What was stored is kept.",
        path=place,
        reason=reason,
    )
