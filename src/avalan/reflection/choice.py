"""A choice between a few words, made by any model: how probable it finds each of them.

A model that was not trained with reflection tokens can still decide: it is asked in a fixed prompt,
and what counts is not what it writes but how probable each of the permitted answers is. Three ways,
of which an engine takes the first that it can:

* `logits`: the tokens of every option are scored after the prompt (stepping engines).
* `logprobs`: the most probable next tokens are matched with how the options begin.
* `grammar`: the model is held to the options and says one of them, which then has all probability.
"""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ModelError, ServerAway
from avalan.model.decode.sampling import logprobs
from avalan.model.engine import SteppingEngine
from avalan.model.entities import (
    GenerationReport,
    GenerationSettings,
    Message,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.generate import generate
from avalan.model.load import Model
from avalan.reflection.judge import Way
from avalan.reflection.reading import PrefixReader, prompt_ids, prompt_of

_NUM_ALTERNATIVES = 20
"""The most that servers tell."""
_MOST_TOKENS = 24
"""Of an option that is written out."""


class Chooser:
    """Chooses with one model; the messages are data, and never parsed for control tokens."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError: the engine gives no probabilities and keeps to no grammar."""
        self._model = model
        engine = model.engine
        self._reader = PrefixReader(engine) if isinstance(engine, SteppingEngine) else None
        served: tuple[Way, ...] = ("logprobs", "grammar")
        self._ways: list[Way] = [way for way in served if way in engine.capabilities]
        if self._reader is not None:
            self._ways = ["logits"]
        if not self._ways:
            raise _cannot_choose(model.name)
        self._num_read = self._num_written = 0

    @property
    def way(self) -> Way:
        """How the model is asked."""
        return self._ways[0]

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each of `options` as the answer, (num_options,), summing to one.

        Raises:
            ModelError: the conversation does not fit, or the server does not answer, or gives
                neither probabilities nor answers that are held to the options.
        """
        if self._reader is not None:
            return self._by_logits(self._reader, messages, options)
        while True:
            ask = self._by_logprobs if self.way == "logprobs" else self._by_grammar
            try:
                return ask(messages, options)
            except ServerAway:
                raise
            except ModelError:
                if len(self._ways) == 1:
                    raise
                # What a server can do shows when it is asked.
                del self._ways[0]

    def usage(self) -> Usage:
        """Tokens read and written since it was made."""
        return Usage(prompt_tokens=self._num_read, completion_tokens=self._num_written)

    # --- stepping engines ------------------------------------------------------------------------

    def _by_logits(
        self, reader: PrefixReader, messages: Sequence[Message], options: Sequence[str]
    ) -> NDArray[np.float64]:
        tokenizer = self._model.tokenizer
        prompt = prompt_ids(tokenizer, messages)
        state, after = reader.read(prompt)
        self._num_read += len(prompt)
        scores = []
        for option in options:
            token_ids = tokenizer.encode(option)
            score = float(logprobs(after)[token_ids[0]])
            if len(token_ids) > 1:
                rows = reader.engine.feed(reader.engine.fork(state), token_ids[:-1], every=True)
                pairs = zip(rows, token_ids[1:], strict=True)
                score += sum(float(logprobs(row)[token_id]) for row, token_id in pairs)
                self._num_read += len(token_ids) - 1
            scores.append(score)
        return softmax(scores)

    # --- engines that decode by themselves --------------------------------------------------------

    def _by_logprobs(
        self, messages: Sequence[Message], options: Sequence[str]
    ) -> NDArray[np.float64]:
        settings = GenerationSettings(max_new_tokens=1, num_alternatives=_NUM_ALTERNATIVES)
        tokens = [token for token in self._written(messages, settings) if not token.reasoning]
        if not tokens or not (found := matched(tokens[0].alternatives, options)).any():
            raise _cannot_choose(self._model.name)
        probabilities: NDArray[np.float64] = found / found.sum()
        return probabilities

    def _by_grammar(
        self, messages: Sequence[Message], options: Sequence[str]
    ) -> NDArray[np.float64]:
        by_schema = "token_prompt" not in self._model.engine.capabilities
        settings = GenerationSettings(
            max_new_tokens=_MOST_TOKENS,
            schema={"enum": list(options)} if by_schema else None,
            choices=() if by_schema else tuple(options),
        )
        tokens = self._written(messages, settings)
        text = "".join(token.text for token in tokens if not token.reasoning)
        said = json.loads(text) if by_schema else text
        return np.array([float(option == said) for option in options])

    def _written(self, messages: Sequence[Message], settings: GenerationSettings) -> list[Token]:
        prompt = prompt_of(self._model, messages)
        report = GenerationReport()
        tokens = list(generate(self._model, prompt, settings=settings, report=report))
        self._num_read += report.usage.prompt_tokens
        self._num_written += len(tokens)
        return tokens


def softmax(scores: Sequence[float]) -> NDArray[np.float64]:
    """Log-probabilities as probabilities among themselves, summing to one."""
    row = np.asarray(scores, np.float64)
    exponentials = np.exp(row - row.max())
    found: NDArray[np.float64] = exponentials / exponentials.sum()
    return found


def matched(
    alternatives: Sequence[TokenAlternative], options: Sequence[str]
) -> NDArray[np.float64]:
    """The probability that each option begins with one of the next token's alternatives.

    A token counts for the one option that it begins, without spaces before it; one that begins
    several options, or none, counts for nothing.
    """
    found = np.zeros(len(options))
    for each in alternatives:
        text = each.text.strip()
        begun = [i for i, option in enumerate(options) if text and option.startswith(text)]
        if len(begun) == 1:
            found[begun[0]] += np.exp(each.logprob)
    return found


def _cannot_choose(name: str) -> ModelError:
    return ModelError(
        "The server of {name!r} gives neither log-probabilities nor answers that keep to a schema, "
        "so it cannot decide or judge; ask with a model that runs here, or behind a llama-server "
        "or vLLM.",
        name=name,
    )
