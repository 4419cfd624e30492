"""The engines, by name, and the contract that each fulfils.

A *stepping* engine gives logits for a state: the decode loop, the constraints and the reflection
loop are ours and the same for all. A *generating* engine decodes by itself and is asked through
its own options. Adding an engine is one file and one row of `ENGINES`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from avalan import extras
from avalan.errors import ConfigurationError
from avalan.model.entities import EngineSettings, GenerationSettings, Token

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
    """Gives logits; everything above them is ours."""

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


@runtime_checkable
class GrowingEngine(Protocol):
    """A stepping engine whose vocabulary can become larger."""

    def grow(self, vocab_size: int) -> None:
        """Make room for every id below `vocab_size`; a new token begins as the mean of all."""


@runtime_checkable
class GeneratingEngine(Protocol):
    """Decodes by itself."""

    capabilities: frozenset[Capability]
    context_length: int

    def generate(self, token_ids: Sequence[int], settings: GenerationSettings) -> Iterator[Token]:
        """Tokens as they come."""

    def close(self) -> None:
        """Free what the engine holds."""


Engine = SteppingEngine | GeneratingEngine


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """A row of the table: where an engine lives and what it needs."""

    module: str
    extra: str | None


ENGINES = {
    "onnx": EngineEntry("avalan.model.engine.onnx", None),
    "transformers": EngineEntry("avalan.model.engine.transformers", "transformers"),
}


def load_engine(name: str, folder: Path, settings: EngineSettings) -> Engine:
    """Load the model files in `folder` with the engine called `name`.

    Raises:
        ConfigurationError: there is no such engine, or a setting is out of its range.
        MissingExtra: its package is not installed.
        ModelError: the files cannot be run by it.
    """
    if name not in ENGINES:
        choices = ", ".join(ENGINES)
        raise ConfigurationError(
            "There is no engine called {name!r}; choose one of: {choices}.",
            name=name,
            choices=choices,
        )
    threads = settings.num_threads
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigurationError(
            "The setting num_threads is {threads}, but it must be from 1 to {most}.",
            threads=threads,
            most=MOST_THREADS,
        )
    entry = ENGINES[name]
    engine: Engine = extras.load(entry.module, extra=entry.extra).load(folder, settings)
    return engine
