"""A recipe that makes a small sentence embedder of a larger one.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from avalan.errors import ConfigurationError
from avalan.train.recipe import RUN_RANGES, check_ranges, read_sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The encoder that a run begins with."""

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A folder, or a model on the hub: a BERT with mean pooling."""
    revision: str = ""
    """Branch, tag or commit on the hub."""
    sha256: str = ""
    """Of its model.safetensors; where it is given, other weights are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """The embedder to make: a BERT of the teacher's width."""

    num_layers: int = 2
    """Blocks, which begin as those of the teacher at equal distances."""
    embedding_size: int = 256
    """Width of the token embeddings, which begin as the principal components of the teacher's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Texts without labels."""

    files: tuple[str, ...] = ()
    """Text files with one text a line, in an order of no meaning."""
    texts_per_file: int = 9_000
    """Texts that are taken of each, from its beginning."""
    worlds: int = 2_000
    """Invented passages, each with a sentence and a question."""
    query_share: float = 0.25
    """Share of the files' texts of which a query is made too (0 to 1)."""
    max_tokens: int = 192
    """Longer texts are cut there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What the student's vectors are to share with the teacher's."""

    cosine: float = 1.0
    """Weight of the distance between the two vectors of a text."""
    relation: float = 1.0
    """Weight of the likeness to other texts: KL divergence in nats."""
    temperature: float = 0.05
    """Softens the likenesses, which are cosines."""
    bank: int = 4_096
    """Other texts, of which the teacher's vectors are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long, how fast, from which seed."""

    seed: int = 7
    """Seed of the texts' order and of every step."""
    num_steps: int = 2_400
    """Optimizer steps."""
    rows_per_step: int = 32
    """Texts in a step, which are of like length."""
    learning_rate: float = 8e-4
    """Peak learning rate of AdamW."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises from 0."""
    decay_share: float = 0.6
    """Share of the steps, at the end, over which the learning rate falls to 0 (WSD)."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    save_steps: int = 200
    """Steps between checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderRecipe:
    """Everything about a run."""

    trainer: ClassVar[tuple[str, str]] = ("avalan.train.embedder", "distil")
    trial: ClassVar[str] = "avalan index add DOCS --embedder {folder}"
    name: str
    kind: str = "embedder"
    """What a run makes."""
    teacher: Source = field(default_factory=Source)
    student: Student = field(default_factory=Student)
    corpus: Corpus = field(default_factory=Corpus)
    loss: Loss = field(default_factory=Loss)
    run: Run = field(default_factory=Run)


_SECTIONS: dict[str, Any] = {
    "teacher": Source,
    "student": Student,
    "corpus": Corpus,
    "loss": Loss,
    "run": Run,
}
_RANGES: dict[str, tuple[float, float]] = {
    "student.num_layers": (1, 1_000),
    "student.embedding_size": (1, 2**16),
    "corpus.texts_per_file": (0, 10**8),
    "corpus.worlds": (0, 10**7),
    "corpus.query_share": (0, 1),
    "corpus.max_tokens": (4, 2**16),
    "loss.cosine": (0, 1_000),
    "loss.relation": (0, 1_000),
    "loss.bank": (1, 10**6),
    **RUN_RANGES,
}


def embedder_from_table(table: dict[str, Any], name: str) -> EmbedderRecipe:
    """The recipe `name` from what its TOML file says.

    Raises:
        ConfigurationError: a key is unknown, or a value is of another type or impossible.
    """
    recipe = EmbedderRecipe(name=name, **read_sections(table, _SECTIONS, "kind", name))
    check_ranges(recipe, _RANGES, ("loss.temperature", "run.learning_rate", "run.max_grad_norm"))
    if not recipe.loss.cosine + recipe.loss.relation:
        raise ConfigurationError("The recipe's loss must give cosine or relation a weight.")
    return recipe
