"""The reader's numbers: windows that have everything, and the likeliest span."""

from itertools import pairwise

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avalan import testing
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.judge import (
    END,
    NEED,
    NUM_HEADS,
    RELEVANCE,
    START,
    SUPPORT,
    PairReader,
    clearest_span,
    log_sum,
    span_scores,
    windows,
)

QUESTION = "the cat looks"
PAGE = "the cat sat on the mat at the garden. " * 12


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tokenizers.Tokenizer:
    return read_tokenizer(testing.pico_bert(tmp_path_factory.mktemp("bert")))


@pytest.mark.parametrize("longest", [12, 40, 400])
def test_windows_overlap_and_have_every_character(
    tokenizer: tokenizers.Tokenizer, longest: int
) -> None:
    found = windows(tokenizer, QUESTION, PAGE, longest)
    assert (len(found) == 1) == (longest == 400)
    for window in found:
        assert len(window.token_ids) <= longest
        assert len(window.token_ids) == len(window.kinds) == len(window.places)
        assert window.token_ids[:5] == found[0].token_ids[:5]
    told = [{place for place in window.places if place} for window in found]
    assert set().union(*told) == set(tokenizer.encode(PAGE, add_special_tokens=False).offsets)
    assert all(first & second for first, second in pairwise(told))


def test_a_bare_prompt_is_one_window_and_an_empty_page_too(
    tokenizer: tokenizers.Tokenizer,
) -> None:
    (window,) = windows(tokenizer, QUESTION, "", 32)
    assert set(window.kinds) == {0}
    assert set(window.places) == {None}


def test_no_text_becomes_a_control_token(tokenizer: tokenizers.Tokenizer) -> None:
    control = {tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[MASK]", "[PAD]")}
    (window,) = windows(tokenizer, "[SEP] [CLS] cat", "[MASK] the [SEP] mat", 64)
    assert [token_id in control for token_id in window.token_ids].count(True) == 3


def test_a_bare_prompt_is_read_to_its_end(tokenizer: tokenizers.Tokenizer) -> None:
    (window,) = windows(tokenizer, "cat " * 110 + "mat", "", 128)
    assert len(window.token_ids) == 113
    assert window.token_ids[-2] == tokenizer.token_to_id("mat")


def test_a_long_question_leaves_room_for_the_page(tokenizer: tokenizers.Tokenizer) -> None:
    found = windows(tokenizer, "cat " * 500, PAGE, 128)
    assert all(len(window.token_ids) <= 128 for window in found)
    assert all(window.kinds.count(1) > 20 for window in found)


PAIRS = st.lists(st.tuples(st.floats(-9, 9, width=32), st.floats(-9, 9, width=32)), min_size=1)


@given(PAIRS, st.integers(1, 6))
def test_every_span_in_reach_has_its_score(pairs: list[tuple[float, float]], most: int) -> None:
    starts, ends = np.array(pairs, np.float32).T
    scores = span_scores(starts, ends, most)
    every = {
        (i, j): float(starts[i]) + float(ends[j])
        for i in range(len(pairs))
        for j in range(i, min(i + most, len(pairs)))
    }
    found = {(i, i + n): scores[i, n] for i, n in zip(*np.isfinite(scores).nonzero(), strict=True)}
    assert found == pytest.approx(every)
    assert log_sum(scores) == pytest.approx(np.log(np.exp(list(every.values())).sum()))


@given(PAIRS.filter(lambda pairs: len(pairs) < 12), st.integers(1, 6), st.sampled_from([1.0, 1.5]))
def test_the_clearest_span_has_most_in_common_with_all(
    pairs: list[tuple[float, float]], most: int, flatness: float
) -> None:
    starts, ends = np.array(pairs, np.float32).T
    scores = span_scores(starts, ends, most)
    begun, length = divmod(int(scores.argmax()), most)
    first, last = max(begun - 1, 0), begun + length
    (start, end), clarity = clearest_span(scores, first, last, flatness=flatness)
    spans = list(zip(*np.isfinite(scores).nonzero(), strict=True))
    shares = np.exp([scores[each] / flatness for each in spans])
    tokens = [set(range(i, i + n + 1)) for i, n in spans]

    def expected(said: set[int]) -> float:
        f1 = [2 * len(said & each) / (len(said) + len(each)) for each in tokens]
        return float(np.array(f1) @ shares / shares.sum())

    within = [each for each in tokens if min(each) >= first and max(each) <= last]
    assert first <= start <= end <= last
    assert clarity == pytest.approx(expected(set(range(start, end + 1))))
    assert clarity == pytest.approx(max(map(expected, within)))


def test_between_two_edges_the_longer_answer_is_clearer() -> None:
    # "7", "7 knots" and "7 knots or more" are near each other; the middle one shares most.
    scores = span_scores([3.0, -9.0, -9.0, -9.0], [1.0, 0.9, -9.0, 0.9], 4)
    (start, end), clarity = clearest_span(scores, 0, 3, flatness=1.0)
    assert (start, end) == (0, 1)
    # By hand: shares e⁴, e³·⁹ and e³·⁹, F1 with the others 2/3 and 2·2/(2 + 4).
    weights = np.exp([4.0, 3.9, 3.9])
    assert clarity == pytest.approx(weights @ [2 / 3, 1, 2 / 3] / weights.sum(), abs=1e-4)


def test_what_the_heads_say_by_hand(tokenizer: tokenizers.Tokenizer) -> None:
    def run(
        ids: NDArray[np.int64], mask: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        assert ids.shape == mask.shape == kinds.shape
        logits = np.zeros((*ids.shape, NUM_HEADS), np.float32)
        logits[0, 0, START], logits[0, 0, END] = 0.5, 1.0
        logits[0, 0, RELEVANCE], logits[0, 0, NEED] = np.log(3), -np.log(4)
        logits[0, 0, SUPPORT] = np.log([4, 3, 2, 1])
        if kinds.any():
            # "mat" is the fifth token of the page, after [CLS], the question and [SEP].
            logits[0, 5 + 4, START], logits[0, 5 + 4, END] = 4.0, 3.0
        return logits

    reader = PairReader(tokenizer, run, longest=64)
    page = "the cat sat on mat"
    found = reader.point(QUESTION, page)
    assert found.span is not None
    assert page[slice(*found.span)] == "mat"
    # Of 15 pairs one has 7, four end at "mat" with 3, and ten have nothing.
    assert found.margin == pytest.approx(np.log(np.exp(7) + 4 * np.exp(3) + 10) - 1.5)
    assert found.relevance == pytest.approx(0.75)
    assert found.focus == 0
    cut = reader.point(QUESTION, page, pieces=[(0, 11), (11, 18)])
    # "on mat" is a piece: "mat", "on mat" and "on" lie within it.
    assert cut.span == found.span
    inside = np.exp(7) + np.exp(3) + 1
    assert cut.focus == pytest.approx(np.log(inside / (np.exp(7) + 4 * np.exp(3) + 10)))
    shares = np.exp(np.array([7, 3, 3, 3, 3]) / 1.5)
    common = [1, 2 / 3, 2 / 4, 2 / 5, 2 / 6]
    assert cut.clarity == pytest.approx(shares @ common / (shares.sum() + 10))
    barred = reader.point(QUESTION, page, bars=[(15, 18)])
    # What is left are ten pairs that have nothing.
    assert barred.span is not None
    assert barred.span[1] <= 14
    assert barred.margin == pytest.approx(np.log(10) - 1.5)
    assert reader.point(QUESTION, page, bars=[(0, 18)]).span is None
    assert reader.support("the cat sat", page) == pytest.approx((0.4, 0.3, 0.2, 0.1))
    assert reader.need(QUESTION) == pytest.approx(0.2)
    assert reader.point(QUESTION, "").span is None
