"""An index in a PostgreSQL database, for many machines: its full text, and pgvector's vectors.

A passage's score is the same BM25 as in `sqlite`, computed in SQL. Vectors are stored in half
precision there as here, so that exact searches rank alike; where there are many, a graph finds the
nearest (HNSW, Malkov and Yashunin, 2018, arXiv:1603.09320), a little less surely.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Self
from unicodedata import normalize

from psycopg.pq import TransactionStatus

from avalan.retrieval import postgres_tables as tables
from avalan.retrieval import query
from avalan.retrieval.backend import Embedding, Lexical, Totals, embedded_text, most_bm25
from avalan.retrieval.documents import Document
from avalan.retrieval.entities import DocumentInfo, OffsetsIn, Passage
from avalan.retrieval.postgres_tables import Address, speaking
from avalan.retrieval.rows import blocks
from avalan.retrieval.scripts import phrases, spaced, without_vowel_signs

if TYPE_CHECKING:
    from avalan.retrieval.vectors import Vectors

_MANY, _WIDEST = 10_000, 4000
"""Vectors from which on there is a graph, and the dimension that pgvector's may have."""
_LEAST_BREADTH, _MOST_BREADTH = 100, 1000
"""`hnsw.ef_search`: candidates that a search through the graph keeps; pgvector allows no more."""
_NUM_SCORED = 2000
"""Passages that are scored by words: those with the rarest of them."""
_LONGEST_WORD, _LONGEST_TITLE = 500, 10_000
"""Characters that are searched of a word (PostgreSQL takes 2 KB), and of a passage's headings."""

_PASSAGES = (
    "SELECT p.number, d.source, p.start_byte, p.end_byte, p.text, p.heading, d.offsets_in, "
    "d.encoding, p.locator FROM passages AS p JOIN documents AS d ON d.id = p.document "
)
_FIELDS = ("source", "start", "end", "text", "heading", "offsets_in", "encoding", "locator")
_INSERT_PASSAGE = (
    "INSERT INTO passages VALUES (%s, %s, %s, %s, %s, %s, %s, %s, "
    "setweight(to_tsvector('words', %s), 'A') || to_tsvector('words', %s))"
)


def addresses(address: str) -> list[str]:
    """Those of all indexes in the database at `address`, by name.

    Raises:
        ConfigurationError: it is no address.
        StateError: it cannot be reached.
    """
    database = Address.parse(address)
    connection = tables.connect(database)
    try:
        with speaking(database.place):
            sql = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^avalan(_|$)' ORDER BY nspname"
            schemas = [schema for (schema,) in connection.execute(sql)]
    finally:
        connection.close()
    return [tables.address_of(address, schema) for schema in schemas]


def remove(address: str) -> None:
    """Delete the index at `address`, with its tables.

    Raises:
        RetrievalError: there is none, or the tables are somebody else's.
        StateError: it cannot be reached or deleted.
    """
    backend = PostgresBackend.open(address, rebuild=True)
    try:
        backend.drop()
    finally:
        backend.close()


class PostgresBackend:
    """See `Backend`; it serves one thread at a time."""

    def __init__(self, address: Address) -> None:
        self.place = address.place
        self._address = address
        self._is_ours = True  # The tables are of this version; others wait for `anew`.
        self._connection = tables.connect(address)

    @classmethod
    def open(cls, address: str, *, create: bool = False, rebuild: bool = False) -> Self:
        """The index at `address`; see `Index.open`, and `Address.parse` for what it may say.

        Args:
            rebuild: take one of another version too; it is empty until `anew`.
        """
        backend = cls(Address.parse(address))
        try:
            with speaking(backend.place):
                backend._is_ours = tables.check(
                    backend._connection, backend._address, create=create, rebuild=rebuild
                )
        except BaseException:
            backend.close()
            raise
        return backend

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        self._connection.close()

    def drop(self) -> None:
        """Delete the index with its tables; only `close` may come after."""
        with tables.alone(self._live(), self._address):
            self._connection.execute(f"DROP SCHEMA {self._address.schema} CASCADE")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction; others that write wait for it, who reads does not."""
        connection = self._live()
        if connection.info.transaction_status == TransactionStatus.INTRANS:
            with speaking(self.place), connection.transaction():
                yield
            return
        with tables.alone(connection, self._address):
            yield
            connection.execute("UPDATE about SET updated = now()")

    @contextmanager
    def anew(self) -> Iterator[None]:
        """See `Backend.anew`: other tables are filled, and take the place of those there were."""
        schema, was_ours = self._address.schema, self._is_ours
        made = f"new_{schema}"
        try:
            with tables.alone(self._live(), self._address):
                tables.make(self._connection, self._address, made)
                self._is_ours = True
                yield
                self._connection.execute(f"DROP SCHEMA {schema} CASCADE")
                self._connection.execute(f"ALTER SCHEMA {made} RENAME TO {schema}")
        except BaseException:
            self._is_ours = was_ours
            raise

    def _live(self) -> tables.Connection:
        """The connection, another one where the last was lost."""
        if self._connection.broken:
            self._connection = tables.connect(self._address)
        return self._connection

    def _all(self, sql: str, values: Any = ()) -> list[Any]:
        with speaking(self.place):
            return self._live().execute(sql, values).fetchall()

    # --- documents --------------------------------------------------------------------------

    def documents(self) -> list[DocumentInfo]:
        """All of them, by source."""
        if not self._is_ours:
            return []
        sql = "SELECT source, num_passages, size_bytes, offsets_in FROM documents ORDER BY source"
        return [
            DocumentInfo(source=row[0], num_passages=row[1], size_bytes=row[2], offsets_in=row[3])
            for row in self._all(sql)
        ]

    def totals(self) -> Totals:
        """How much there is."""
        sql = (
            "SELECT count(*), coalesce(sum(num_passages), 0)::bigint, "
            "coalesce(sum(num_embedded), 0)::bigint, (SELECT sum(pg_total_relation_size(oid)) "
            "FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"
            "::bigint, (SELECT extract(epoch FROM updated) FROM about)::float8 FROM documents"
        )
        row = self._all(sql)[0] if self._is_ours else (0, 0, 0, 0, 0.0)
        return Totals(
            num_documents=row[0],
            num_passages=row[1],
            num_embedded=row[2],
            size_bytes=row[3],
            updated=row[4],
        )

    def sources_below(self, prefix: str) -> list[tuple[str, str]]:
        """(source, root) of the documents whose source begins with `prefix`, by source."""
        if not self._is_ours:
            return []
        sql = "SELECT source, root FROM documents WHERE starts_with(source, %s) ORDER BY source"
        return self._all(sql, (prefix,))

    def is_unchanged(self, document: Document, root: str) -> bool:
        """Whether the document is there with this content; `root` is noted anew."""
        sql = "SELECT root FROM documents WHERE source = %s AND digest = %s"
        rows = self._all(sql, (document.source, document.digest))
        if rows and rows[0][0] != root:
            sql = "UPDATE documents SET root = %s WHERE source = %s"
            with self.writing():
                self._connection.execute(sql, (root, document.source))
        return bool(rows)

    def insert(self, document: Document, root: str) -> int:
        """Store a document, found through the folder `root`; how many passages it has."""
        sql = (
            "INSERT INTO documents(source, root, offsets_in, encoding, digest, size_bytes, "
            "first_passage) SELECT %s, %s, %s, %s, %s, %s, next_passage FROM about "
            "RETURNING id, first_passage"
        )
        content = (document.offsets_in, document.offset_encoding, document.digest)
        values = (document.source, root, *content, document.size_bytes)
        ((number, first),) = self._all(sql, values)
        numbers, num_words = count(first), 0
        with speaking(self.place), self._connection.cursor() as cursor:
            for position, (text, rows) in enumerate(blocks(document)):
                if document.offsets_in == "extracted":
                    sql = "INSERT INTO extracts VALUES (%s, %s, %s)"
                    cursor.execute(sql, (number, position, text))
                passages = []
                for row in rows:
                    title, text = f"{document.path.stem} {row[0]}", row[1]
                    above, num_above = _searched(title[:_LONGEST_TITLE])
                    words, num = _searched(text)
                    num_words += num_above + num
                    passages.append((next(numbers), number, *row, num_above + num, above, words))
                cursor.executemany(_INSERT_PASSAGE, passages)
            num_passages = next(numbers) - first
            sql = "UPDATE documents SET num_passages = %s, num_words = %s WHERE id = %s"
            cursor.execute(sql, (num_passages, num_words, number))
            cursor.execute("UPDATE about SET next_passage = %s", (first + num_passages,))
        return int(num_passages)

    def forget(self, source: str) -> bool:
        """Remove a document with all that belongs to it; whether there was one."""
        sql = (
            "WITH gone AS (DELETE FROM documents WHERE source = %s "
            "RETURNING id, first_passage AS first, first_passage + num_passages AS next), "
            "_ AS (DELETE FROM passages USING gone WHERE number >= first AND number < next), "
            "__ AS (DELETE FROM vectors USING gone WHERE number >= first AND number < next), "
            "___ AS (DELETE FROM extracts USING gone WHERE document = gone.id) "
            "SELECT id FROM gone"
        )
        return bool(self._all(sql, (source,)))

    def content(self, source: str) -> tuple[OffsetsIn, bytes, str] | None:
        """What its offsets count, its digest, and its extracted text, "" where it has none."""
        sql = (
            "SELECT offsets_in, digest, (SELECT coalesce(string_agg(text, '' ORDER BY position), "
            "'') FROM extracts WHERE document = id) FROM documents WHERE source = %s"
        )
        for found in self._all(sql, (source,)):
            return found  # type: ignore[no-any-return]
        return None

    # --- passages ---------------------------------------------------------------------------

    def passages(self, source: str, limit: int | None = None) -> list[Passage]:
        """A document's, in its order, the first `limit` or all; empty without such a document."""
        where = (
            "WHERE d.source = %s AND p.number >= d.first_passage "
            "AND p.number < d.first_passage + d.num_passages ORDER BY p.number LIMIT %s"
        )
        return [_passage(row) for row in self._all(_PASSAGES + where, (source, limit))]

    def numbered(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Passages by number; those that are gone are left out."""
        rows = self._all(f"{_PASSAGES} WHERE p.number = ANY(%s)", (list(numbers),))
        return {row[0]: _passage(row) for row in rows}

    def lexical(self, question: str, limit: int) -> Lexical:
        """The passages that share words with the question, by BM25."""
        sql = (
            "SELECT coalesce(sum(num_passages), 0)::bigint, "
            "(sum(num_words) / sum(num_passages))::float8 FROM documents"
        )
        ((num_passages, mean_words),) = self._all(sql)
        counts = dict(self._counted(_asked(question)))
        most = {lexeme: most_bm25([num], num_passages) for lexeme, num in counts.items()}
        held = [lexeme for lexeme, num in counts.items() if num]
        if not held:
            return Lexical(scores={}, most=sum(most.values()))
        rarity = " + ".join(["(words @@ %s::tsquery)::integer * %s::float8"] * len(held))
        rarities = [value for lexeme in held for value in (f"'{lexeme}'", most[lexeme])]
        any_of = " | ".join(f"'{lexeme}'" for lexeme in held)
        sql = (
            "WITH best AS MATERIALIZED (SELECT number, num_words, words FROM passages "
            f"WHERE words @@ %s::tsquery ORDER BY {rarity} DESC, "
            "ts_rank('{1, 0, 0, 0.5}', words, %s::tsquery, 1) DESC, number LIMIT %s), "
            # Only the words that are asked for are unpacked, those of the title with weight B.
            "hits AS (SELECT number, lexeme, 1.2 * (0.25 + 0.75 * num_words / %s::float8) AS norm, "
            "cardinality(weights) - 0.5 * cardinality(array_positions(weights, 'B')) AS frequency "
            "FROM best, unnest(ts_filter(setweight(ts_filter(words, '{a}'), 'B', %s::text[]) "
            "|| setweight(ts_filter(words, '{d}'), 'C', %s::text[]), '{b,c}'))) "
            "SELECT number, sum(most * frequency / (frequency + norm))::float8 AS score FROM hits "
            "JOIN unnest(%s::text[], %s::float8[]) AS asked(lexeme, most) USING (lexeme) "
            "GROUP BY number ORDER BY score DESC, number LIMIT %s"
        )
        best = (any_of, *rarities, any_of, max(_NUM_SCORED, limit))
        scored = (mean_words, held, held, held, [most[lexeme] for lexeme in held], limit)
        return Lexical(scores=dict(self._all(sql, (*best, *scored))), most=sum(most.values()))

    def _counted(self, words: list[str]) -> list[tuple[str, int]]:
        """The stem of each word, and in how many passages it stands."""
        sql = (
            "SELECT lexeme, (SELECT count(*) FROM passages "
            "WHERE words @@ quote_literal(lexeme)::tsquery) "
            "FROM (SELECT (ts_lexize('stem', word))[1] AS lexeme FROM unnest(%s::text[]) AS word)"
        )
        return self._all(sql, (words,))

    # --- vectors ----------------------------------------------------------------------------

    def embedding(self) -> Embedding | None:
        """Where the vectors come from; None if nobody has said yet."""
        if not self._is_ours:
            return None
        for name, fingerprint, dimension in self._all("SELECT * FROM embedding"):
            return Embedding(name=name, fingerprint=fingerprint, dimension=dimension)
        return None

    def use(self, embedding: Embedding) -> None:
        """Take vectors of this model from now on; all that there are go."""
        with self.writing():
            tables.make_vectors(self._connection, embedding.dimension or 1)
            self._connection.execute("UPDATE documents SET num_embedded = 0")
            self._connection.execute("DELETE FROM embedding")
            values = (embedding.name, embedding.fingerprint, embedding.dimension)
            self._connection.execute("INSERT INTO embedding VALUES (%s, %s, %s)", values)

    def has_vectors(self) -> bool:
        """Whether any passage has one."""
        return bool(self._all("SELECT 1 FROM vectors LIMIT 1"))

    def pending(self, limit: int) -> list[tuple[int, str]]:
        """(number, text) of passages without a vector, each document's in its order."""
        sql = (
            "SELECT number, source, heading, text FROM (SELECT source, "
            "first_passage + num_embedded AS first, first_passage + num_passages AS next "
            "FROM documents WHERE num_embedded < num_passages ORDER BY id LIMIT %(limit)s) AS d "
            "CROSS JOIN LATERAL (SELECT number, heading, text FROM passages WHERE number >= first "
            "AND number < next ORDER BY number LIMIT %(limit)s) AS p "
            "ORDER BY number LIMIT %(limit)s"
        )
        rows = self._all(sql, {"limit": limit})
        return [(number, embedded_text(*texts)) for number, *texts in rows]

    def put_vectors(self, numbers: Sequence[int], vectors: "Vectors") -> None:
        """Store what `pending` asked for; what has gone meanwhile is left out."""
        sql = (
            "WITH stored AS (INSERT INTO vectors SELECT number, value::halfvec "
            "FROM unnest(%s::bigint[], %s::text[]) AS given(number, value) "
            "JOIN passages USING (number) ON CONFLICT DO NOTHING RETURNING number) "
            "UPDATE documents SET num_embedded = num_embedded + num FROM (SELECT document, "
            "count(*) AS num FROM stored JOIN passages USING (number) GROUP BY document) AS done "
            "WHERE id = document"
        )
        with self.writing():
            values = (list(numbers), [_written(vector) for vector in vectors])
            self._connection.execute(sql, values)
            totals = self.totals()
            is_last = totals.num_embedded == totals.num_passages >= _MANY
            if is_last and vectors.shape[1] <= _WIDEST:
                tables.make_graph(self._connection)

    def nearest(self, query: "Vectors", limit: int) -> dict[int, float]:
        """The passages most similar to a vector, (dimension,), with their cosines, best first."""
        is_exact = self._address.exact or limit > _MOST_BREADTH
        breadth = max(2 * limit, _LEAST_BREADTH)
        if not is_exact:
            breadth = min(breadth, _MOST_BREADTH)
        name, value = ("enable_indexscan", "off") if is_exact else ("hnsw.ef_search", str(breadth))
        # Searched as they are stored, in half precision, and ranked by the query as it was given.
        sql = (
            "SELECT number, -(value::vector <#> %(query)s::vector) AS cosine FROM (SELECT * "
            "FROM vectors ORDER BY value <#> %(query)s::vector::halfvec LIMIT %(breadth)s) AS near "
            "ORDER BY cosine DESC, number LIMIT %(limit)s"
        )
        with speaking(self.place), self._live().transaction():
            self._connection.execute("SELECT set_config(%s, %s, true)", (name, value))
            values = {"query": _written(query), "breadth": breadth, "limit": limit}
            # A plan that is kept would not heed the setting.
            return dict(self._connection.execute(sql, values, prepare=False).fetchall())

    def similarities(self, query: "Vectors", numbers: Sequence[int]) -> dict[int, float]:
        """The cosines of certain passages; those without a vector are left out."""
        sql = "SELECT number, -(value::vector <#> %s::vector) FROM vectors WHERE number = ANY(%s)"
        return dict(self._all(sql, (_written(query), list(numbers))))


def _passage(row: Sequence[Any]) -> Passage:
    return Passage(**dict(zip(_FIELDS, row[1:], strict=True)))


def _written(vector: "Vectors") -> str:
    """As pgvector reads it."""
    return f"[{','.join(map(str, vector.tolist()))}]"


# --- words ----------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+")
_ACCENT = re.compile("[\u0300-\u0331]")
_EXPONENT = re.compile(r"\b(?=\d+e\d)")
_MARK = spaced("\u6587\u6587")[1]


def _searched(text: str) -> tuple[str, int]:
    """What PostgreSQL's parser is to read of a text, nothing but words, and how many there are."""
    words, pairs = _words(text)
    return " ".join(words + pairs), len(words)


def _asked(question: str) -> list[str]:
    """The words that a search looks for."""
    found = (_words(phrase.replace(_MARK, "")) for phrase in query.words(question))
    return [word for words, pairs in found for word in pairs or words]


def _words(text: str) -> tuple[list[str], list[str]]:
    """The words of a text as SQLite's tokenizer folds them, and its pairs of unspaced letters."""
    text = text.lower()
    if not text.isascii():
        plain = normalize("NFKC", _ACCENT.sub("", normalize("NFKD", text)))
        text = without_vowel_signs(plain)
    # What begins as 1e5 does would be read as that number and something else.
    found = _WORD.findall(_EXPONENT.sub("x", text))
    words = [each[:_LONGEST_WORD] for word in found for each in spaced(word).split(_MARK)]
    if len(words) == len(found):
        return words, []
    pairs = [each for word in found for each in phrases(word) if _MARK in each]
    return words, [pair.replace(_MARK, "") for pair in pairs]
