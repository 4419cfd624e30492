"""A recipe that makes the reader: an encoder that judges and quotes, from one that embeds.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from avalan.errors import ConfigurationError
from avalan.train.embedder_recipe import Run, Source
from avalan.train.recipe import RUN_RANGES, check_ranges, read_sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is read: shares of a step's rows, which are drawn in proportion."""

    textbook: str = "data/textbook"
    """The folder of the textbook, whose training split is used."""
    max_tokens: int = 320
    """Tokens of a row: a question and as much of a page as fits."""
    shortest: int = 112
    """Fewest tokens of a row that asks for an answer: it has a part of its page, drawn anew."""
    texts: tuple[str, ...] = ()
    """Text files with one text a line, of which exercises are made too."""
    texts_per_file: int = 9_000
    """Texts that are taken of each, from its beginning."""
    opening: float = 0.0
    """Share of the steps, at the beginning, with nothing but what programs make (0 to 1)."""
    asked: float = 8.0
    """Questions beside their own page."""
    strange: float = 1.6
    """Questions beside another page, one that shares words with them."""
    gaps: float = 1.6
    """Sentences of a page with a part left out, which is asked for; made by program."""
    worlds: float = 0.6
    """Questions beside invented pages, made by program."""
    claims: float = 2.6
    """Claims beside their page."""
    stated: float = 0.8
    """Questions together with an answer, right or wrong, as claims."""
    changed: float = 0.8
    """Sentences of a page as claims, some changed, halved or strange; made by program."""
    prompts: float = 3.0
    """Bare prompts."""
    phrases: float = 0.4
    """Bare prompts, made by program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLoss:
    """What each head's loss counts, in nats."""

    span: float = 1.0
    relevance: float = 0.5
    support: float = 1.0
    need: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRecipe:
    """Everything about a run."""

    trainer: ClassVar[tuple[str, str]] = ("avalan.train.reader", "teach")
    trial: ClassVar[str] = "avalan model export {folder} --out {folder}-onnx"
    name: str
    kind: str = "reader"
    """What a run makes."""
    base: Source = field(default_factory=Source)
    lessons: Lessons = field(default_factory=Lessons)
    loss: ReaderLoss = field(default_factory=ReaderLoss)
    run: Run = field(default_factory=Run)


EXERCISES = ("gaps", "worlds", "changed", "phrases")
"""The shares of what programs make."""
SHARES = ("asked", "strange", "claims", "stated", "prompts", *EXERCISES)
_SECTIONS: dict[str, Any] = {"base": Source, "lessons": Lessons, "loss": ReaderLoss, "run": Run}
_RANGES: dict[str, tuple[float, float]] = {
    "lessons.max_tokens": (16, 512),
    "lessons.shortest": (16, 512),
    "lessons.texts_per_file": (1, 10_000_000),
    "lessons.opening": (0, 1),
    **{f"lessons.{share}": (0, 1_000) for share in SHARES},
    **{f"loss.{head}": (0, 1_000) for head in ("span", "relevance", "support", "need")},
    **RUN_RANGES,
}


def reader_from_table(table: dict[str, Any], name: str) -> ReaderRecipe:
    """The recipe `name` from what its TOML file says.

    Raises:
        ConfigurationError: a key is unknown, or a value is of another type or impossible.
    """
    recipe = ReaderRecipe(name=name, **read_sections(table, _SECTIONS, "kind", name))
    check_ranges(recipe, _RANGES, ("run.learning_rate", "run.max_grad_norm"))
    if not any(getattr(recipe.lessons, share) for share in SHARES):
        raise ConfigurationError("The recipe's lessons are all 0; give one of them a share.")
    if recipe.lessons.opening and not any(getattr(recipe.lessons, share) for share in EXERCISES):
        raise ConfigurationError(
            "The recipe opens with exercises, but all of {shares} are 0; give one of them a share, "
            "or set lessons.opening to 0.",
            shares=", ".join(EXERCISES),
        )
    return recipe
