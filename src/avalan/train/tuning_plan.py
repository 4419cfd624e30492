"""What tuning will take, from the headers of the base's files and a few records; without torch."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from avalan.data.record_files import read_records, read_texts
from avalan.errors import ConfigurationError, ModelError
from avalan.hub.headers import read_headers
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.prompt import load_tokenizer, read_json
from avalan.model.vocabulary import add_tokens
from avalan.reflection.tokens import PROFILES
from avalan.train.preference_recipe import PreferenceRecipe
from avalan.train.tuning_recipe import Base, TuningRecipe
from avalan.train.tuning_tokens import all_tokens, lacking

_SAMPLED = 200
"""Records whose tokens are counted."""
_FILLED = 0.95
"""Of a row, by records that are packed by first fit."""
_KEPT = 34
"""Bytes of activations that a layer keeps for each token and unit of width; Korthikanti et al.,
2022, arXiv:2205.05198, §4.1, of 16 bits and without attention's own: twice that in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Counts and bytes of a run."""

    num_parameters: int
    num_trained: int
    memory_bytes: int
    num_steps: int
    tokens_per_step: int
    checkpoint_bytes: int


def activation_bytes(num_tokens: int, num_layers: int, width: int, vocab_size: int) -> int:
    """About what is kept of `num_tokens` for the backward pass, in float32, logits included."""
    return num_tokens * (2 * _KEPT * num_layers * width + 3 * 4 * vocab_size)


def tuning_sizes(recipe: TuningRecipe) -> Sizes:
    """The sizes of a run; steps from the records' mean length, where epochs count them.

    Raises:
        ConfigurationError: the data cannot be read.
        ModelError: the base cannot be found.
    """
    folder = find_base(recipe.base, recipe.name)
    config, shapes = _described(folder)
    layers, width = _size(config, _LAYERS), _size(config, _WIDTHS)
    shapes |= _added(shapes, layers, recipe.base.layers)
    num = sum(math.prod(shape) for shape in shapes.values())
    trained = num_trained(recipe, shapes, is_tied=bool(config.get("tie_word_embeddings")))
    tokens = recipe.run.rows_per_step * recipe.lessons.max_tokens
    layers = recipe.base.layers or layers
    at_once = recipe.run.rows_at_once or recipe.run.rows_per_step
    activations = activation_bytes(
        at_once * recipe.lessons.max_tokens, layers, width, int(config["vocab_size"])
    )
    copies = 2 if recipe.change.method == "full" and recipe.loss.kl else 1
    return Sizes(
        num_parameters=num,
        num_trained=trained,
        memory_bytes=4 * copies * num + 12 * trained + activations,
        num_steps=recipe.run.num_steps or _steps(recipe, folder),
        tokens_per_step=tokens,
        checkpoint_bytes=12 * trained,
    )


def find_base(base: Base, name: str) -> Path:
    """Where the base of the recipe `name` lies, downloaded if need be.

    Raises:
        ConfigurationError: the recipe names none.
        ModelError: there is none.
    """
    if not base.model:
        raise ConfigurationError(
            "The recipe {name} names no base; give one with: --set base.model=Qwen/Qwen3-0.6B",
            name=name,
        )
    settings = EngineSettings(engine="transformers", revision=base.revision or None)
    return find_folder(base.model, settings)


def preference_sizes(recipe: PreferenceRecipe) -> Sizes:
    """The sizes of a run; of each row, dpo, orpo and reward read two.

    Raises:
        ModelError: the base cannot be found.
    """
    folder = find_base(recipe.base, recipe.name)
    config, shapes = _described(folder)
    num = sum(math.prod(shape) for shape in shapes.values())
    inside = [s for name, s in shapes.items() if len(s) == 2 and not _is_token_matrix(name)]
    is_full = recipe.change.method == "full"
    trained = num if is_full else recipe.change.rank * sum(sum(shape) for shape in inside)
    pairs = 2 if recipe.method.name in ("dpo", "orpo", "reward") else 1
    tokens = pairs * recipe.run.rows_per_step * recipe.lessons.max_tokens
    layers, width = _size(config, _LAYERS), _size(config, _WIDTHS)
    copies = 2 if is_full and recipe.method.name in ("dpo", "kto", "grpo") else 1
    return Sizes(
        num_parameters=num,
        num_trained=trained,
        memory_bytes=4 * copies * num
        + 12 * trained
        + activation_bytes(tokens, layers, width, int(config["vocab_size"])),
        num_steps=recipe.run.num_steps,
        tokens_per_step=tokens,
        checkpoint_bytes=12 * trained,
    )


_LAYERS, _WIDTHS = ("num_hidden_layers", "n_layer"), ("hidden_size", "n_embd")
"""What families call them in their config.json."""


def _described(folder: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The configuration of a model's language part, and the shapes of its tensors by name."""
    config = read_json(folder / "config.json")
    shapes = {name: tensor.shape for name, tensor in read_headers(folder).items()}
    return {**config, **config.get("text_config", {})}, shapes


def _size(config: Mapping[str, Any], names: Iterable[str]) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    raise ModelError(
        "The base's config.json has none of {names}, so nobody knows what a run would take; give "
        "another base.",
        names=", ".join(names),
    )


def num_trained(
    recipe: TuningRecipe, shapes: Mapping[str, tuple[int, ...]], *, is_tied: bool
) -> int:
    """Weights that learn.

    Args:
        shapes: of the base's tensors, by name.
        is_tied: whether the head is the embedding.
    """
    change = recipe.change
    if change.method == "full":
        return sum(math.prod(shape) for shape in shapes.values())
    embedding = next(s for name, s in shapes.items() if _is_token_matrix(name))
    matrices = 1 if is_tied and change.ensure_weight_tying else 2
    rows = len(PROFILES[recipe.tokens.profile]) * embedding[1] * matrices
    if change.method == "rows":
        return rows
    inside = [
        shape
        for name, shape in shapes.items()
        if len(shape) == 2 and not _is_token_matrix(name) and _is_target(name, recipe)
    ]
    lora = change.rank * sum(sum(shape) for shape in inside)
    match change.embeddings:
        case "whole":
            return lora + matrices * math.prod(embedding)
        case "rows":
            return lora + rows
    return lora


def elders(num_old: int, num_new: int) -> Iterator[tuple[int, bool]]:
    """Of each layer from the bottom, its layer in the old model, and whether it is a copy.

    Copies stand right behind their elders, spread evenly.
    """
    extra = num_new - num_old
    for layer in range(num_old):
        yield layer, False
        copies = (layer + 1) * extra // num_old - layer * extra // num_old
        yield from [(layer, True)] * copies


def _added(
    shapes: Mapping[str, tuple[int, ...]], num_old: int, num_new: int
) -> dict[str, tuple[int, ...]]:
    """The tensors of the copies of layers."""
    copies = [number for number, is_copy in elders(num_old, num_new or num_old) if is_copy]
    return {
        f"{name} (copy {place})": shape
        for place, number in enumerate(copies)
        for name, shape in shapes.items()
        if f".layers.{number}." in name
    }


def _is_token_matrix(name: str) -> bool:
    return "embed" in name or "lm_head" in name or name.endswith("wte.weight")


def _is_target(name: str, recipe: TuningRecipe) -> bool:
    targets = recipe.change.target_modules
    return targets == ("all-linear",) or name.removesuffix(".weight").endswith(targets)


def _steps(recipe: TuningRecipe, folder: Path) -> int:
    """Steps of all epochs, from the length of the first records."""
    if recipe.lessons.texts:
        return _steps_of_texts(recipe, folder)
    place = Path(recipe.lessons.data).expanduser()
    new = lacking(recipe.tokens.profile, load_tokenizer(folder))
    tokenizer = load_tokenizer(folder, change=lambda text: add_tokens(text, (), new))
    first = islice(read_records(place, "train"), _SAMPLED)
    lengths = [len(each.input_ids) for each in all_tokens(recipe, first, tokenizer)]
    if not lengths:
        return 0
    num = _num_records(place)
    num = min(num, recipe.lessons.num) if recipe.lessons.num else num
    rows = num * sum(lengths) / len(lengths) / (_FILLED * recipe.lessons.max_tokens)
    return max(1, round(recipe.run.num_epochs * rows / recipe.run.rows_per_step))


def _steps_of_texts(recipe: TuningRecipe, folder: Path) -> int:
    """Steps over texts, from how many characters a token of the first ones has."""
    tokenizer = load_tokenizer(folder)
    texts = list(read_texts([Path(place).expanduser() for place in recipe.lessons.texts]))
    sample = "".join(text[:_SAMPLED] for text in texts[:_SAMPLED])
    per_character = len(tokenizer.encode(sample)) / max(len(sample), 1)
    rows = per_character * sum(map(len, texts)) / recipe.lessons.max_tokens
    return max(1, round(recipe.run.num_epochs * rows / recipe.run.rows_per_step))


def _num_records(place: Path) -> int:
    """Of the training split."""
    if place.is_dir():
        told: dict[str, Any] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        return sum(row["num"] for row in told["kept"] if row["split"] == "train")
    return sum(1 for _ in read_records(place, "train"))
