"""Processed distributions are those of transformers' own logits processors."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from avalan.errors import ConfigurationError
from avalan.model.decode import sampling
from avalan.model.entities import GenerationSettings

NEVER = -np.inf


def row(*values: float) -> Any:
    return np.array(values, np.float32)


def rows(min_size: int = 2) -> st.SearchStrategy[Any]:
    """Logits with ties: whole and half numbers only, exact in float32."""
    halves = st.integers(-16, 16).map(lambda n: n / 2)
    return npst.arrays(np.float32, st.integers(min_size, 12), elements=halves)


def kept(logits: Any) -> list[int]:
    return [int(i) for i in np.flatnonzero(logits > NEVER)]


def theirs(logits: Any, settings: GenerationSettings, seen: list[int]) -> Any:
    """The probabilities after transformers' processors, as its `generate` builds them."""
    import torch
    from transformers import GenerationConfig, GenerationMixin

    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    given_ = {name: getattr(settings, name) for name in names}
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **_without_none(given_)})
    mixin = GenerationMixin()
    mixin.config = SimpleNamespace(is_encoder_decoder=False)
    processors = mixin._get_logits_processor(config, input_ids_seq_length=len(seen))
    scores = processors(torch.tensor([seen]), torch.tensor(logits)[None].clone())
    return torch.softmax(scores[0], -1).numpy()


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


CASES = [
    GenerationSettings(temperature=0.7),
    GenerationSettings(temperature=1.0, top_k=3),
    GenerationSettings(temperature=1.0, top_k=500),
    GenerationSettings(temperature=1.0, top_p=0.8),
    GenerationSettings(temperature=1.0, top_p=1.0),
    GenerationSettings(temperature=1.0, top_p=1e-6),
    GenerationSettings(temperature=1.0, min_p=0.1),
    GenerationSettings(temperature=1.0, min_p=1.0),
    GenerationSettings(temperature=1.0, repetition_penalty=1.3),
    GenerationSettings(temperature=0.6, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.2),
]


@pytest.mark.parametrize("settings", CASES, ids=lambda s: str(_changed(s)))
def test_processed_distribution_is_that_of_transformers(settings: GenerationSettings) -> None:
    random = np.random.default_rng(0)
    for size in (5, 97):
        logits = random.normal(0, 3, size).astype(np.float32)
        seen = sorted({int(i) for i in random.integers(0, size, 4)})

        ours = sampling.probs(sampling.process(logits, settings, seen))

        np.testing.assert_allclose(theirs(logits, settings, seen), ours, atol=1e-6)


def _changed(settings: GenerationSettings) -> dict[str, Any]:
    default = dataclasses.asdict(GenerationSettings())
    return {k: v for k, v in dataclasses.asdict(settings).items() if v != default[k]}


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_ties_at_the_edge_of_top_k_are_kept_as_in_transformers(k: int) -> None:
    logits = row(1, 3, 3, 2, 3)
    settings = GenerationSettings(temperature=1.0, top_k=k)

    ours = sampling.process(logits, settings, [0])

    np.testing.assert_allclose(theirs(logits, settings, [0]), sampling.probs(ours), atol=1e-6)
    assert kept(ours) == ([1, 2, 4] if k <= 3 else [1, 2, 3, 4])


def test_logprobs_by_hand() -> None:
    logits = np.log(row(1, 2, 5))

    np.testing.assert_allclose(np.log([0.125, 0.25, 0.625]), sampling.logprobs(logits), rtol=1e-6)


def test_logprobs_of_large_logits_do_not_overflow() -> None:
    np.testing.assert_allclose([0, -1000], sampling.logprobs(row(3000, 2000)), rtol=1e-6)


def test_top_p_by_hand() -> None:
    logits = np.log(row(0.1, 0.5, 0.4))

    assert kept(sampling.keep_top_p(logits, 0.45)) == [1]
    assert kept(sampling.keep_top_p(logits, 0.55)) == [1, 2]
    assert kept(sampling.keep_top_p(logits, 0.95)) == [0, 1, 2]


def test_min_p_by_hand() -> None:
    logits = np.log(row(0.1, 0.5, 0.4))

    assert kept(sampling.keep_min_p(logits, 0.3)) == [1, 2]


def test_repetition_penalty_by_hand() -> None:
    np.testing.assert_allclose(
        row(2, -4, 4), sampling.penalize_repetition(row(4, -2, 4), [0, 1], 2.0)
    )


@given(logits=rows(), p=st.floats(1e-6, 1))
def test_top_p_keeps_the_fewest_tokens_that_reach_p(logits: Any, p: float) -> None:
    values = sampling.probs(logits)
    ids = kept(sampling.keep_top_p(logits, p))

    assert ids
    assert values[ids].sum() >= p - 1e-5
    assert len(ids) == 1 or values[ids].sum() - values[ids].min() <= p + 1e-5
    assert values[ids].min() >= max(np.delete(values, ids), default=0)


@given(logits=rows(), k=st.integers(1, 20), min_p=st.floats(0, 1))
def test_filters_always_keep_the_most_probable_token(logits: Any, k: int, min_p: float) -> None:
    for filtered in (sampling.keep_top_k(logits, k), sampling.keep_min_p(logits, min_p)):
        assert filtered.max() == logits.max()


@given(logits=rows())
def test_functions_leave_their_input_alone(logits: Any) -> None:
    before = logits.copy()
    settings = GenerationSettings(
        temperature=0.5, top_k=2, top_p=0.5, min_p=0.5, repetition_penalty=2.0
    )
    sampling.process(logits, settings, [0, 1])

    np.testing.assert_array_equal(before, logits)


def test_draws_follow_the_probabilities() -> None:
    logits = np.log(row(0.1, 0.6, 0.3))
    random = np.random.default_rng(1)
    drawn = [sampling.draw(logits, random) for _ in range(4000)]
    share = np.bincount([i for i, _ in drawn], minlength=3) / 4000

    # Four standard errors of the widest share are 0.031.
    np.testing.assert_allclose([0.1, 0.6, 0.3], share, atol=0.031)
    assert all(probability == pytest.approx((0.1, 0.6, 0.3)[i]) for i, probability in drawn)


@given(seed=st.integers(0, 2**32), logits=rows(), removed=st.integers(0, 11))
def test_removed_token_is_never_drawn(seed: int, logits: Any, removed: int) -> None:
    logits[removed % len(logits)] = NEVER
    token_id, probability = sampling.draw(logits, np.random.default_rng(seed))

    assert logits[token_id] > NEVER
    assert probability > 0


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("temperature", -0.1, "0, or from 0.001 to 1000"),
        ("temperature", 1e-300, "0, or from 0.001 to 1000"),
        ("top_k", 0, "at least 1"),
        ("top_p", 0.0, "above 0 and at most 1"),
        ("top_p", 1.1, "above 0 and at most 1"),
        ("min_p", -1.0, "between 0 and 1"),
        ("repetition_penalty", 0.0, "from 0.001 to 1000"),
        ("max_new_tokens", 0, "at least 1"),
        ("num_alternatives", -1, "at least 0"),
        ("stop_strings", ("",), "texts that are not empty"),
    ],
)
def test_setting_out_of_range_says_which_range(name: str, value: Any, wanted: str) -> None:
    settings = dataclasses.replace(GenerationSettings(), **{name: value})

    with pytest.raises(ConfigurationError, match=f"setting {name} is .* must be {wanted}"):
        sampling.check_settings(settings)
