"""How a model is given a conversation: as token ids up to where it speaks, each read once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from avalan.model.engine import Logits, State, SteppingEngine
from avalan.model.entities import Message
from avalan.model.load import Model
from avalan.model.nlp.reasoning import find_blocks, find_opened
from avalan.model.prompt import Tokenizer
from avalan.reflection.marks import broken
from avalan.retrieval.sentences import sentences

_WORTH_KEEPING = 16
"""Tokens that two prompts share, from which on they are read once."""


def prompt_of(model: Model, messages: Sequence[Message]) -> Sequence[int] | Sequence[Message]:
    """What the model's engine is given: token ids, or messages where only the server has them.

    Whatever a message quotes, it has no template marks that a server could take for its own.
    """
    if "token_prompt" in model.engine.capabilities:
        return prompt_ids(model.tokenizer, messages)
    return [replace(message, content=broken(message.content or "")) for message in messages]


def prompt_ids(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids up to where an answer begins: reasoning, where the model has it, is closed."""
    fitted = tokenizer.fit(messages)
    found = tokenizer.encode_chat(fitted)
    blocks = find_blocks(tokenizer.chat_template, tokenizer.added_tokens)
    reasoning = [block for block in blocks if block.reasoning]
    if not reasoning:
        return found
    opened = find_opened(blocks, tokenizer.generation_prompt(fitted))
    block = opened or reasoning[0]
    # As templates write it whose reasoning is switched off.
    before, between = ("", "\n") if opened else (block.open, "\n\n")
    for text in (before, between, block.close, "\n\n"):
        tag_id = tokenizer.added_tokens.get(text)
        found += tokenizer.encode(text) if tag_id is None else [tag_id]
    return found


def fitting(model: Model, make: Callable[[str], list[Message]], text: str, *, spare: int) -> str:
    """As much of a text as the context has room for in the messages that `make` makes of it.

    The end is cut, behind a sentence where there is one. Where a server alone has the tokenizer,
    nobody here knows what fits.

    Args:
        spare: tokens that are left free behind the prompt.
    """
    if "token_prompt" not in model.engine.capabilities or not model.engine.context_length:
        return text
    taken = len(prompt_ids(model.tokenizer, make(""))) + spare
    return beginning(model.tokenizer, text, model.engine.context_length - taken)


def beginning(tokenizer: Tokenizer, text: str, num_tokens: int) -> str:
    """As much of a text as so many tokens hold: whole sentences, or the first words of one."""
    token_ids, spans = tokenizer.encode_with_offsets(text)
    if len(token_ids) <= num_tokens:
        return text
    end = spans[num_tokens - 1][1] if num_tokens > 0 else 0
    ends = [last for _first, last in sentences(text) if last <= end]
    return text[: ends[-1] if ends else end]


class PrefixReader:
    """Reads prompts with a stepping engine; what two in a row begin with is read once."""

    def __init__(self, engine: SteppingEngine) -> None:
        self.engine = engine
        self._last: Sequence[int] = ()
        self._shared: tuple[Sequence[int], State] | None = None

    def read(self, token_ids: Sequence[int]) -> tuple[State, Logits]:
        """A state that has read `token_ids`, and the logits after them."""
        if self._shared is not None:
            held, before = self._shared
            if len(held) < len(token_ids) and token_ids[: len(held)] == held:
                state = self.engine.fork(before)
                return state, self.engine.feed(state, token_ids[len(held) :])
        pairs = zip(self._last, token_ids[:-1], strict=False)
        num_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._last = token_ids
        state = self.engine.start()
        if num_shared < _WORTH_KEEPING:
            return state, self.engine.feed(state, token_ids)
        self.engine.feed(state, token_ids[:num_shared])
        self._shared = token_ids[:num_shared], self.engine.fork(state)
        return state, self.engine.feed(state, token_ids[num_shared:])
