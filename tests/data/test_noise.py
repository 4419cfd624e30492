"""How people type: a question stays a question, about as long as it was."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from avalan.data.noise import as_typed, typo

SEEDS = st.integers(0, 2**32 - 1)
QUESTION = "Who founded the Ashford Mill in the year of the great flood?"


@given(seed=SEEDS, text=st.text(min_size=1, max_size=200))
def test_noise_leaves_the_length_similar(seed: int, text: str) -> None:
    # The longest courtesies have 37 and 22 characters; lower case may lengthen a letter.
    typed = as_typed(text, Random(seed))
    assert len(typed) <= 3 * len(text) + 62


@given(seed=SEEDS)
def test_noise_keeps_most_words(seed: int) -> None:
    words = set(QUESTION.lower().strip("?").split())
    typed = set(as_typed(QUESTION, Random(seed)).lower().split())
    assert len(words & {word.strip("?.!,") for word in typed}) >= len(words) - 4


def test_half_of_the_questions_stay_as_they_are_and_the_others_vary() -> None:
    typed = [as_typed(QUESTION, Random(seed)) for seed in range(1000)]
    assert 0.4 < typed.count(QUESTION) / 1000 < 0.65
    assert 0.10 < sum(text.islower() for text in typed) / 1000 < 0.22
    assert 0.01 < sum(text.isupper() for text in typed) / 1000 < 0.04
    assert len(set(typed)) > 120


@given(seed=SEEDS, text=st.text(min_size=0, max_size=60))
def test_a_typo_is_one_slip(seed: int, text: str) -> None:
    slipped = typo(text, Random(seed))
    assert abs(len(slipped) - len(text)) <= 1
    assert slipped[:1] == text[:1]
    assert slipped[-1:] == text[-1:]


def test_a_text_without_words_has_no_typos() -> None:
    assert [typo(text, Random(0)) for text in ("", "a", "12 + 34", "?!")] == [
        "", "a", "12 + 34", "?!",
    ]  # fmt: skip
