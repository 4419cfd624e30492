"""A recipe that teaches a model by what is better than what: preferences, marks or a reward.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from avalan.errors import ConfigurationError
from avalan.train.recipe import RUN_RANGES, check_choices, check_ranges, read_sections
from avalan.train.schedules import SCHEDULES
from avalan.train.tuning_recipe import Base

METHODS = ("dpo", "kto", "orpo", "grpo", "reward")
CHANGES = ("lora", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is learned from."""

    data: str = ""
    """A file with an object of JSON on each line: a `prompt` (a text that the user says, or a list
    of messages), with `chosen` and `rejected` for
    dpo, orpo and reward, `completion` and `label` for kto, anything else for grpo's reward."""
    max_tokens: int = 1024
    """Tokens of a prompt with its answer; what is longer is cut at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How what is better is made likelier."""

    name: str = "dpo"
    """dpo, kto, orpo, grpo, or reward, which makes a model that grades."""
    beta: float = 0.1
    """dpo and kto: how dear it is to leave the base; orpo: the weight of the odds; grpo: of the
    distance to the base, in nats."""
    reward: str = ""
    """grpo: a Python file with `reward(prompts, completions, **columns)`, which gives a number for
    each completion; it runs with your rights."""
    num_generations: int = 8
    """grpo: answers that are drawn for a prompt, and compared."""
    max_new_tokens: int = 128
    """grpo: tokens of an answer at most."""
    temperature: float = 1.0
    """grpo: of the drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What of the model changes."""

    method: str = "lora"
    """lora, or full (every weight)."""
    rank: int = 16
    """Of a LoRA matrix."""
    alpha: int = 32
    """LoRA's products count alpha / rank times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long, how fast, from which seed."""

    seed: int = 7
    """Seed of LoRA matrices, the order and what is drawn."""
    num_steps: int = 100
    """Optimizer steps."""
    rows_per_step: int = 8
    """Pairs, marks or, for grpo, answers in a step."""
    learning_rate: float = 1e-5
    """The peak."""
    schedule: str = "wsd"
    """cosine, wsd (warm up, stay, decay) or constant."""
    warmup_steps: int = 10
    """Steps over which the learning rate rises from 0."""
    decay_share: float = 0.2
    """Share of the steps, at the end, over which wsd falls to 0."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    bf16: bool = True
    """Compute in bfloat16 where the machine can."""
    save_steps: int = 50
    """Steps between checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRecipe:
    """Everything about a run that teaches by what is better."""

    trainer: ClassVar[tuple[str, str]] = ("avalan.train.preference", "prefer")
    trial: ClassVar[str] = 'avalan model run {folder} "…"'
    name: str
    kind: str = "preference"
    base: Base = field(default_factory=Base)
    lessons: Lessons = field(default_factory=Lessons)
    method: Method = field(default_factory=Method)
    change: Change = field(default_factory=Change)
    run: Run = field(default_factory=Run)


def preference_from_table(table: dict[str, Any], name: str) -> PreferenceRecipe:
    """The recipe `name` from what its TOML file says.

    Raises:
        ConfigurationError: a key is unknown, or a value is of another type or impossible.
    """
    sections = {"base": Base, "lessons": Lessons, "method": Method, "change": Change, "run": Run}
    recipe = PreferenceRecipe(name=name, **read_sections(table, sections, "kind", name))
    _check(recipe)
    return recipe


_RANGES: dict[str, tuple[float, float]] = {
    **RUN_RANGES,
    "lessons.max_tokens": (16, 2**20),
    "change.rank": (1, 2**14),
    "change.alpha": (1, 2**16),
    "method.beta": (0, 1_000),
    "method.num_generations": (2, 1_000),
    "method.max_new_tokens": (1, 2**20),
    "method.temperature": (0.01, 100),
}

_FEWEST_MARKS = 2
_CHOICES = {"method.name": METHODS, "change.method": CHANGES, "run.schedule": SCHEDULES}


def _check(recipe: PreferenceRecipe) -> None:
    """Raise for the first value that no run could use."""
    check_ranges(recipe, _RANGES, ("run.learning_rate", "run.max_grad_norm"))
    check_choices(recipe, _CHOICES)
    if recipe.method.name == "kto" and recipe.run.rows_per_step < _FEWEST_MARKS:
        raise ConfigurationError(
            "KTO compares the rows of a step with each other, so run.rows_per_step must be at "
            "least 2."
        )
    if recipe.method.name == "grpo":
        if not recipe.method.reward:
            raise ConfigurationError(
                "GRPO needs a reward; name a Python file with: --set method.reward=reward.py"
            )
        if recipe.run.rows_per_step % recipe.method.num_generations:
            raise ConfigurationError(
                "run.rows_per_step is {rows}, which method.num_generations ({num}) does not "
                "divide; change one.",
                rows=recipe.run.rows_per_step,
                num=recipe.method.num_generations,
            )
