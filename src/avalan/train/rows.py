"""Training rows made on demand: a map from row number to tensors, from a seed alone."""

import signal
from collections.abc import Iterator
from dataclasses import asdict
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from avalan.data import decisions, mixture, worlds
from avalan.data.lexicon import common_words
from avalan.data.mixture import Stage, rng_for, stage_at
from avalan.model.prompt import Tokenizer
from avalan.reflection.render import Kind, Piece, render
from avalan.reflection.tokens import reflection_ids
from avalan.train.recipe import Recipe
from avalan.train.tokenizer import END, PAD

# Recipes that differ in their stages alone share one tokenizer.
TOKENIZER_STAGE = Stage(until=1.0, lookup=0.03, reading=0.67, decisions=0.3)


class Rows(Dataset[dict[str, Tensor]]):
    """Row `i` packs records drawn with the recipe's seed and `i`; see `mixture.pack`."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.ids = reflection_ids(tokenizer.token_id) if recipe.model.reflects else None
        self.pad_id, self.end_id = _control_id(tokenizer, PAD), _control_id(tokenizer, END)
        loss = asdict(recipe.loss)
        self.shown_share: float = loss.pop("shown_share")
        self.weights = cast("dict[Kind, float]", loss)

    def __len__(self) -> int:
        return self.recipe.run.num_steps * self.recipe.run.rows_per_step

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if get_worker_info() is not None:
            # Ctrl-C reaches every process of a terminal; the one that trains decides what it means.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        rng = rng_for(self.recipe.run.seed, index)
        stage = stage_at(self.recipe.stages, index / len(self))

        def draw() -> list[Piece]:
            record = mixture.record(rng, stage, identifier=f"row{index}")
            return render(record, self.tokenizer, self.ids, self.end_id)

        row = mixture.pack(
            draw,
            self.weights,
            row_length=self.recipe.model.context_length,
            pad_id=self.pad_id,
            rng=rng,
            shown_share=self.shown_share,
        )
        return {
            "input_ids": torch.from_numpy(row.token_ids),
            "weights": torch.from_numpy(row.weights),
            "position_ids": torch.from_numpy(row.position_ids),
        }


def _control_id(tokenizer: Tokenizer, text: str) -> int:
    token_id = tokenizer.token_id(text)
    assert token_id is not None, text
    return token_id


def tokenizer_texts(recipe: Recipe) -> Iterator[str]:
    """What the tokenizer is learned from: common words and every written fragment, which
    are natural English and so count several times, then the text of records."""
    for _ in range(recipe.run.tokenizer_repeats):
        yield from _fragments()
    for index in range(recipe.run.tokenizer_records):
        rng = rng_for(recipe.run.seed, -1 - index)
        record = mixture.record(rng, TOKENIZER_STAGE, identifier=f"t{index}")
        yield record.messages[-1].content
        for segment in record.segments:
            yield from (f"{passage.title}\n{passage.text}" for passage in segment.passages[-1:])


def _fragments() -> Iterator[str]:
    yield from (f" {word}" for word in common_words() for _ in range(3))
    for domain in worlds.domains():
        yield from (*domain.openers, *domain.fillers, *domain.aliases)
        for relation in domain.relations:
            yield from (
                *relation.statements,
                *relation.questions,
                *relation.answers,
                relation.label,
            )
    phrases = decisions.phrases()
    for wordings in (*phrases.patterns.values(), *phrases.slots.values()):
        yield from wordings
    for pair in (*phrases.facts, *phrases.talk, *phrases.definitions):
        yield from pair
