"""A recipe: one TOML file that says everything about a training run.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar

from avalan.data.general import GENERAL
from avalan.data.mixture import Stage
from avalan.errors import ConfigurationError
from avalan.locale import _, _n
from avalan.table import check_keys, field_types, read_fields, read_toml, value_of

EXAMPLE = "until = 1.0, lookup = 0.2, reading = 0.5, decisions = 0.3"
"""A stage, for those who have none."""

MIN_VOCAB_SIZE = 276
"""256 bytes, 5 control tokens and 15 reflection tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A Llama with tied embeddings."""

    vocab_size: int = 4096
    """Entries of the vocabulary, control tokens included."""
    hidden_size: int = 256
    """Width of the residual stream."""
    num_layers: int = 6
    """Transformer blocks."""
    num_heads: int = 4
    """Query heads."""
    num_kv_heads: int = 2
    """Key and value heads."""
    intermediate_size: int = 512
    """Width of the feed-forward layer."""
    context_length: int = 512
    """Most tokens that the model reads at once, and the length of a training row."""
    rope_theta: float = 10_000.0
    """Base of the rotary position embedding."""
    reflects: bool = True
    """Whether the vocabulary has reflection tokens; without, stages have only what needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Weight of each kind of token in the loss, by the spans of the renderer."""

    prompt: float = 0.3
    """The question and the chat's marks."""
    passage: float = 0.3
    """Text of a passage: what a model trained from nothing learns its language from."""
    markup: float = 0.0
    """The marks around a passage, which the host writes."""
    text: float = 1.0
    """What the model says."""
    reflection: float = 1.0
    """Reflection tokens."""
    eos: float = 0.5
    """The end of the answer."""
    shown_share: float = 0.2
    """Share of the prompt's and the passages' tokens that are graded at all (0 to 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long, how fast, from which seed."""

    seed: int = 7
    """Seed of the weights and of every row."""
    num_steps: int = 3000
    """Optimizer steps."""
    rows_per_step: int = 8
    """Rows of `context_length` tokens in a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises from 0."""
    decay_share: float = 0.25
    """Share of the steps, at the end, over which the learning rate falls to 0 (WSD)."""
    weight_decay: float = 0.05
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    bf16: bool = True
    """Compute in bfloat16 where the machine can (weights stay float32)."""
    save_steps: int = 100
    """Steps between checkpoints."""
    tokenizer_records: int = 4_000
    """Records from which the tokenizer is learned."""
    tokenizer_repeats: int = 6
    """How often the written fragments and common words count beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything about a run that makes a language model."""

    trainer: ClassVar[tuple[str, str]] = ("avalan.train.pretrain", "pretrain")
    trial: ClassVar[str] = 'avalan model run {folder} "…"'
    name: str
    model: ModelShape = field(default_factory=ModelShape)
    loss: Loss = field(default_factory=Loss)
    run: Run = field(default_factory=Run)
    stages: tuple[Stage, ...] = ()


def load_recipe(name: str, changes: dict[str, str] | None = None) -> Recipe:
    """Read the recipe of a language model: `read_recipe`, then `recipe_from_table`."""
    return recipe_from_table(*read_recipe(name, changes))


def read_recipe(name: str, changes: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """What the recipe file `name`, or the one of that name in the package, says; and its name.

    Args:
        changes: dotted keys and TOML values, as `{"run.seed": "8"}`, that override the file.

    Raises:
        ConfigurationError: there is no such recipe, or it cannot be read or changed.
    """
    table = read_toml(_find(name), _("The recipe {name}", name=name))
    for key, value in (changes or {}).items():
        _override(table, key, value)
    return table, Path(name).stem


def shipped_recipes() -> list[str]:
    """The names of the recipes in the package."""
    rows = (files("avalan.train") / "recipes").iterdir()
    return sorted(row.name.removesuffix(".toml") for row in rows if row.name.endswith(".toml"))


def _find(name: str) -> Traversable:
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigurationError(
            "The recipe {name} is a folder; give the path of a TOML file.", name=name
        )
    if name.removesuffix(".toml") in shipped_recipes():
        return files("avalan.train") / "recipes" / f"{name.removesuffix('.toml')}.toml"
    raise ConfigurationError(
        "There is no recipe {name!r}; give the path of a TOML file, or one of: {known}.",
        name=name,
        known=", ".join(shipped_recipes()),
    )


def _override(table: dict[str, Any], key: str, value: str) -> None:
    section, _dot, name = key.partition(".")
    if section == "stage":
        raise ConfigurationError(
            "--set {key}={value}: the stages are a list; copy the recipe to change them.",
            key=key,
            value=value,
        )
    if not name or not isinstance(table.setdefault(section, {}), dict):
        raise ConfigurationError(
            "--set {key}={value}: write section.key=value, as run.seed=8.", key=key, value=value
        )
    table[section][name] = value_of(value)


def recipe_from_table(table: dict[str, Any], name: str) -> Recipe:
    """The recipe `name` from what its TOML file says.

    Raises:
        ConfigurationError: a key is unknown, or a value is of another type or impossible.
    """
    made = read_sections(table, {"model": ModelShape, "loss": Loss, "run": Run}, "stage", name)
    stages = table.get("stage", [])
    if not stages or not isinstance(stages, list):
        raise ConfigurationError(
            "The recipe {name} has no [[stage]], which says what is read until when; add one "
            "with a line for each of: {keys}.",
            name=name,
            keys=EXAMPLE,
        )
    file = _("The recipe {name}", name=name)
    made["stages"] = tuple(_read_section(Stage, stage, "stage", file) for stage in stages)
    recipe = Recipe(name=name, **made)
    _check_values(recipe)
    return recipe


def read_sections(
    table: dict[str, Any], sections: Mapping[str, type], beside: str, name: str
) -> dict[str, Any]:
    """The dataclasses of a recipe's sections, by key, from what its TOML file says.

    Args:
        beside: the one key that the file may have beside them.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is of another type.
    """
    file = _("The recipe {name}", name=name)
    check_keys(table, [beside, *sections], file)
    return {
        key: _read_section(kind, table.get(key, {}), key, file) for key, kind in sections.items()
    }


def _read_section(kind: type, values: Any, section: str, file: str) -> Any:
    """The dataclass `kind` from what the section of a recipe says.

    Raises:
        ConfigurationError: it is no table, or a key of it is unknown, missing or of another type.
    """
    if not isinstance(values, dict):
        raise ConfigurationError(
            "{file} has {section} = {values!r}; write it as [{section}].",
            file=file,
            section=section,
            values=values,
        )
    kinds = field_types(kind)
    given = read_fields(kinds, values, section, file)
    needed = [row.name for row in dataclasses.fields(kind) if row.default is dataclasses.MISSING]
    if missing := [name for name in needed if name not in given]:
        raise ConfigurationError(
            "{file} has an incomplete [[{section}]]; add: {missing}.",
            file=file,
            section=section,
            missing=", ".join(missing),
        )
    return kind(**given)


# From where to where each number may be; the loss's weights may be 0 too. The upper ends are
# beyond what anybody trains, and below what a slip of the finger makes.
RUN_RANGES: dict[str, tuple[float, float]] = {
    "run.seed": (0, 2**32 - 1),
    "run.num_steps": (1, 10**7),
    "run.rows_per_step": (1, 10**5),
    "run.warmup_steps": (0, 10**7),
    "run.decay_share": (0, 1),
    "run.weight_decay": (0, 1_000),
    "run.save_steps": (1, 10**7),
}
_RANGES: dict[str, tuple[float, float]] = {
    "model.vocab_size": (MIN_VOCAB_SIZE, 2**20),
    "model.hidden_size": (2, 2**16),
    "model.num_layers": (1, 1_000),
    "model.num_heads": (1, 1_000),
    "model.num_kv_heads": (1, 1_000),
    "model.intermediate_size": (1, 2**20),
    "model.context_length": (16, 2**20),
    **RUN_RANGES,
    "run.tokenizer_records": (0, 10**7),
    "run.tokenizer_repeats": (0, 10**4),
    **{f"loss.{row.name}": (0, 1_000) for row in dataclasses.fields(Loss)},
    "loss.shown_share": (0, 1),
}


def _check_values(recipe: Recipe) -> None:
    """Raise for the first value that no run could use."""
    model, loss = recipe.model, recipe.loss
    check_ranges(recipe, _RANGES, ("model.rope_theta", "run.learning_rate", "run.max_grad_norm"))
    if model.hidden_size % (2 * model.num_heads):
        demand = _n(
            "The recipe's {name} is {value}, but it must divide model.hidden_size ({width}) into "
            "even parts."
        )
        raise _impossible(recipe, "model.num_heads", demand, width=model.hidden_size)
    if model.num_heads % model.num_kv_heads:
        demand = _n("The recipe's {name} is {value}, but it must divide model.num_heads ({heads}).")
        raise _impossible(recipe, "model.num_kv_heads", demand, heads=model.num_heads)
    if not loss.text + loss.reflection:
        raise ConfigurationError("The recipe's loss must give text or reflection a weight.")
    for stage in recipe.stages:
        _check_stage(stage)
        if not model.reflects and (wrong := _reflecting(stage)):
            raise ConfigurationError(
                "The stage until {until} has {kind}, which needs reflection tokens; give it only "
                "{plain}, or set model.reflects = true.",
                until=stage.until,
                kind=wrong[0],
                plain=", ".join(GENERAL),
            )


def check_ranges(
    recipe: Any, ranges: Mapping[str, tuple[float, float]], positive: Iterable[str]
) -> None:
    """Raise for the first number of a recipe that is out of its range.

    Args:
        ranges: from where to where, by dotted key.
        positive: keys whose numbers must be above 0 and finite.
    """
    for name, (least, most) in ranges.items():
        # Written so that not-a-number fails too.
        if not least <= _value(recipe, name) <= most:
            demand = _n(
                "The recipe's {name} is {value}, but it must be from {least:,} to {most:,}."
            )
            raise _impossible(recipe, name, demand, least=least, most=most)
    for name in positive:
        if not 0 < _value(recipe, name) < math.inf:
            demand = _n("The recipe's {name} is {value}, but it must be > 0 and finite.")
            raise _impossible(recipe, name, demand)


def check_choices(recipe: Any, choices: Mapping[str, Iterable[str]]) -> None:
    """Raise for the first word of a recipe, by dotted key, that is none of those it may be."""
    for name, known in choices.items():
        section, _dot, key = name.partition(".")
        value = getattr(getattr(recipe, section), key)
        if value not in known:
            raise ConfigurationError(
                "The recipe's {name} is {value!r}, but it must be one of: {known}.",
                name=name,
                value=value,
                known=", ".join(known),
            )


def _value(recipe: Any, name: str) -> float:
    section, _, key = name.partition(".")
    value: float = getattr(getattr(recipe, section), key)
    return value


def _impossible(recipe: Any, name: str, demand: str, **values: float) -> ConfigurationError:
    return ConfigurationError(demand, name=name, value=_value(recipe, name), **values)


def _reflecting(stage: Stage) -> list[str]:
    kinds = [row.name for row in dataclasses.fields(stage)]
    return [name for name in kinds if name not in ("until", *GENERAL) and getattr(stage, name)]


def _check_stage(stage: Stage) -> None:
    shares = {row.name: getattr(stage, row.name) for row in dataclasses.fields(stage)}
    until = shares.pop("until")
    if not 0 < until <= 1:
        raise ConfigurationError(
            "A stage's until is {until}, but it must be above 0 and at most 1.", until=until
        )
    if not all(0 <= share < math.inf for share in shares.values()) or not sum(shares.values()):
        raise ConfigurationError(
            "The shares of the stage until {until} must be ≥ 0 and not all be 0.", until=until
        )
