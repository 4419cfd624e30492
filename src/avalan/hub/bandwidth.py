"""How fast this machine reads its memory, measured in a moment."""

import time

import numpy as np

SIZE_BYTES = 96 * 2**20
"""Far more than any processor caches; less would measure the cache."""
_WIDTH = 4096
_MOST_RUNS = 5
_BUDGET_S = 0.5


def measure() -> float:
    """Bytes per second while a matrix is multiplied by a vector, the work of a model's token.

    Takes about a third of a second. The best of a few runs, since other programs only slow it
    down.
    """
    matrix = np.ones((SIZE_BYTES // 4 // _WIDTH, _WIDTH), np.float32)
    vector = np.ones(_WIDTH, np.float32)
    best = float("inf")
    started = time.perf_counter()
    for _ in range(_MOST_RUNS):
        before = time.perf_counter()
        matrix @ vector
        now = time.perf_counter()
        best = min(best, now - before)
        if now - started > _BUDGET_S:
            break
    return matrix.nbytes / best
