"""Engines that say what they are told to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avalan.model.engine import (
    Capability,
    Engine,
    Logits,
    State,
    check_rewind,
    check_room,
    check_token_ids,
)
from avalan.model.entities import GenerationReport, GenerationSettings, Message, Token
from avalan.model.load import Model
from avalan.model.prompt import load_tokenizer

Script = Callable[[tuple[int, ...]], Sequence[float]]
"""From the token ids that a state holds to the logits after them."""


@dataclass(slots=True)
class _ScriptedState:
    token_ids: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        return len(self.token_ids)


class ScriptedEngine:
    """A stepping engine whose logits come from a function of what it has read."""

    capabilities: frozenset[Capability] = frozenset(
        ("logprobs", "prompt_logprobs", "token_prompt", "fork", "rewind")
    )

    def __init__(self, script: Script, *, vocab_size: int, context_length: int = 256) -> None:
        self._script = script
        self.vocab_size = vocab_size
        self.context_length = context_length
        self.num_feeds = 0
        """How often `feed` was called, forks included."""
        self.closed = False

    def start(self) -> State:
        """An empty state."""
        return _ScriptedState()

    def feed(self, state: State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """As in `SteppingEngine`; asks the script once per row that is returned."""
        held = _scripted(state)
        check_token_ids(token_ids, self.vocab_size)
        check_room(held.length, len(token_ids), self.context_length)
        self.num_feeds += 1
        before = held.token_ids
        held.token_ids = (*before, *token_ids)
        first = len(before) + 1 if every else held.length
        rows = [self._script(held.token_ids[:end]) for end in range(first, held.length + 1)]
        logits = np.array(rows, np.float32)
        return logits if every else logits[-1]

    def fork(self, state: State) -> State:
        """An independent copy."""
        return _ScriptedState(_scripted(state).token_ids)

    def rewind(self, state: State, num_tokens: int) -> None:
        """Drop the last tokens."""
        held = _scripted(state)
        check_rewind(held.length, num_tokens)
        held.token_ids = held.token_ids[: held.length - num_tokens]

    def close(self) -> None:
        """Recorded in `closed`."""
        self.closed = True


def saying(answer_ids: Sequence[int], *, after: int, vocab_size: int) -> Script:
    """A script that gives `answer_ids` once `after` tokens are held, then repeats the last one.

    The wanted token has the logit 10 and every other 0.
    """

    def script(held: tuple[int, ...]) -> Sequence[float]:
        step = min(max(len(held) - after, 0), len(answer_ids) - 1)
        row = [0.0] * vocab_size
        row[answer_ids[step]] = 10.0
        return row

    return script


class ScriptedGeneratingEngine:
    """A generating engine that gives the tokens it was made with."""

    capabilities: frozenset[Capability] = frozenset(("token_prompt",))

    def __init__(self, tokens: Sequence[Token], *, context_length: int = 256) -> None:
        self._tokens = tuple(tokens)
        self.context_length = context_length
        self.prompts: list[tuple[int, ...]] = []
        """The token ids of every request."""
        self.closed = False

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Message],
        settings: GenerationSettings,
        report: GenerationReport,
    ) -> Iterator[Token]:
        """The tokens, at most `max_new_tokens` of them."""
        check_room(0, len(prompt), self.context_length)
        self.prompts.append(tuple(each for each in prompt if isinstance(each, int)))
        report.finish_reason = "length" if len(self._tokens) >= settings.max_new_tokens else "stop"
        yield from self._tokens[: settings.max_new_tokens]

    def close(self) -> None:
        """Recorded in `closed`."""
        self.closed = True


def scripted_model(tokenizer_folder: Path, engine: Engine) -> Model:
    """A model that runs `engine` with the tokenizer in `tokenizer_folder`."""
    return Model(
        name="scripted",
        folder=tokenizer_folder,
        config={},
        vocabulary=load_tokenizer(tokenizer_folder),
        engine=engine,
    )


def _scripted(state: State) -> _ScriptedState:
    assert isinstance(state, _ScriptedState), f"a state of another engine: {type(state).__name__}"
    return state
