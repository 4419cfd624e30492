"""Numbers of drafts, by hand and on a real model."""

import math
from pathlib import Path

import numpy as np
import pytest

from avalan.model.entities import Token, TokenAlternative
from avalan.model.load import open_model
from avalan.reflection.signals import draft_signals, draft_similarity, entropy, similarity
from avalan.testing import pico_tokenizer

from .test_writer import replying


def token(*shares: float) -> Token:
    alternatives = tuple(
        TokenAlternative(token_id=i, text="x", logprob=math.log(share))
        for i, share in enumerate(shares)
    )
    return Token(token_id=0, text="x", logprob=0.0, probability=1.0, alternatives=alternatives)


def test_the_entropy_by_hand() -> None:
    assert entropy(token(0.5, 0.5)) == pytest.approx(math.log(2))
    assert entropy(token(1.0)) == pytest.approx(0.0, abs=1e-12)
    # What is not told counts as one.
    assert entropy(token(0.5)) == pytest.approx(math.log(2))
    assert entropy(token(0.5, 0.25)) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))


def test_the_similarity_by_hand() -> None:
    assert similarity(["at six", "at six", "at six"]) == 1.0
    assert similarity(["at six", "by nine"]) == 0.0
    # F1 of "at six" and "at nine" is 1/2; both pairs with "by nine" are 0 and 1/2.
    assert similarity(["at six", "at nine", "by nine"]) == pytest.approx((0.5 + 0.0 + 0.5) / 3)
    assert similarity([]) == similarity(["alone"]) == similarity(["", ""]) == 1.0


def test_a_model_that_is_certain_shows_no_sign(tmp_path: Path) -> None:
    model = replying(pico_tokenizer(tmp_path), {"": "At six."})
    found = draft_signals(model, "When?")
    assert found["draft_entropy"] == pytest.approx(0.09, abs=0.1)
    assert found["draft_highest_entropy"] >= found["draft_entropy"]
    assert found["draft_logprob"] == pytest.approx(0, abs=0.05)


def test_a_random_model_shows_them_all_and_the_same_each_time(pico_folder: Path) -> None:
    with open_model(str(pico_folder)) as model:
        found = draft_signals(model, "When?")
        assert found == draft_signals(model, "When?")
        assert draft_similarity(model, "When?", seed=3) < 0.5
        assert draft_similarity(model, "When?", seed=3) == draft_similarity(model, "When?", seed=3)
        assert found["draft_logprob"] < 0 < found["draft_entropy"]
        assert np.isfinite(list(found.values())).all()
