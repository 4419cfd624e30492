"""The curriculum and the packing of rows: whole records, exact weights, positions that restart."""

from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data import mixture
from avalan.data.mixture import SYSTEM_PROMPTS, PackedRow, Stage, pack, rng_for, stage_at
from avalan.reflection.render import Kind, Piece

PAD = 0
WEIGHTS: dict[Kind, float] = {
    "prompt": 0.25, "text": 1.0, "reflection": 0.5, "markup": 0.0, "passage": 0.125, "eos": 2.0,
}  # fmt: skip
KINDS: tuple[Kind, ...] = tuple(WEIGHTS)
SEEDS = st.integers(0, 2**32 - 1)
PIECES = st.lists(
    st.builds(
        Piece,
        st.lists(st.integers(1, 99), min_size=1, max_size=9).map(tuple),
        st.sampled_from(KINDS),
    ),
    min_size=1,
    max_size=5,
)
RECORDS = st.lists(PIECES, min_size=1, max_size=6)


def packed(records: list[list[Piece]], *, row_length: int = 40, share: float = 1.0) -> PackedRow:
    """The records in turn, over and over."""
    turn = iter(range(10**9))
    return pack(
        lambda: records[next(turn) % len(records)],
        WEIGHTS,
        row_length=row_length,
        pad_id=PAD,
        rng=Random(0),
        shown_share=share,
    )


def ids_of(pieces: list[Piece]) -> list[int]:
    return [token_id for piece in pieces for token_id in piece.token_ids]


def parts(row: PackedRow) -> list[tuple[int, int]]:
    """Where records and the padding begin and end: wherever positions restart."""
    starts = [*np.flatnonzero(row.position_ids == 0), len(row.position_ids)]
    return list(pairwise(starts))


def test_a_row_by_hand() -> None:
    pieces = [Piece((5, 6), "prompt"), Piece((7,), "text"), Piece((8,), "eos")]
    row = packed([pieces], row_length=10)
    assert row.token_ids.tolist() == [5, 6, 7, 8, 5, 6, 7, 8, 0, 0]
    assert row.weights.tolist() == [0, 0.25, 1, 2, 0, 0.25, 1, 2, 0, 0]
    assert row.position_ids.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


@given(records=RECORDS)
def test_a_row_holds_whole_records_and_padding_only(records: list[list[Piece]]) -> None:
    row = packed(records)
    assert len(row.token_ids) == len(row.weights) == len(row.position_ids) == 40
    known = [ids_of(pieces) for pieces in records]
    for start, end in parts(row):
        found = row.token_ids[start:end].tolist()
        assert found in known or found == [PAD] * len(found)


@given(records=RECORDS)
def test_positions_restart_with_every_record_and_with_the_padding(
    records: list[list[Piece]],
) -> None:
    row = packed(records)
    for start, end in parts(row):
        assert row.position_ids[start:end].tolist() == list(range(end - start))


@given(records=RECORDS)
def test_weights_are_those_of_the_spans_and_first_tokens_and_padding_have_none(
    records: list[list[Piece]],
) -> None:
    row = packed(records)
    for start, end in parts(row):
        assert row.weights[start] == 0
        if row.token_ids[start] == PAD:
            assert not row.weights[start:end].any()
            continue
        found = row.token_ids[start:end].tolist()
        sums = {
            sum(len(piece.token_ids) * WEIGHTS[piece.kind] for piece in pieces)
            - WEIGHTS[pieces[0].kind]
            for pieces in records
            if ids_of(pieces) == found
        }
        assert float(row.weights[start:end].sum()) in sums


def test_a_share_of_what_is_shown_is_graded_and_all_of_what_is_said() -> None:
    pieces = [Piece((1,) * 400, "passage"), Piece((2,) * 100, "text")]
    row = packed([pieces], row_length=500, share=0.2)
    shown, said = row.weights[1:400], row.weights[400:]
    assert set(shown) == {0.0, 0.125}
    assert 50 < np.count_nonzero(shown) < 110
    assert set(said) == {1.0}


def test_a_record_that_never_fits_leaves_padding() -> None:
    row = packed([[Piece((1,) * 41, "text")]])
    assert not row.token_ids.any()
    assert not row.weights.any()


# --- the curriculum -------------------------------------------------------------------------------

KINDS_OF_RECORD = ("copy", "drill", "lookup", "simple", "cloze", "reading", "decisions")
FIRST = Stage(until=0.25, lookup=1.0, reading=0.0, decisions=0.0)
SECOND = Stage(until=1.0, lookup=0.2, reading=0.2, decisions=0.2, drill=0.1, simple=0.2, cloze=0.1)


@pytest.mark.parametrize(
    ("progress", "stage"), [(0, FIRST), (0.2499, FIRST), (0.25, SECOND), (1.0, SECOND)]
)
def test_a_stage_lasts_until_its_share_of_the_run(progress: float, stage: Stage) -> None:
    assert stage_at((FIRST, SECOND), progress) == stage


@given(seed=SEEDS, index=SEEDS)
def test_a_row_has_its_own_generator_whatever_was_drawn_before(seed: int, index: int) -> None:
    first = rng_for(seed, index).random()
    rng_for(seed, index + 1).random()
    assert rng_for(seed, index).random() == first != rng_for(seed, index + 1).random()
    assert first != rng_for(seed + 1, index).random() != rng_for(seed, index + 1).random()


def test_kinds_come_in_the_shares_of_the_stage() -> None:
    records = [mixture.record(rng_for(0, i), SECOND, identifier="x") for i in range(1500)]
    found = Counter(record.source["dataset"] for record in records)
    # Three standard deviations are 0.04; drills are look-ups too, and simple reading is reading.
    for dataset, share in (("lookup", 0.3), ("worlds", 0.4), ("cloze", 0.1), ("decisions", 0.2)):
        assert abs(found[dataset] / len(records) - share) < 0.04


def test_some_conversations_begin_with_a_system_prompt() -> None:
    records = [mixture.record(rng_for(0, i), FIRST, identifier="x") for i in range(1000)]
    systems = [record.messages[0].content for record in records if len(record.messages) == 2]
    assert 30 < len(systems) < 90
    assert set(systems) == set(SYSTEM_PROMPTS)
    assert all(record.messages[-1].role == "user" for record in records)


@given(kind=st.sampled_from(KINDS_OF_RECORD), seed=SEEDS)
def test_a_record_of_one_kind_is_of_that_kind(kind: str, seed: int) -> None:
    record = mixture.one(kind, Random(seed), "train", identifier="x", split="validation")
    datasets = {"copy": "lookup", "drill": "lookup", "simple": "worlds", "reading": "worlds"}
    assert record.source["dataset"] == datasets.get(kind, kind)
    assert record.split == "validation"
