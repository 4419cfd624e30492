"""The engines, by name, and the contract that each fulfils.

A *stepping* engine gives logits for a state: the decode loop, the constraints and the reflection
loop are ours and the same for all. A *generating* engine decodes by itself and is asked through
its own options. Adding an engine is one file and one row of `ENGINES`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from avalan import extras
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import (
    EngineSettings,
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
)

Capability = Literal[
    "logprobs", "grammar", "batch", "prompt_logprobs", "token_prompt", "fork", "rewind", "adapters"
]
Logits = NDArray[np.float32]
MOST_THREADS = 256


class State(Protocol):
    """A prefix that an engine has read: its key-value cache, and nothing a caller may touch."""

    @property
    def length(self) -> int:
        """How many tokens the state holds."""


@runtime_checkable
class SteppingEngine(Protocol):
    """Gives logits; everything above them is ours.

    One whose vocabulary can become larger also has `grow(vocab_size)`.
    """

    capabilities: frozenset[Capability]
    vocab_size: int
    context_length: int

    def start(self) -> State:
        """An empty state."""

    def feed(self, state: State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """Append tokens to `state` in place; their logits as float32.

        Returns:
            The logits after the last token, (vocab_size,); with `every`, after each token,
            (len(token_ids), vocab_size).

        Raises:
            ModelError: the state would grow beyond `context_length`.
        """

    def fork(self, state: State) -> State:
        """An independent copy; feeding one never changes the other."""

    def rewind(self, state: State, num_tokens: int) -> None:
        """Drop the last tokens, for engines that declare `rewind`.

        Raises:
            ModelError: the engine does not declare it, or the state is shorter.
        """

    def close(self) -> None:
        """Free what the engine holds."""


class BatchingEngine(SteppingEngine, Protocol):
    """A stepping engine that declares `batch`: several answers at once, one row for each."""

    def start_batch(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Logits]:
        """Read the prompts; a batch to go on with, and the logits after each, (rows, vocab_size).

        Raises:
            ModelError: a prompt is empty or does not fit.
        """

    def step_batch(self, batch: Any, token_ids: Sequence[int]) -> Logits:
        """Append one token to each row; the logits after it, (rows, vocab_size)."""

    def keep_rows(self, batch: Any, rows: Sequence[int]) -> None:
        """Drop the other rows; those that stay keep their order."""


@runtime_checkable
class GeneratingEngine(Protocol):
    """Decodes by itself."""

    capabilities: frozenset[Capability]
    context_length: int

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Message],
        settings: GenerationSettings,
        report: GenerationReport,
    ) -> Iterator[Token]:
        """Tokens as they come.

        Args:
            prompt: token ids for an engine that declares `token_prompt`, else messages.
            report: takes the finish reason, and what else the engine knows; the caller counts and
                times the tokens.
        """

    def close(self) -> None:
        """Free what the engine holds."""


Engine = SteppingEngine | GeneratingEngine

ENGINES = {"onnx": None, "transformers": "transformers", "gguf": "gguf", "vllm": "vllm"}
"""The name of each, which is also its module's, and the extra that it needs."""


def load_engine(name: str, folder: Path, settings: EngineSettings) -> Engine:
    """Load the model in `folder`, or the file of that name, with the engine called `name`.

    Raises:
        ConfigurationError: there is no such engine, or a setting is out of its range.
        MissingExtra: its package is not installed.
        ModelError: the files cannot be run by it.
    """
    if name not in ENGINES:
        raise ConfigurationError(
            "There is no engine called {name!r}; choose one of: {known}.",
            name=name,
            known=", ".join(ENGINES),
        )
    threads = settings.num_threads
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigurationError(
            "The setting num_threads is {threads}, but it must be from 1 to {most}.",
            threads=threads,
            most=MOST_THREADS,
        )
    module = extras.load(f"avalan.model.engine.{name}", extra=ENGINES[name])
    engine: Engine = module.load(folder, settings)
    return engine


# --- what every stepping engine checks before it computes ----------------------------------------


def check_room(held: int, new: int, context_length: int) -> None:
    """Whether `new` more tokens fit after `held` ones.

    Raises:
        ModelError: they do not; the sentence has the numbers.
    """
    if held + new > context_length:
        raise ModelError(
            "The model reads at most {context_length} tokens, but the prompt has {new}, "
            "{excess} too many; shorten it, or choose a model with a longer context.",
            context_length=context_length,
            new=held + new,
            excess=held + new - context_length,
        )


def check_rewind(held: int, num_tokens: int) -> None:
    """Whether the last `num_tokens` of `held` tokens can be dropped.

    Raises:
        ModelError: there are fewer.
    """
    if not 0 <= num_tokens <= held:
        raise ModelError(
            "The state holds {held} tokens, so {num_tokens} cannot be dropped from it.",
            held=held,
            num_tokens=num_tokens,
        )


def check_token_ids(token_ids: Sequence[int], vocab_size: int) -> None:
    """Whether there is at least one token, and all are in the vocabulary.

    Raises:
        ModelError: there is none, or one is unknown to the model.
    """
    if not token_ids:
        raise ModelError("The prompt is empty; give the model at least one token to read.")
    outside = next((i for i in token_ids if not 0 <= i < vocab_size), None)
    if outside is not None:
        raise ModelError(
            "Token id {outside} is outside the model's vocabulary of {vocab_size}; the "
            "tokenizer and the weights do not belong together.",
            outside=outside,
            vocab_size=vocab_size,
        )
