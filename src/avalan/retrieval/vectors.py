"""Vectors of passages: stored in half precision, searched exactly.

Up to some 100,000 passages, reading every vector takes no longer than a nearest-neighbour graph
would save, and never misses one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_STORED = np.dtype("<f2")


def packed(vectors: Vectors) -> bytes:
    """Vectors, (n, dimension), as they are stored; their cosines change by less than 0.0005."""
    return vectors.astype(_STORED).tobytes()


@dataclass(frozen=True, slots=True)
class Matrix:
    """All vectors of an index in memory."""

    numbers: NDArray[np.int64]
    """The passages', ascending, (n,)."""
    rows: Vectors
    """(n, dimension)."""

    @classmethod
    def unpacked(cls, stored: Iterable[tuple[int, bytes]], dimension: int) -> "Matrix":
        """From (number of the first passage, its vector and those that follow), by number."""
        blocks = [(first, np.frombuffer(data, _STORED)) for first, data in stored]
        sizes = [len(block) // dimension for _, block in blocks]
        rows = np.empty((sum(sizes), dimension), np.float32)
        numbers = np.empty(len(rows), np.int64)
        end = 0
        for (first, block), size in zip(blocks, sizes, strict=True):
            start, end = end, end + size
            rows[start:end] = block.reshape(size, dimension)
            numbers[start:end] = np.arange(first, first + size)
        return cls(numbers, rows)

    def nearest(self, query: Vectors, limit: int) -> dict[int, float]:
        """The most similar passages with their cosines, best first; ties by number."""
        cosines = self.rows @ query
        limit = min(limit, len(cosines))
        if limit < 1:
            return {}
        least = np.partition(cosines, -limit)[-limit]
        found = np.flatnonzero(cosines >= least)
        ranked = found[np.argsort(-cosines[found], kind="stable")][:limit]
        return dict(zip(self.numbers[ranked].tolist(), cosines[ranked].tolist(), strict=True))

    def similarities(self, query: Vectors, numbers: Sequence[int]) -> dict[int, float]:
        """The cosines of certain passages; those without a vector are left out."""
        if not len(self.numbers):
            return {}
        wanted = np.array(numbers, np.int64)
        places = np.searchsorted(self.numbers, wanted).clip(max=len(self.numbers) - 1)
        places = places[self.numbers[places] == wanted]
        cosines = self.rows[places] @ query
        return dict(zip(self.numbers[places].tolist(), cosines.tolist(), strict=True))
