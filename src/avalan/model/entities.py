"""What goes into a model and what comes out of it: plain values, free of every library."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, get_args

from avalan.errors import ConfigurationError
from avalan.locale import _, _n

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "interrupted"]
TokenKind = Literal["plain", "added", "special"]
ConstraintKind = Literal["schema", "regex", "choice"]
Grade = Literal["full", "partial", "contradicted", "none"]
"""How far a passage bears a claim out; reflection tokens have no word for `contradicted`."""
GRADES: tuple[Grade, ...] = get_args(Grade)
"""In the order of the reader's heads."""

CONSTRAINTS: dict[ConstraintKind, str] = {
    "schema": _n("schema"),
    "regex": _n("pattern"),
    "choice": _n("choice"),
}
"""What each is called in a sentence."""

BATCH_SIZE = 32
"""Prompts that are answered together, unless told otherwise."""

WEIGHT_TYPES = ("auto", "fp32", "f32", "bf16", "fp16", "f16", "int8", "int4")
ATTENTIONS = ("auto", "eager", "sdpa", "flash_attention_2", "flex_attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAlternative:
    """A token that could have stood in a token's place."""

    token_id: int
    text: str
    logprob: float
    """Natural logarithm, from the raw logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One generated token; `str(token)` is the text that it adds to the answer."""

    token_id: int
    text: str
    """What can be shown now. Empty while a character's bytes are incomplete or a stop string
    may be starting; the held text comes with a later token."""
    logprob: float
    """Natural logarithm of the token's probability in the raw logits, before temperature."""
    probability: float
    """The probability it was drawn with, after temperature and filters; 1 for greedy."""
    alternatives: tuple[TokenAlternative, ...] = ()
    """The most probable tokens of the raw logits, best first; the chosen one may be among them."""
    special: bool = False
    """True for special tokens, reflection tokens among them."""
    reasoning: bool = False
    """True where the text, and the tags around it, are the model's reasoning and no answer."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a generation cost, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt that the model had in mind from the turn before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """How an answer is decoded. The docstrings below are also the command line's help."""

    max_new_tokens: int = 256
    """Most tokens to generate."""
    max_length: int | None = None
    """Most tokens in all: the prompt's and the answer's; for a sequence-to-sequence model the
    answer's alone, with its start token. Where given, max_new_tokens does not count."""
    min_length: int | None = None
    """Least tokens, counted as for max_length; for sequence-to-sequence models only, and left
    open, as the model says."""
    num_beams: int | None = None
    """Drafts that are kept beside each other, of which the most probable one wins (beam search);
    for sequence-to-sequence models only, and left open, as the model says."""
    early_stopping: bool | None = None
    """End a beam search as soon as there are num_beams whole answers."""
    length_penalty: float | None = None
    """Of a beam search: above 0 favours long answers, below 0 short ones."""
    do_sample: bool | None = None
    """Draw tokens at random; left open, true when a temperature above 0 is given."""
    temperature: float | None = None
    """Divides the logits; below 1 sharpens, above 1 flattens, 0 is greedy."""
    top_k: int | None = None
    """Keep the k most probable tokens."""
    top_p: float | None = None
    """Keep the smallest set of tokens whose probabilities sum to p (0 to 1)."""
    min_p: float | None = None
    """Keep tokens at least this fraction (0 to 1) as probable as the most probable one."""
    repetition_penalty: float | None = None
    """Divide positive and multiply negative logits of tokens already seen (1 changes nothing)."""
    seed: int | None = None
    """Seed of the random draws; the same seed gives the same tokens."""
    stop_strings: tuple[str, ...] = ()
    """Stop before any of these texts; they are not part of the answer."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer has to follow; only one of schema, regex and choices is given."""
    regex: str | None = None
    """Regular expression that the whole answer has to match."""
    choices: tuple[str, ...] = ()
    """The answer is one of these texts."""
    num_alternatives: int = 0
    """How many of the most probable tokens to report beside each token."""
    forbidden_ids: tuple[int, ...] = ()
    """Tokens that are never said, by id."""
    skip_special_tokens: bool = True
    """Leave special tokens out of the text; they are generated and counted all the same."""
    start_thinking: bool = False
    """Take the answer to begin with reasoning, where neither the chat template nor the model opens
    it with a tag."""
    use_cache: bool = True
    """Keep what the model has read; without, it reads everything again for each token, which is
    slow and gives the same answer."""

    def __post_init__(self) -> None:
        _check_types(self)

    @property
    def constraint(self) -> ConstraintKind | None:
        """What the answer has to follow, if anything."""
        if self.schema is not None:
            return "schema"
        if self.regex is not None:
            return "regex"
        return "choice" if self.choices else None

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random rather than by the highest logit."""
        warm = self.temperature is None or self.temperature > 0
        return warm and (self.temperature is not None if self.do_sample is None else self.do_sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How a model is loaded. The docstrings below are also the command line's help."""

    engine: str = "auto"
    """Which engine runs the model: auto, onnx, transformers, gguf or vllm."""
    device: str = "cpu"
    """Where it computes: cpu, cuda, cuda:1, mps."""
    weight_type: str = "auto"
    """Number format of the weights: auto, fp32, bf16, fp16 (f32 and f16 are the same); int8 and
    int4 quantise them while loading, with bitsandbytes, which pays on CUDA."""
    attention: str = "auto"
    """Attention of the transformers engine: auto, eager, sdpa, and on CUDA flash_attention_2 and
    flex_attention."""
    low_cpu_mem_usage: bool = False
    """Keep one copy of the weights in memory at most while loading, even where that is slower."""
    tokenizer: str | None = None
    """Another tokenizer than the model's own: a folder, or a model on the hub."""
    tokens: tuple[str, ...] = ()
    """A token to add to the tokenizer; the transformers engine makes room for it in the model."""
    special_tokens: tuple[str, ...] = ()
    """The same for a special token, which texts cannot spell."""
    trust_remote_code: bool = False
    """Run Python code that came with the model and can do whatever you can; only where you trust
    whoever wrote it."""
    allow_pickle: bool = False
    """Load pickled weights (*.bin) where a model has no others; only numbers are taken from them,
    but safetensors cannot hold anything else in the first place."""
    access_token: str | None = field(default=None, repr=False)
    """The hub's access token; left open, that of the environment."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub."""
    cache_dir: str | None = None
    """Folder of the hub's local cache."""
    context_length: int | None = None
    """Most tokens that a GGUF model has room for; left open, as many as it was trained on and 8192
    at most, since all of that memory is taken at once."""
    adapter: str | None = None
    """A LoRA adapter to put on the model: a folder that PEFT wrote, or a GGUF file for gguf."""
    vllm: str | None = None
    """A running vLLM's address, or the Python of the environment that has vLLM, which is then
    started and stopped; left open, AVALAN_VLLM or the command vllm."""
    vllm_options: tuple[str, ...] = ()
    """An option for a vLLM that is started, as tensor-parallel-size=2."""
    num_threads: int | None = None
    """Threads for one model; left open, as many as there are physical cores."""

    def __post_init__(self) -> None:
        _check_types(self)


_DEMANDS: dict[Any, str] = {
    str: _n("a text"),
    int: _n("a whole number"),
    float: _n("a number"),
    bool: _n("True or False"),
    tuple[str, ...]: _n("a tuple of texts"),
    tuple[int, ...]: _n("a tuple of whole numbers"),
    Mapping[str, Any]: _n("a dictionary"),
}


def _check_types(settings: GenerationSettings | EngineSettings) -> None:
    """Raise for the first field whose value is of another type than it says."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        kinds = get_args(each.type) if isinstance(each.type, UnionType) else (each.type,)
        if not any(_fits(value, kind) for kind in kinds):
            raise ConfigurationError(
                "The setting {name} is {value!r}, but it must be {wanted}.",
                name=each.name,
                value=value if each.repr else "…",
                wanted=_(_DEMANDS[kinds[0]]),
            )


def _fits(value: object, kind: Any) -> bool:
    if kind == tuple[str, ...]:
        return isinstance(value, tuple | list) and all(isinstance(each, str) for each in value)
    if kind == tuple[int, ...]:
        return isinstance(value, tuple | list) and all(_fits(each, int) for each in value)
    if kind == Mapping[str, Any]:
        return isinstance(value, Mapping)
    # Numbers of numpy are numbers too, and True is none.
    wide = {int: Integral, float: Real}.get(kind, kind)
    return isinstance(value, wide) and (kind is bool or not isinstance(value, bool))


@dataclass(slots=True, kw_only=True)
class GenerationTimings:
    """Seconds around the model, never around the screen."""

    prefill_s: float = 0.0
    decode_s: float = 0.0
    """From the first token to the last."""

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.prefill_s


@dataclass(slots=True, kw_only=True)
class GenerationReport:
    """What is known when a generation is over; filled while it runs."""

    usage: Usage = field(default_factory=Usage)
    timings: GenerationTimings = field(default_factory=GenerationTimings)
    finish_reason: FinishReason | None = None
    engine: str | None = None
    """Which one ran the model."""
    constraint: ConstraintKind | None = None
    """What the answer was made to follow."""
    enforced_by: str | None = None
    """Who saw to it."""
    system_merged: bool = False
    """Whether the system prompt stands in front of the user's first words, because the model's chat
    template takes none."""

    @property
    def tokens_per_s(self) -> float:
        """Decoding speed over the tokens after the first; 0 when there are fewer than two."""
        num_later = self.usage.completion_tokens - 1
        return num_later / self.timings.decode_s if num_later > 0 < self.timings.decode_s else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle of an image, in pixels from its top left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def __str__(self) -> str:
        corners = (self.left, self.top, self.right, self.bottom)
        left, top, right, bottom = (f"{corner:.0f}" for corner in corners)
        return f"({left}, {top})–({right}, {bottom})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEntity:
    """Something that was seen in an image; `str(entity)` is a line to read."""

    label: str
    """What it is, in the model's words."""
    score: float
    """How sure the model is: a probability, 0 to 1."""
    box: Box | None = None
    """Where it is, if the model says so."""

    def __str__(self) -> str:
        text = f"{self.label} {self.score:.2f}"
        return text if self.box is None else _("{text} at {box}", text=text, box=self.box)
