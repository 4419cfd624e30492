"""How fast and how surely an index on PostgreSQL finds passages.

    python bench/postgres.py postgresql://… [--rows 10000,100000] [--dimension 384] [--rounds 50]

Passages of made-up words with vectors in random clusters, in an index that is made in the database
and removed in the end. Printed: how fast they are stored, how long the graph takes (HNSW), the
median and 95th percentile in milliseconds of a search by words, by all vectors and by the graph,
and the share of the 10 nearest passages that the graph finds.
"""

import argparse
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from avalan.retrieval import postgres
from avalan.retrieval.backend import Embedding
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.postgres import PostgresBackend
from avalan.retrieval.vectors import Vectors
from retrieval import timed, write_texts

NUM_CLUSTERS = 500
SPREAD = 1.0
"""Of a passage's vector around its cluster's, which has length 1."""
TOP_K, ASKED = 10, 200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("address")
    options.add_argument("--rows", default="10000,100000")
    options.add_argument("--dimension", type=int, default=384)
    options.add_argument("--rounds", type=int, default=50)
    given = options.parse_args()
    mark = "&" if "?" in given.address else "?"
    address = f"{given.address}{mark}index=bench_{os.getpid()}"
    for num in map(int, given.rows.split(",")):
        try:
            measure(address, num, given.dimension, given.rounds)
        finally:
            postgres.remove(address)


def measure(address: str, num: int, dimension: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "texts"
        vocabulary = write_texts(folder, num)
        index = SyncIndex(PostgresBackend.open(address, create=True))
        started = perf_counter()
        list(index.add([folder]))
        words_s = perf_counter() - started
    vectors = Clusters(dimension)
    with index:
        backend = index._backend
        backend.use(Embedding(name="random", fingerprint="", dimension=dimension))
        started, graph_s = perf_counter(), 0.0
        while pending := backend.pending(4096):
            graph_started = perf_counter()
            backend.put_vectors([number for number, _ in pending], vectors.draw(len(pending)))
            graph_s = perf_counter() - graph_started
        vectors_s = perf_counter() - started
        totals = index.totals()
    num = totals.num_passages
    print(
        f"\n{num} passages: {num / words_s:.0f}/s by words, {num / (vectors_s - graph_s):.0f}/s "
        f"vectors, last batch and graph {graph_s:.1f} s, {totals.size_bytes / 1e6:.0f} MB"
    )
    asked = [" ".join(random.Random(i).sample(vocabulary[:3000], 5)) for i in range(rounds)]
    compare(address, asked, vectors.draw(rounds))


class Clusters:
    """Vectors of unit length around random centres."""

    def __init__(self, dimension: int) -> None:
        self._generator = np.random.default_rng(0)
        self._centres = self._unit(self._generator.normal(size=(NUM_CLUSTERS, dimension)))

    def draw(self, num: int) -> Vectors:
        """(num, dimension)."""
        centres = self._centres[self._generator.integers(NUM_CLUSTERS, size=num)]
        noise = self._generator.normal(size=centres.shape) / np.sqrt(centres.shape[1])
        return self._unit(centres + SPREAD * noise)

    def _unit(self, rows: np.ndarray) -> Vectors:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def compare(address: str, asked: Sequence[str], queries: Vectors) -> None:
    graph = PostgresBackend.open(address)
    exact = PostgresBackend.open(f"{address}&exact=1")
    numbers = {str(i): query for i, query in enumerate(queries)}
    print(f"words: p50, p95 in ms: {timed(asked, lambda text: graph.lexical(text, 1000))}")
    for name, backend in (("exact", exact), ("graph", graph)):
        spent = timed(list(numbers), lambda i, b=backend: b.nearest(numbers[i], ASKED))  # type: ignore[misc]
        print(f"{name}: p50, p95 in ms: {spent}")
    for limit in (TOP_K, ASKED):
        shares = []
        for query in queries:
            first, second = (
                set(list(each.nearest(query, limit))[:TOP_K]) for each in (exact, graph)
            )
            shares.append(len(first & second) / len(first))
        print(f"recall@{TOP_K} of the graph, asked for {limit}: {np.mean(shares):.4f}")
    graph.close()
    exact.close()


if __name__ == "__main__":
    main()
