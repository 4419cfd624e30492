"""A recipe that teaches a language model which exists: to reflect, or whatever the records show.

The docstrings of the fields, with their units, are the documentation of the TOML keys.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from avalan.errors import ConfigurationError
from avalan.reflection.tokens import PROFILES
from avalan.train.recipe import RUN_RANGES, check_choices, check_ranges, read_sections
from avalan.train.schedules import SCHEDULES

METHODS = ("lora", "rows", "full")
EMBEDDINGS = ("rows", "whole", "frozen")
STARTS = ("description", "mean")
OPTIMIZERS = ("adamw", "muon")
ATTENTIONS = ("auto", "packed", "sdpa", "eager", "flash_attention_2")
DIVERGENCES = ("forward", "reverse", "jsd")
SYSTEM_PROMPT = "avalon"
"""Stands for the card's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The model that a run begins with."""

    model: str = ""
    """A folder, or a model on the hub."""
    revision: str = ""
    """Branch, tag or commit on the hub."""
    sha256: str = ""
    """Of its model.safetensors; where it is given, other weights are refused."""
    layers: int = 0
    """How many layers the model gets (with full only); copies are added that change nothing at
    first (Wu et al., 2024, arXiv:2401.02415). 0 keeps the base's."""
    context_length: int = 0
    """Most tokens that the model reads at once from now on (with full only): records of such a
    length must be learned. 0 keeps the base's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A model whose probabilities are learned beside the records' words."""

    model: str = ""
    """A folder, or a model on the hub, with the base's vocabulary; empty for none."""
    revision: str = ""
    """Branch, tag or commit on the hub."""
    top_k: int = 64
    """Of each place the likeliest tokens are kept; all others are one."""
    temperature: float = 1.0
    """Both models' logits are divided by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is learned from."""

    data: str = ""
    """A folder of `avalan data synthesize`, or a file of `selfref/1` records, one JSON a line."""
    texts: tuple[str, ...] = ()
    """Text files, or folders of .txt and .md, that are read as they are, instead of records."""
    num: int = 0
    """Records that are taken, from the first on; 0 takes all."""
    max_tokens: int = 1024
    """Tokens of a row, into which whole records are packed; a longer record is left out, and a
    longer text goes on in the next row."""
    held_out: int = 200
    """Records of the validation split that tell how a run stands; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Reflection tokens, which the base's vocabulary is given where it lacks them."""

    profile: str = "avalon"
    """avalon (seven), self-rag (all fifteen), or none."""
    start: str = "description"
    """New rows begin as the mean of the tokens of their description, or as the mean of all."""
    system_prompt: str = ""
    """What stands above each reflective record; `avalon` is the card's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What of the model changes."""

    method: str = "lora"
    """lora; rows (the new tokens' rows alone); or full (every weight)."""
    rank: int = 64
    """Of a LoRA matrix."""
    alpha: int = 128
    """LoRA's products count alpha / rank times."""
    dropout: float = 0.05
    """Share of a LoRA layer's inputs that is left out at each step (0 to 1)."""
    target_modules: tuple[str, ...] = ("all-linear",)
    """The layers with LoRA matrices, by the end of their names; all-linear are all but the head."""
    embeddings: str = "rows"
    """With lora: the new tokens' rows learn, the whole matrices do (modules_to_save), or none."""
    ensure_weight_tying: bool = True
    """Whether a tied head stays the same matrix as the embedding; without, PEFT unties it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Weight of each kind of token in the loss, by the spans of the renderer."""

    prompt: float = 0.0
    """The question and the chat's marks."""
    passage: float = 0.0
    """Text of a passage."""
    markup: float = 0.0
    """The marks around a passage, which the host writes."""
    text: float = 1.0
    """What the model says."""
    reflection: float = 1.0
    """Reflection tokens."""
    eos: float = 1.0
    """The end of the answer."""
    kl: float = 0.0
    """Of KL(base ‖ model), in nats, on the words of plain records, beside their cross-entropy."""
    teacher: float = 1.0
    """Of the divergence from the teacher, in nats, beside their cross-entropy."""
    divergence: str = "forward"
    """forward, KL(teacher ‖ model); reverse, KL(model ‖ teacher); or jsd, between them."""
    pointing: float = 0.0
    """Of a passage's token, beside all others: half the way up, each is to tell whether the answer
    repeats it. Needs the profile self-rag."""
    mask_reflection: bool = False
    """Inside a text, where no reflection token may be said, none competes with the words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long, how fast, from which seed."""

    seed: int = 7
    """Seed of new rows, LoRA matrices and the records' order."""
    num_epochs: float = 2.0
    """How often each row is read."""
    num_steps: int = 0
    """Optimizer steps; 0 leaves it to num_epochs."""
    rows_per_step: int = 16
    """Rows of max_tokens in a step, all devices and accumulation together."""
    rows_at_once: int = 0
    """Rows that a device computes at once, to save memory; 0 for all of its share."""
    learning_rate: float = 2e-5
    """The peak."""
    schedule: str = "cosine"
    """cosine, wsd (warm up, stay, decay) or constant."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises from 0."""
    decay_share: float = 0.2
    """Share of the steps, at the end, over which wsd falls to 0."""
    optimizer: str = "adamw"
    """adamw, or muon for the matrices inside the blocks (with full only)."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm."""
    bf16: bool = True
    """Compute in bfloat16 where the machine can (what is trained stays float32)."""
    attention: str = "auto"
    """auto, sdpa, eager, packed (each record of a row by itself, as auto has it on a processor), or
    on CUDA flash_attention_2 where it is installed."""
    compile: bool = False
    """Compile the layers, which takes a minute or two and pays over many steps; on a processor it
    needs a C++ compiler."""
    checkpointing: bool = False
    """Compute activations again in the backward pass, which saves memory and costs time."""
    save_steps: int = 100
    """Steps between checkpoints, and between looks at what is held out."""
    patience: int = 0
    """Looks without a better loss on what is held out after which a run ends; 0 for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRecipe:
    """Everything about a run that teaches a model which exists."""

    trainer: ClassVar[tuple[str, str]] = ("avalan.train.tuning", "tune")
    trial: ClassVar[str] = 'avalan model run {folder} "…"'
    name: str
    kind: str = "tuning"
    base: Base = field(default_factory=Base)
    teacher: Teacher = field(default_factory=Teacher)
    lessons: Lessons = field(default_factory=Lessons)
    tokens: Tokens = field(default_factory=Tokens)
    change: Change = field(default_factory=Change)
    loss: Loss = field(default_factory=Loss)
    run: Run = field(default_factory=Run)


def tuning_from_table(table: dict[str, Any], name: str) -> TuningRecipe:
    """The recipe `name` from what its TOML file says.

    Raises:
        ConfigurationError: a key is unknown, or a value is of another type or impossible.
    """
    sections = {
        "base": Base,
        "teacher": Teacher,
        "lessons": Lessons,
        "tokens": Tokens,
        "change": Change,
        "loss": Loss,
        "run": Run,
    }
    recipe = TuningRecipe(name=name, **read_sections(table, sections, "kind", name))
    _check(recipe)
    return recipe


_RANGES: dict[str, tuple[float, float]] = {
    **{key: span for key, span in RUN_RANGES.items() if key != "run.num_steps"},
    "run.num_steps": (0, 10**7),
    "run.num_epochs": (0, 10**4),
    "run.rows_at_once": (0, 10**5),
    "run.patience": (0, 10**6),
    "base.layers": (0, 1_000),
    "base.context_length": (0, 2**20),
    "teacher.top_k": (1, 2**16),
    "teacher.temperature": (0.01, 100),
    "lessons.num": (0, 10**9),
    "lessons.max_tokens": (16, 2**20),
    "lessons.held_out": (0, 10**6),
    "change.rank": (1, 2**14),
    "change.alpha": (1, 2**16),
    "change.dropout": (0, 0.99),
    **{
        f"loss.{key}": (0, 1_000)
        for key in (
            "prompt",
            "passage",
            "markup",
            "text",
            "reflection",
            "eos",
            "kl",
            "teacher",
            "pointing",
        )
    },
}
_CHOICES = {
    "tokens.profile": tuple(PROFILES),
    "tokens.start": STARTS,
    "change.method": METHODS,
    "change.embeddings": EMBEDDINGS,
    "loss.divergence": DIVERGENCES,
    "run.schedule": SCHEDULES,
    "run.optimizer": OPTIMIZERS,
    "run.attention": ATTENTIONS,
}


def _check(recipe: TuningRecipe) -> None:
    """Raise for the first value that no run could use."""
    check_ranges(recipe, _RANGES, ("run.learning_rate", "run.max_grad_norm"))
    check_choices(recipe, _CHOICES)
    if recipe.lessons.texts and (recipe.tokens.profile != "none" or recipe.lessons.held_out):
        raise ConfigurationError(
            "Texts have no reflection and no validation split, so lessons.texts needs "
            "tokens.profile = 'none' and lessons.held_out = 0."
        )
    if not recipe.loss.text + recipe.loss.reflection:
        raise ConfigurationError("The recipe's loss must give text or reflection a weight.")
    if not recipe.run.num_steps and not recipe.run.num_epochs:
        raise ConfigurationError(
            "The recipe trains for no steps; give run.num_epochs or run.num_steps a number above 0."
        )
    if recipe.run.optimizer == "muon" and recipe.change.method != "full":
        raise ConfigurationError(
            "Muon is for whole matrices, so run.optimizer = 'muon' needs change.method = 'full'."
        )
    if recipe.base.layers and recipe.change.method != "full":
        raise ConfigurationError(
            "New layers must learn, so base.layers needs change.method = 'full'."
        )
    if recipe.base.context_length and recipe.change.method != "full":
        raise ConfigurationError(
            "An adapter leaves its base's configuration alone, so base.context_length needs "
            "change.method = 'full'."
        )
    if recipe.loss.pointing and recipe.tokens.profile != "self-rag":
        raise ConfigurationError(
            "Where an answer stands is told by tokens of support, so loss.pointing needs "
            "tokens.profile = 'self-rag'."
        )
    if recipe.change.method == "rows" and recipe.tokens.profile == "none":
        raise ConfigurationError(
            "change.method = 'rows' trains new tokens alone, and tokens.profile = 'none' adds "
            "none; choose the profile 'avalon' or 'self-rag'."
        )
    if recipe.run.attention == "flash_attention_2" and recipe.run.rows_at_once != 1:
        raise ConfigurationError(
            "Flash attention tells packed records apart in one row at a time; set "
            "run.rows_at_once = 1, or run.attention = 'auto'."
        )
    if recipe.run.rows_at_once and recipe.run.rows_per_step % recipe.run.rows_at_once:
        raise ConfigurationError(
            "run.rows_per_step is {rows}, which {few} rows at once do not divide; change one.",
            rows=recipe.run.rows_per_step,
            few=recipe.run.rows_at_once,
        )
