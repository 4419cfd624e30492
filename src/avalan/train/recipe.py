"""A recipe: one TOML file that says everything about a training run.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from avalan.data.mixture import Stage
from avalan.errors import ConfigurationError


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
    """How often the hand-written fragments and common words count beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything about a run."""

    name: str
    model: ModelShape = field(default_factory=ModelShape)
    loss: Loss = field(default_factory=Loss)
    run: Run = field(default_factory=Run)
    stages: tuple[Stage, ...] = ()


def load_recipe(name: str, changes: dict[str, str] | None = None) -> Recipe:
    """Read the recipe file `name`, or the one of that name in the package.

    Args:
        changes: dotted keys and TOML values, as `{"run.seed": "8"}`, that override the file.

    Raises:
        ConfigurationError: there is no such recipe, a key is unknown, or a value is of another type.
    """
    path = Path(name)
    shipped = files("avalan.train") / "recipes" / path.name
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    elif path.name == name and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        known = ", ".join(sorted(row.name for row in (files("avalan.train") / "recipes").iterdir()))
        raise ConfigurationError(
            f"There is no recipe {name!r}; give the path of a TOML file, or one of: {known}."
        )
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The recipe {name} is not valid TOML: {error}.") from None
    for key, value in (changes or {}).items():
        _override(table, key, value)
    return _recipe(table, path.stem)


def _override(table: dict[str, Any], key: str, value: str) -> None:
    section, _, name = key.partition(".")
    if not name or not isinstance(table.setdefault(section, {}), dict):
        raise ConfigurationError(f"--set {key}={value}: write section.key=value, as run.seed=8.")
    try:
        table[section][name] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        table[section][name] = value


def _recipe(table: dict[str, Any], name: str) -> Recipe:
    sections = {"model": ModelShape, "loss": Loss, "run": Run}
    stages = table.pop("stage", [])
    if unknown := set(table) - set(sections):
        raise ConfigurationError(_unknown(min(unknown), [*sections, "stage"]))
    made = {key: _fields(kind, table.get(key, {}), key) for key, kind in sections.items()}
    if not stages:
        raise ConfigurationError("A recipe needs at least one [[stage]]; see recipes/bundled.toml.")
    made["stages"] = tuple(_fields(Stage, stage, "stage") for stage in stages)
    return Recipe(name=name, **made)


def _fields(kind: type, values: dict[str, Any], section: str) -> Any:
    known = {row.name: row.type for row in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise ConfigurationError(
                _unknown(f"{section}.{key}", [f"{section}.{k}" for k in known])
            )
        wanted = known[key]
        numeric = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        if type(value) is not wanted and not numeric:
            raise ConfigurationError(
                f"The recipe's {section}.{key} is {value!r}, but it must be "
                f"{getattr(wanted, '__name__', wanted)}."
            )
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigurationError(f"The recipe's [{section}] is incomplete: {error}.") from None


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the keys are: {', '.join(known)}."
    return f"The recipe has a key {key!r} that means nothing here; {hint}"
