"""Training rows: the same from the same seed, in any order; weighed by the spans."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from avalan.model.prompt import Tokenizer
from avalan.reflection import tokens
from avalan.train.recipe import Recipe
from avalan.train.rows import Rows, tokenizer_texts


@pytest.fixture(scope="module")
def rows(recipe: Recipe, tokenizer: Tokenizer) -> Rows:
    """The rows of the tiny recipe."""
    return Rows(recipe, tokenizer)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[key], second[key]) for key in first | second)


def test_there_is_a_row_for_every_place_of_every_step(rows: Rows) -> None:
    assert len(rows) == 6 * 2


def test_a_row_does_not_depend_on_what_was_made_before(
    rows: Rows, recipe: Recipe, tokenizer: Tokenizer
) -> None:
    in_order = [rows[index] for index in range(6)]
    fresh = Rows(recipe, tokenizer)
    for index in (5, 0, 3, 3, 1):
        assert same(fresh[index], in_order[index])
    assert not same(in_order[0], in_order[1])


def test_another_seed_makes_other_rows(rows: Rows, recipe: Recipe, tokenizer: Tokenizer) -> None:
    other = Rows(replace(recipe, run=replace(recipe.run, seed=8)), tokenizer)
    assert not same(rows[0], other[0])


def test_a_row_has_the_context_length_and_torchs_types(rows: Rows) -> None:
    row = rows[0]
    assert {key: (value.dtype, tuple(value.shape)) for key, value in row.items()} == {
        "input_ids": (torch.int64, (512,)),
        "weights": (torch.float32, (512,)),
        "position_ids": (torch.int64, (512,)),
    }


def records(row: dict[str, Tensor]) -> Iterator[tuple[list[int], list[float]]]:
    """Token ids and weights of each record, and of the padding at the end."""
    starts = [*torch.nonzero(row["position_ids"] == 0).flatten().tolist(), 512]
    for start, end in pairwise(starts):
        yield row["input_ids"][start:end].tolist(), row["weights"][start:end].tolist()


def test_reflection_tokens_are_graded_and_the_hosts_marks_are_not(
    rows: Rows, recipe: Recipe, tokenizer: Tokenizer
) -> None:
    weights = asdict(recipe.loss)
    spoken = {tokenizer.token_id(text) for text in tokens.ALL} - {
        tokenizer.token_id(text) for text in tokens.MARKUP
    }
    marks = {tokenizer.token_id(text) for text in tokens.MARKUP}
    end = tokenizer.token_id("<|end|>")
    seen = set()
    for index in range(len(rows)):
        for token_ids, graded in records(rows[index]):
            for token_id, weight in zip(token_ids[1:], graded[1:], strict=True):
                if token_id in spoken:
                    assert weight == pytest.approx(weights["reflection"])
                    seen.add(token_id)
                elif token_id in marks:
                    assert weight == 0
                elif token_id == end:
                    assert weight == pytest.approx(weights["eos"])
    assert len(seen) >= 8


def test_padding_is_never_graded(rows: Rows) -> None:
    for index in range(len(rows)):
        row = rows[index]
        assert not row["weights"][row["input_ids"] == rows.pad_id].any()


def test_the_recipe_decides_the_weights(recipe: Recipe, tokenizer: Tokenizer) -> None:
    silent = replace(
        recipe.loss, prompt=0.0, passage=0.0, text=0.0, reflection=2.0, eos=0.0, markup=0.0
    )
    rows = Rows(replace(recipe, loss=silent), tokenizer)
    row = rows[0]
    spoken = set(rows.ids.spoken)
    graded = row["weights"] > 0
    assert {int(token_id) for token_id in row["input_ids"][graded]} <= spoken
    assert set(row["weights"][graded].tolist()) == {2.0}


def test_the_tokenizers_texts_come_from_the_seed(recipe: Recipe) -> None:
    few = replace(recipe, run=replace(recipe.run, tokenizer_records=5, tokenizer_repeats=0))
    texts = list(tokenizer_texts(few))
    assert texts == list(tokenizer_texts(few))
    # Another curriculum is not another language.
    assert texts == list(tokenizer_texts(replace(few, stages=few.stages[:1])))
    assert len(texts) >= 5
    # Fragments come before the records, as often as the recipe says.
    once, twice = (
        list(tokenizer_texts(replace(few, run=replace(few.run, tokenizer_repeats=repeats))))
        for repeats in (1, 2)
    )
    assert once[-len(texts) :] == twice[-len(texts) :] == texts
    assert len(twice) - len(once) == len(once) - len(texts) > 10_000
