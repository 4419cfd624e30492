"""Claims that are made of a page: each is what its grade says."""

from random import Random

import pytest

from avalan.data.claims import changed, claim

PAGE = "The mill at Osby grinds rye before noon. It was sold to Anna Holm in 1887 for 240 crowns."
OTHER = "A ferry leaves the quay every morning at six. Dogs travel free of charge on deck."


@pytest.mark.parametrize("seed", range(20))
def test_a_claim_says_what_its_page_says_as_far_as_its_grade(seed: int) -> None:
    said = claim(PAGE, OTHER, "full", Random(seed))
    strange = claim(PAGE, OTHER, "none", Random(seed))
    half = claim(PAGE, OTHER, "partial", Random(seed))
    wrong = claim(PAGE, OTHER, "contradicted", Random(seed))
    assert said is not None
    assert strange is not None
    assert half is not None
    assert wrong is not None
    assert said in PAGE
    assert strange in OTHER
    words = half.lower()
    assert any(piece in words for piece in ("rye before noon", "for 240 crowns"))
    assert any(piece in words for piece in ("morning at six", "free of charge on deck"))
    assert wrong not in PAGE


def test_what_is_changed_is_a_number_a_name_or_an_opposite() -> None:
    sentence = "It was sold to Anna Holm in 1887."
    found = {changed(sentence, PAGE, Random(seed)) for seed in range(200)}
    assert sentence not in found
    assert "It was not sold to Anna Holm in 1887." in found
    assert "It was sold to Osby Holm in 1887." in found
    years = {each.split()[-1] for each in found if each and each.startswith("It was sold to Anna ")}
    assert all(len(year) == len("1887.") and year[0] != "0" for year in years)
    assert len(years) > 10


def test_a_sentence_without_anything_to_change_gives_nothing() -> None:
    assert changed("Bread feeds people", PAGE, Random(0)) is None
    assert claim("Too short.", OTHER, "full", Random(0)) is None
    assert claim(PAGE, "Too short.", "none", Random(0)) is None


def test_a_word_is_turned_whole_or_not_at_all() -> None:
    assert changed("Callers allowed in Boldness", "", Random(0)) is None
    assert changed("they cannot come", "", Random(0)) == "they can come"
