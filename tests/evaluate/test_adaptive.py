"""Never, always and between, by hand and as they must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.evaluate.adaptive import calls_spared, oracle_gap, savings_at_parity, sweep

SCORES = [0.9, 0.6, 0.4, 0.1]
NEVER = [0.0, 0.0, 1.0, 1.0]
ALWAYS = [1.0, 1.0, 1.0, 0.0]


def test_the_thresholds_by_hand() -> None:
    found = [(each.threshold, each.accuracy, each.calls) for each in sweep(SCORES, NEVER, ALWAYS)]
    assert found == [
        (0.1, 0.75, 1.0),
        (0.4, 1.0, 0.75),
        (0.6, 1.0, 0.5),
        (0.9, 0.75, 0.25),
        (np.inf, 0.5, 0.0),
    ]


def test_what_is_saved_at_parity_by_hand() -> None:
    assert savings_at_parity(SCORES, NEVER, ALWAYS) == 0.75
    assert savings_at_parity(SCORES, [0.0] * 4, [1.0] * 4) == 0.0
    assert savings_at_parity(SCORES, [1.0] * 4, [1.0] * 4) == 1.0
    # Half a point in two hundred questions is one question.
    scores, always = [i / 200 for i in range(200)], [1.0] * 200
    assert savings_at_parity(scores, [0.0] * 200, always) == pytest.approx(1 / 200)


def test_the_gap_to_the_oracle_by_hand() -> None:
    assert oracle_gap(0.75, NEVER, ALWAYS) == 0.0
    assert oracle_gap(1.0, NEVER, ALWAYS) == 1.0
    assert oracle_gap(0.5, NEVER, ALWAYS) == -1.0
    assert oracle_gap(0.5, [1.0, 0.0], [1.0, 0.0]) is None


questions = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1)


@given(questions)
def test_no_threshold_beats_the_oracle(rows: list[tuple[float, bool, bool]]) -> None:
    scores, never, always = (list(map(float, column)) for column in zip(*rows, strict=True))
    found = sweep(scores, never, always)
    assert found[0].accuracy == pytest.approx(np.mean(always))
    assert found[-1].accuracy == pytest.approx(np.mean(never))
    assert all(each.accuracy <= np.maximum(never, always).mean() + 1e-12 for each in found)
    assert [each.calls for each in found] == sorted((e.calls for e in found), reverse=True)
    assert 0.0 <= savings_at_parity(scores, never, always) <= 1.0


def test_look_ups_are_spared_where_fewer_do_as_well_as_others_at_their_best() -> None:
    never, always = [0, 0, 1, 1], [1, 1, 1, 0]
    good, worse = [0.9, 0.8, 0.2, 0.1], [0.9, 0.7, 0.8, 0.1]
    # Two look-ups are enough; the other order needs a third for the same.
    assert calls_spared(good, worse, never, always) == 0.25
    assert calls_spared(worse, good, never, always) == -0.25
    # The wrong way round it gets one right of two, so every call counts.
    assert calls_spared([0.1, 0.9], [0.9, 0.1], [0, 1], [1, 0]) == 0.5 - 1.0
