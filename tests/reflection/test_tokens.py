"""The table of reflection tokens."""

import pytest

from avalan.errors import ModelError
from avalan.model.prompt import Tokenizer
from avalan.reflection.tokens import ALL, ReflectionIds, reflection_ids


def test_there_are_fifteen_of_which_a_model_says_thirteen(ids: ReflectionIds) -> None:
    assert len(ALL) == len(set(ALL)) == 15
    assert len(set(ids.spoken)) == 13
    assert not {ids.paragraph, ids.paragraph_end} & set(ids.spoken)


def test_every_token_is_one_id_in_the_order_of_its_group(
    tokenizer: Tokenizer, ids: ReflectionIds
) -> None:
    assert {*ids.spoken, ids.paragraph, ids.paragraph_end} <= tokenizer.special_ids
    said = [tokenizer.decode([each]) for each in ids.spoken]
    assert said == list(ALL[:13])
    assert tokenizer.decode([ids.paragraph, ids.paragraph_end]) == "<paragraph></paragraph>"
    assert [tokenizer.decode([each]) for each in ids.utility] == [
        f"[Utility:{grade}]" for grade in (1, 2, 3, 4, 5)
    ]


def test_a_vocabulary_without_them_is_named() -> None:
    known = {text: number for number, text in enumerate(ALL) if text != "[Relevant]"}
    with pytest.raises(
        ModelError, match=r"no reflection token \[Relevant\] \(1 of 15 are absent\)"
    ):
        reflection_ids(known.get)
