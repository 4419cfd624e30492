"""The learning rate over a run."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.train.schedules import SCHEDULES, cosine_factor, factor_of, warmup_factor


@dataclass(frozen=True)
class Run:
    warmup_steps: int = 10
    decay_share: float = 0.2


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (9, 1.0), (10, 1.0), (55, 0.5), (100, 0.0), (120, 0.0)]
)
def test_a_cosine_warms_up_and_falls_to_nothing(step: int, factor: float) -> None:
    found = cosine_factor(step, num_steps=100, warmup_steps=10)
    assert found == pytest.approx(factor, abs=1e-12)


def test_a_third_of_the_way_down_is_three_quarters() -> None:
    # (1 + cos(π/3)) / 2
    assert cosine_factor(40, num_steps=100, warmup_steps=10) == pytest.approx(0.75)


def test_a_constant_rate_stays_and_without_warm_up_it_begins_at_once() -> None:
    assert factor_of("constant", 99, num_steps=100, run=Run()) == 1.0
    assert factor_of("constant", 4, num_steps=100, run=Run()) == pytest.approx(0.5)
    assert warmup_factor(0, 0) == 1.0


def test_wsd_stays_until_its_last_fifth() -> None:
    factors = [factor_of("wsd", step, num_steps=100, run=Run()) for step in (50, 80, 90, 100)]
    assert factors == pytest.approx([1.0, 1.0, 0.5, 0.0])


@given(
    name=st.sampled_from(SCHEDULES),
    step=st.integers(0, 300),
    num_steps=st.integers(1, 300),
    warmup=st.integers(0, 300),
)
def test_every_factor_is_a_share(name: str, step: int, num_steps: int, warmup: int) -> None:
    found = factor_of(name, step, num_steps=num_steps, run=Run(warmup_steps=warmup))
    assert 0 <= found <= 1
    assert math.isfinite(found)
