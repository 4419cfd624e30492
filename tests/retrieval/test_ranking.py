"""Two searches become one ranking, in which no text stands twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval import ranking
from avalan.retrieval.backend import most_bm25
from avalan.retrieval.entities import Passage

SCORES = st.dictionaries(st.integers(1, 9), st.floats(0.01, 20.0))
COSINES = st.dictionaries(st.integers(1, 9), st.floats(-1.0, 1.0))


def passage(text: str, start: int = 0) -> Passage:
    return Passage(
        source="a.txt", start=start, end=start + len(text), text=text, heading="", offsets_in="file"
    )


def test_a_score_is_the_cosine_and_the_share_of_what_words_could_reach() -> None:
    fused = ranking.fuse({1: 6.0, 2: 3.0}, {1: 0.5, 3: 0.7}, most_lexical=12.0, lexical_weight=0.4)
    # 2 has no vector yet: half as good by words as the best, it counts as half-way from the median.
    assert fused == pytest.approx({1: 0.5 + 0.2, 2: 0.65 + 0.1, 3: 0.7})


def test_without_vectors_words_alone_decide() -> None:
    assert ranking.fuse({1: 6.0, 2: 3.0}, {}, most_lexical=12.0) == {1: 0.5, 2: 0.25}


@given(COSINES)
def test_without_shared_words_meaning_alone_decides(dense: dict[int, float]) -> None:
    fused = ranking.fuse({}, dense, most_lexical=0.0)
    assert fused == dense


@given(SCORES, COSINES)
def test_what_both_searches_prefer_is_preferred(
    lexical: dict[int, float], dense: dict[int, float]
) -> None:
    fused = ranking.fuse(lexical, dense, most_lexical=20.0)
    for one in lexical.keys() & dense.keys():
        for other in lexical.keys() & dense.keys():
            if lexical[one] >= lexical[other] and dense[one] >= dense[other]:
                assert fused[one] >= fused[other]


def test_the_most_that_bm25_comes_to_is_the_sum_of_what_each_word_saturates_to() -> None:
    # ln((10 - 2 + .5) / 2.5) = 1.2238 and ln((10 - 1 + .5) / 1.5) = 1.8458, each times 2.2.
    assert most_bm25([2, 1], 10) == pytest.approx(6.7531, abs=1e-4)
    # In more than half of the passages, a word says nothing.
    assert most_bm25([6], 10) == pytest.approx(2.2e-6)


def test_passages_added_between_two_counts_are_no_error() -> None:
    assert most_bm25([12], 9) == most_bm25([12], 12)
    assert most_bm25([1, 12], 9) == most_bm25([1, 12], 12)
    assert most_bm25([], 0) == 0


def test_the_best_come_first_and_ties_in_the_order_of_numbers() -> None:
    assert ranking.ranked({3: 1.0, 1: 0.5, 2: 1.0, 4: 2.0}) == [4, 2, 3, 1]


TEXT = "the quick brown fox jumps over the lazy dog and runs far away into the dark green wood"


def test_the_same_text_is_folded_into_the_first_that_says_it() -> None:
    twice = TEXT.replace("dog", "dog,").upper()
    found = ranking.fold([[passage(TEXT), passage("other words"), passage(twice, 500)]], 5)

    assert [each.text for each in found] == [TEXT, "other words"]
    assert [each.start for each in found[0].also] == [500]


def test_folding_goes_on_for_those_that_are_shown() -> None:
    found = ranking.fold([[passage("a b"), passage("c d"), passage("e f"), passage("a b", 9)]], 2)
    assert [each.text for each in found] == ["a b", "c d"]
    assert len(found[0].also) == 1


def test_folding_reads_on_until_there_are_enough_and_no_further() -> None:
    batches = iter([[passage("a b"), passage("a b", 9)], [passage("c d")], [passage("e f")]])
    found = ranking.fold(batches, 2)
    assert [each.text for each in found] == ["a b", "c d"]
    assert [each.text for each in next(batches)] == ["e f"]


def test_resemblance_is_the_share_of_runs_of_four_words_that_both_have() -> None:
    first, second = (ranking.shingles(text) for text in ("a b c d e f g h", "a b c d e f g i"))
    assert ranking.resemblance(first, second) == pytest.approx(4 / 6)
    assert ranking.resemblance(first, first) == 1.0
    assert ranking.resemblance(first, ranking.shingles("a b")) == 0.0


def test_new_scores_give_a_new_order() -> None:
    passages = [passage("a"), passage("b"), passage("c")]
    found = ranking.reranked(passages, [0.1, 0.9, 0.1])
    assert [(each.text, each.score) for each in found] == [("b", 0.9), ("a", 0.1), ("c", 0.1)]
