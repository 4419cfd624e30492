"""What a recipe will take, told before anything runs. Nothing here needs torch."""

import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np

from avalan.model.nlp.judge import NUM_HEADS
from avalan.train import run_folder
from avalan.train.embedder_recipe import EmbedderRecipe, Student
from avalan.train.kinds import AnyRecipe
from avalan.train.preference_recipe import PreferenceRecipe
from avalan.train.reader_recipe import ReaderRecipe
from avalan.train.recipe import ModelShape, Recipe
from avalan.train.tuning_plan import Sizes, activation_bytes, preference_sizes, tuning_sizes
from avalan.train.tuning_recipe import TuningRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes, counts, and how far the run in the folder is."""

    recipe: str
    folder: str
    num_parameters: int
    num_trained: int
    """Of them, and of what is put beside them, those that learn."""
    memory_bytes: int
    """About: weights, gradients, what the optimizer remembers, and a step's activations."""
    num_steps: int
    tokens_per_step: int
    """Tokens of all rows of a step, padding included."""
    num_tokens: int
    checkpoint_bytes: int
    """One checkpoint; two are kept."""
    save_steps: int
    done_steps: int
    """Steps that the last whole checkpoint holds."""
    tokens_per_s: float | None
    """As this run last measured it on this machine; None until it has."""
    remaining_s: float | None
    """From `tokens_per_s`; None until it is measured."""
    estimated_s: tuple[float, float] | None
    """Until then, from what this processor can do: at best, and at worst. None with a GPU, of which
    nobody knows that before it is used."""


_REACHED = 0.6, 0.2
"""Of the speed of plain matrix products, what a run reaches at best and at worst: models of a few
million weights between .2 and .35 (EXPERIMENTS.md), large ones more."""


def plan(recipe: AnyRecipe, out: Path) -> Plan:
    """The plan of `recipe` in the folder `out`, which may not exist yet.

    Raises:
        ConfigurationError: `out` holds another run.
    """
    run_folder.check(recipe, out)
    sizes = _sizes(recipe)
    checkpoint = run_folder.last_checkpoint(out)
    done = run_folder.step_of(checkpoint) if checkpoint else 0
    reports = run_folder.reports(out)
    speed = reports[-1].tokens_per_s if reports else None
    left = (sizes.num_steps - done) * sizes.tokens_per_step
    return Plan(
        recipe=recipe.name,
        folder=str(out),
        num_parameters=sizes.num_parameters,
        num_trained=sizes.num_trained,
        memory_bytes=sizes.memory_bytes,
        num_steps=sizes.num_steps,
        tokens_per_step=sizes.tokens_per_step,
        num_tokens=sizes.num_steps * sizes.tokens_per_step,
        checkpoint_bytes=sizes.checkpoint_bytes,
        save_steps=recipe.run.save_steps,
        done_steps=done,
        tokens_per_s=speed,
        remaining_s=left / speed if speed else None,
        estimated_s=None if speed or _GPU.exists() else _estimated(sizes, left),
    )


_GPU = Path("/proc/driver/nvidia/version")


def _estimated(sizes: Sizes, num_tokens: int) -> tuple[float, float]:
    """Seconds at best and at worst; 6 operations a weight and token (Kaplan et al., 2020,
    arXiv:2001.08361, §2.1), of which 2 are spared where the weight does not learn."""
    operations = (4 * sizes.num_parameters + 2 * sizes.num_trained) * num_tokens
    best, worst = (operations / (share * _product_speed()) for share in _REACHED)
    return best, worst


@cache
def _product_speed(width: int = 128) -> float:
    """Operations a second of products of float32 matrices, the best within a quarter second, times
    the processors; of a width for which BLAS takes one."""
    matrix = np.ones((width, width), np.float32)
    product = np.empty_like(matrix)
    best, ends = math.inf, perf_counter() + 0.25
    while (started := perf_counter()) < ends:
        np.matmul(matrix, matrix, out=product)
        best = min(best, perf_counter() - started)
    return 2 * width**3 / best * _num_processors()


def _num_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Elsewhere than on Linux.
        return os.cpu_count() or 1


def checkpoint_size(recipe: AnyRecipe) -> int:
    """Bytes of a checkpoint: float32 weights and what the optimizer remembers of them."""
    return _sizes(recipe).checkpoint_bytes


def _sizes(recipe: AnyRecipe) -> Sizes:
    match recipe:
        case TuningRecipe():
            return tuning_sizes(recipe)
        case PreferenceRecipe():
            return preference_sizes(recipe)
        case EmbedderRecipe():
            num, length = num_student_parameters(recipe.student), recipe.corpus.max_tokens
            return _all_learn(recipe, num, length, shape=(recipe.student.num_layers, 384, 0))
        case ReaderRecipe():
            num, length = num_reader_parameters(), recipe.lessons.max_tokens
            return _all_learn(recipe, num, length, shape=(6, 384, 0))
    model = recipe.model
    shape = (model.num_layers, model.hidden_size, model.vocab_size)
    num, length = num_parameters(model), model.context_length
    return _all_learn(recipe, num, length, shape=shape, kept_bytes=checkpoint_bytes(model))


def _all_learn(
    recipe: Recipe | EmbedderRecipe | ReaderRecipe,
    num: int,
    length: int,
    *,
    shape: tuple[int, int, int],
    kept_bytes: int | None = None,
) -> Sizes:
    """Of a run in which every weight learns, over rows of `length` tokens."""
    tokens = recipe.run.rows_per_step * length
    kept_bytes = 12 * num if kept_bytes is None else kept_bytes
    return Sizes(
        num_parameters=num,
        num_trained=num,
        # What a checkpoint has, and the gradients.
        memory_bytes=kept_bytes + 4 * num + activation_bytes(tokens, *shape),
        num_steps=recipe.run.num_steps,
        tokens_per_step=tokens,
        checkpoint_bytes=kept_bytes,
    )


def num_student_parameters(
    shape: Student, *, width: int = 384, vocab_size: int = 30_522, num_positions: int = 512
) -> int:
    """Weights of a student while it learns; the sizes of the rest are MiniLM's, if nobody says.

    A block has twelve matrices' worth of width times width, 13 vectors and 4 norms' parts.
    """
    table = shape.embedding_size * (vocab_size + width) + (num_positions + 4) * width
    return table + shape.num_layers * _block(width)


def num_reader_parameters(
    *, num_layers: int = 6, width: int = 384, vocab_size: int = 30_522, num_positions: int = 512
) -> int:
    """Weights of a reader: an encoder of MiniLM's sizes, if nobody says others, and its heads."""
    table = (vocab_size + num_positions + 4) * width
    return table + num_layers * _block(width) + NUM_HEADS * (width + 1)


def _block(width: int) -> int:
    return 12 * width * width + 13 * width


def num_parameters(shape: ModelShape) -> int:
    """Weights of the model; the embedding counts once, because it is the output layer too."""
    norms = (2 * shape.num_layers + 1) * shape.hidden_size
    return shape.vocab_size * shape.hidden_size + _matrices(shape) + norms


def checkpoint_bytes(shape: ModelShape) -> int:
    """Bytes of a checkpoint, in float32: weights, Muon's one and AdamW's two moments."""
    matrices = _matrices(shape)
    return 4 * (num_parameters(shape) + matrices + 2 * (num_parameters(shape) - matrices))


def _matrices(shape: ModelShape) -> int:
    """Weights of the matrices inside the blocks: attention and feed-forward."""
    width = shape.hidden_size
    kv_width = width * shape.num_kv_heads // shape.num_heads
    attention = 2 * width * width + 2 * width * kv_width
    return shape.num_layers * (attention + 3 * width * shape.intermediate_size)
