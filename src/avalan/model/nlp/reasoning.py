"""A model's reasoning, told apart from its answer while the tokens come.

A model that reasons writes it first, between tags. Which tags, its chat template and its vocabulary
say. A tag may come as one token or as several; what may still become one is held back, so neither
text ever has a part of a tag. `advance` is a pure function, and what it gives does not depend on
where the text was cut.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress

from avalan.model.entities import Token


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of what a model writes; its tags and the white space at them belong to no text."""

    open: str
    close: str
    reasoning: bool = True
    """False for what stands around an answer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one of the two texts."""

    text: str
    reasoning: bool


THINK = Block("<think>", "</think>")

_WORDS = "think|thinking|thought|thoughts|reason|reasoning"
_TAG = re.compile(
    rf"(?P<left><\||[<\[◁])(?P<slash>/?)(?P<name>(?:\w+:)?(?:{_WORDS}))(?P<right>\|>|[>\]▷])",
    re.IGNORECASE,
)
"""`<think>`, `</think>`, `[THINK]`, `<seed:think>`, `<|thought|>`, `◁think▷` …"""

_CHANNEL, _AGAIN, _SAYS = "<|channel|>", "<|start|>assistant", "<|message|>"
_OTHERS = (
    Block("<|START_THINKING|>", "<|END_THINKING|>"),
    Block("<|begin_of_thought|>", "<|end_of_thought|>"),
    Block("<|inner_prefix|>", "<|inner_suffix|>"),
    Block("<|channel>thought\n", "<channel|>"),
    Block("Here is my thought process:", "Here is my response:"),
    *(
        Block(f"{start}{_CHANNEL}{name}{_SAYS}", "<|end|>", reasoning=name == "analysis")
        for name in ("analysis", "commentary", "final")
        for start in ("", _AGAIN)
    ),
)
"""Pairs whose names follow no rule: of Command, OpenThinker, Apertus, Gemma 4, Granite, gpt-oss."""

_AROUND_ANSWERS = (
    Block("<answer>", "</answer>", reasoning=False),
    Block("<|START_RESPONSE|>", "<|END_RESPONSE|>", reasoning=False),
    Block("<|begin_of_solution|>", "<|end_of_solution|>", reasoning=False),
)


def find_blocks(template: str | None, added_tokens: Iterable[str]) -> tuple[Block, ...]:
    """The blocks that a model uses, by its chat template and its added tokens; mostly none.

    A pair counts where its closing tag occurs, for `<|think|>` alone is a switch of some models; a
    tag such as `<think>` stands for both; of gpt-oss the channels have to be there.
    """
    source = "\n".join([template or "", *added_tokens])
    tags = _TAG.finditer(source)
    named = [_pair(tag) for tag in tags if tag["slash"] or tag["left"] != "<|"]
    others = [block for block in _OTHERS if _occurs(block, source)]
    if not named and not others:
        return ()
    around = [block for block in _AROUND_ANSWERS if block.close in source]
    return tuple(dict.fromkeys([*named, *others, *around]))


def find_opened(blocks: Iterable[Block], generation_prompt: str) -> Block | None:
    """The block that a prompt leaves open, as those that end in `<think>` and a line break."""

    def place(block: Block) -> int:
        return generation_prompt.rfind(block.open)

    opened = [block for block in blocks if place(block) > generation_prompt.rfind(block.close)]
    return max(opened, key=place, default=None)


def _pair(tag: re.Match[str]) -> Block:
    left, name, right = tag["left"], tag["name"], tag["right"]
    return Block(f"{left}{name}{right}", f"{left}/{name}{right}")


def _occurs(block: Block, source: str) -> bool:
    if _CHANNEL in block.open:
        return _CHANNEL in source and _SAYS in source
    return block.close in source


# --- the splitter -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class State:
    """Where in a model's text one is, and what of it is held back."""

    blocks: tuple[Block, ...]
    """Those that may begin where no answer has begun."""
    block: Block | None = None
    """The one that is open."""
    begun: bool = False
    """Whether the block, or the answer outside of any, has said something."""
    later: bool = False
    """Whether a block was closed before."""
    held: str = ""
    shown: bytes = b""
    """For each character of `held` 1 or 0: control tokens are read, not shown."""

    @property
    def reasoning(self) -> bool:
        """Whether what comes next is reasoning, unless a tag says otherwise."""
        return self.block is not None and self.block.reasoning

    @property
    def is_settled(self) -> bool:
        """Whether everything to come is the answer."""
        return self.begun and self.block is None


def advance(
    state: State, text: str, *, hidden: bool = False, last: bool = False
) -> tuple[list[Piece], State]:
    """Read more of a model's text.

    Args:
        hidden: `text` is a control token's, which may be a tag or a part of one, and is no words.
        last: nothing follows.

    Returns:
        What is certain now, in order, and the state after it. A block's text begins and ends with
        a word; reasoning that is closed is followed by a line break.
    """
    state = _hold(state, state.held + text, state.shown + bytes([not hidden]) * len(text))
    pieces: list[Piece] = []
    while True:
        before = state
        piece, state = _step(state, last)
        if piece is not None and piece.text:
            pieces.append(piece)
        if state is before:
            return pieces, state


def _step(state: State, last: bool) -> tuple[Piece | None, State]:
    """One piece or one change of place; the same state where nothing more can be said."""
    if not state.held:
        return None, state
    if not state.begun:
        return _begin(state, last)
    if state.block is None:
        return _give(state, len(state.held))
    end = state.held.find(state.block.close)
    if end >= 0:
        return _closed(state, end)
    sure = len(state.held) if last else _sure_length(state.held, state.block.close)
    return _give(state, sure) if sure else (None, state)


def _begin(state: State, last: bool) -> tuple[Piece | None, State]:
    """Where a block, or the answer, has said nothing yet."""
    body = state.held.lstrip()
    if state.block is not None or state.later:
        state = _from(state, len(state.held) - len(body))
    start = len(state.held) - len(body)
    opening = _longest([block for block in state.blocks if body.startswith(block.open)])
    if state.block is not None and body.startswith(state.block.close):
        return None, _leave(_from(state, len(state.block.close)))
    if opening is not None:
        return None, replace(_from(state, start + len(opening.open)), block=opening)
    if not body and (state.block is not None or state.later):
        return None, state
    if not last and _may_become_a_tag(state, body):
        return None, state
    return None, replace(state, begun=True)


def _may_become_a_tag(state: State, body: str) -> bool:
    tags = [block.open for block in state.blocks]
    if state.block is not None:
        tags.append(state.block.close)
    return any(tag.startswith(body) for tag in tags)


def _longest(blocks: list[Block]) -> Block | None:
    return max(blocks, key=lambda block: len(block.open), default=None)


def _closed(state: State, end: int) -> tuple[Piece | None, State]:
    assert state.block is not None
    text = _visible(state, end).rstrip()
    if state.block.reasoning:
        text += "\n"
    after = _from(state, end + len(state.block.close))
    return Piece(text, state.block.reasoning), _leave(after)


def _leave(state: State) -> State:
    return replace(state, block=None, begun=False, later=True)


def _sure_length(held: str, close: str) -> int:
    """How much of `held` is neither the beginning of `close` nor white space at its end."""
    longest = min(len(held), len(close) - 1)
    sizes = range(longest, 0, -1)
    overlap = next((size for size in sizes if close.startswith(held[-size:])), 0)
    return len(held[: len(held) - overlap].rstrip())


def _give(state: State, count: int) -> tuple[Piece | None, State]:
    return Piece(_visible(state, count), state.reasoning), _from(state, count)


def _visible(state: State, count: int) -> str:
    return "".join(compress(state.held[:count], state.shown))


def _from(state: State, start: int) -> State:
    return _hold(state, state.held[start:], state.shown[start:]) if start else state


def _hold(state: State, held: str, shown: bytes) -> State:
    return replace(state, held=held, shown=shown)


# --- over tokens --------------------------------------------------------------------------------


def split_tokens(
    tokens: Iterable[Token],
    state: State,
    *,
    hidden: Mapping[int, str],
    is_last: Callable[[], bool],
) -> Iterator[Token]:
    """The tokens, each with its part of either text, and with `reasoning` set.

    One whose text belongs to both comes twice, the second time with the rest.

    Args:
        hidden: control tokens whose text is left out, by id, where it is a tag or a part of one.
        is_last: tells, after a token, whether it was the last.
    """
    source = iter(tokens)
    token: Token | None = None
    for token in source:
        before = state.reasoning
        pieces, state = advance(state, token.text)
        mark = hidden.get(token.token_id)
        if mark is not None:
            more, state = advance(state, mark, hidden=True)
            pieces += more
        if is_last():
            more, state = advance(state, "", last=True)
            pieces += more
        yield from _told(token, _merged(pieces), before or state.reasoning)
        if state.is_settled:
            yield from source
            return
    if token is not None:
        pieces, _ = advance(state, "", last=True)
        yield from _told(token, _merged(pieces), None)


def _told(token: Token, pieces: list[Piece], reasoning: bool | None) -> Iterator[Token]:
    """The token once for each piece; without any, once and empty, or with None not at all."""
    if not pieces and reasoning is not None:
        pieces = [Piece("", reasoning)]
    for piece in pieces:
        yield replace(token, text=piece.text, reasoning=piece.reasoning)


def _merged(pieces: list[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].reasoning == piece.reasoning:
            merged[-1] = Piece(merged[-1].text + piece.text, piece.reasoning)
        else:
            merged.append(piece)
    return merged
