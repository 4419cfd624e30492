"""Vectors keep their order and their cosines, and the nearest are found exactly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval.vectors import Matrix, packed


def unit(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_stored_vectors_come_back_under_their_numbers() -> None:
    rows = unit((5, 8))
    matrix = Matrix.unpacked([(3, packed(rows[:2])), (10, packed(rows[2:]))], 8)

    assert matrix.numbers.tolist() == [3, 4, 10, 11, 12]
    assert np.abs(matrix.rows @ matrix.rows.T - rows @ rows.T).max() < 0.0005 * 8


@given(st.integers(1, 40), st.integers(1, 50))
def test_the_nearest_are_those_that_sorting_all_would_give(num: int, limit: int) -> None:
    rows = unit((num, 4), seed=num)
    matrix = Matrix(np.arange(100, 100 + num), rows)
    query = unit((1, 4), seed=limit)[0]

    found = matrix.nearest(query, limit)

    cosines = rows @ query
    order = np.argsort(-cosines, kind="stable")[:limit]
    assert list(found) == (100 + order).tolist()
    assert list(found.values()) == cosines[order].tolist()


def test_the_similarities_of_certain_passages_leave_out_those_without_a_vector() -> None:
    rows = unit((3, 4))
    matrix = Matrix(np.array([2, 5, 9]), rows)

    found = matrix.similarities(rows[1], [9, 4, 5, 100])

    assert list(found) == [9, 5]
    assert found[5] > 0.999


def test_an_index_without_vectors_finds_nothing() -> None:
    matrix = Matrix.unpacked([], 4)
    query = np.ones(4, np.float32)
    assert matrix.nearest(query, 3) == matrix.similarities(query, [1]) == {}
