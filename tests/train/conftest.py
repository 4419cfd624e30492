"""One tiny training run that many tests look at."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.train import tokenizer as bpe
from avalan.train.pretrain import pretrain
from avalan.train.progress import Event
from avalan.train.recipe import Recipe, load_recipe
from avalan.train.rows import tokenizer_texts

PICO = """
[model]
vocab_size = 600
hidden_size = 32
num_layers = 2
num_heads = 2
num_kv_heads = 1
intermediate_size = 48

[run]
num_steps = 6
rows_per_step = 2
warmup_steps = 2
save_steps = 3
tokenizer_records = 150
tokenizer_repeats = 0

[[stage]]
until = 0.5
lookup = 0.8
reading = 0.1
decisions = 0.1

[[stage]]
until = 1.0
lookup = 0.2
reading = 0.4
decisions = 0.4
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run's folder after its end, and what it told."""

    recipe: Recipe
    out: Path
    model: Path
    events: tuple[Event, ...]


@pytest.fixture(autouse=True)
def _quiet_threads() -> Iterator[None]:
    """Sums on one thread are the same whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of two small layers and six steps."""
    path = tmp_path_factory.mktemp("recipe") / "pico.toml"
    path.write_text(PICO)
    return path


@pytest.fixture(scope="session")
def recipe(recipe_file: Path) -> Recipe:
    """The recipe of `recipe_file`."""
    return load_recipe(str(recipe_file))


@pytest.fixture(scope="session")
def tokenizer_folder(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer that the recipe learns."""
    folder = tmp_path_factory.mktemp("learned") / "tokenizer"
    bpe.save(bpe.learn(tokenizer_texts(recipe), vocab_size=600), folder, context_length=512)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    """The same, loaded as avalan loads it."""
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def finished(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run of the recipe, never interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("run")
    events: list[Event] = []
    model = pretrain(recipe, out, events.append, device="cpu")
    return FinishedRun(recipe=recipe, out=out, model=model, events=tuple(events))


def with_run(recipe: Recipe, **changes: float) -> Recipe:
    """The recipe with other values in its section `run`."""
    return replace(recipe, run=replace(recipe.run, **changes))
