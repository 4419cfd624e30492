"""What a recipe will take, told before anything runs. Nothing here needs torch."""

from dataclasses import dataclass
from pathlib import Path

from avalan.model.nlp.judge import NUM_HEADS
from avalan.train import run_folder
from avalan.train.embedder_recipe import EmbedderRecipe, Student
from avalan.train.kinds import AnyRecipe
from avalan.train.reader_recipe import ReaderRecipe
from avalan.train.recipe import ModelShape, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes, counts, and how far the run in the folder is."""

    recipe: str
    folder: str
    num_parameters: int
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


def plan(recipe: AnyRecipe, out: Path) -> Plan:
    """The plan of `recipe` in the folder `out`, which may not exist yet.

    Raises:
        ConfigurationError: `out` holds another run.
    """
    run_folder.check(recipe, out)
    tokens_per_step = recipe.run.rows_per_step * _row_length(recipe)
    checkpoint = run_folder.last_checkpoint(out)
    done = run_folder.step_of(checkpoint) if checkpoint else 0
    reports = run_folder.reports(out)
    speed = reports[-1].tokens_per_s if reports else None
    left = (recipe.run.num_steps - done) * tokens_per_step
    return Plan(
        recipe=recipe.name,
        folder=str(out),
        num_parameters=size(recipe),
        num_steps=recipe.run.num_steps,
        tokens_per_step=tokens_per_step,
        num_tokens=recipe.run.num_steps * tokens_per_step,
        checkpoint_bytes=checkpoint_size(recipe),
        save_steps=recipe.run.save_steps,
        done_steps=done,
        tokens_per_s=speed,
        remaining_s=left / speed if speed else None,
    )


def _row_length(recipe: AnyRecipe) -> int:
    """Tokens of a row at most."""
    match recipe:
        case EmbedderRecipe():
            return recipe.corpus.max_tokens
        case ReaderRecipe():
            return recipe.lessons.max_tokens
        case _:
            return recipe.model.context_length


def size(recipe: AnyRecipe) -> int:
    """Weights of the model that `recipe` makes."""
    match recipe:
        case EmbedderRecipe():
            return num_student_parameters(recipe.student)
        case ReaderRecipe():
            return num_reader_parameters()
        case _:
            return num_parameters(recipe.model)


def checkpoint_size(recipe: AnyRecipe) -> int:
    """Bytes of a checkpoint: float32 weights and what the optimizer remembers of them."""
    if isinstance(recipe, Recipe):
        return checkpoint_bytes(recipe.model)
    return 3 * 4 * size(recipe)


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
