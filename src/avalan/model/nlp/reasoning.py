"""A model's reasoning, told apart from its answer while the tokens come.

A model that reasons writes it first, between tags. Which tags, its chat template and its vocabulary
say. A tag may come as one token or as several; what may still become one is held back, so neither
text ever has a part of a tag. What comes out does not depend on where the text was cut.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress, groupby

from avalan.model.decode.text import num_held
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
    rf"(<\||[<\[◁])(/?)((?:\w+:)?(?:{_WORDS}))(\|>|[>\]▷])",
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
    named = [
        Block(left + name + right, f"{left}/{name}{right}")
        for left, slash, name, right in _TAG.findall(source)
        if slash or left != "<|"
    ]
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


def _occurs(block: Block, source: str) -> bool:
    if _CHANNEL in block.open:
        return _CHANNEL in source and _SAYS in source
    return block.close in source


# --- the splitter -------------------------------------------------------------------------------


class Splitter:
    """Reads a model's text in pieces and tells its reasoning from its answer."""

    def __init__(self, blocks: tuple[Block, ...], opened: Block | None = None) -> None:
        """
        Args:
            blocks: those that may begin where no answer has begun.
            opened: the one that is open from the start.
        """
        self._blocks = blocks
        self._block = opened
        self._begun = False
        """Whether the block, or the answer outside of any, has said something."""
        self._later = False
        """Whether a block was closed before."""
        self._held = ""
        self._shown = b""
        """For each held character 1 or 0: control tokens are read, not shown."""

    @property
    def reasoning(self) -> bool:
        """Whether what comes next is reasoning, unless a tag says otherwise."""
        return self._block is not None and self._block.reasoning

    @property
    def is_settled(self) -> bool:
        """Whether everything to come is the answer."""
        return self._begun and self._block is None

    def add(self, text: str, *, hidden: bool = False, last: bool = False) -> list[Piece]:
        """Read more of the text.

        Args:
            hidden: `text` is a control token's, which may be a tag or a part of one, and is no
                words.
            last: nothing follows.

        Returns:
            What is certain now, in order. A block's text begins and ends with a word; reasoning
            that is closed is followed by a line break.
        """
        self._held += text
        self._shown += bytes([not hidden]) * len(text)
        pieces: list[Piece] = []
        while self._held and (self._begun or self._find_beginning(last)):
            if self._begun:
                reasoning = self.reasoning
                words = self._say(last)
                if words:
                    pieces.append(Piece(words, reasoning))
                if self._begun:  # No block was closed: all that is certain is said.
                    break
        return pieces

    def _find_beginning(self, last: bool) -> bool:
        """Pass a tag, or find the first word; False where only more text can tell."""
        block = self._block
        body = self._held.lstrip()
        space = len(self._held) - len(body)
        if block is not None and body.startswith(block.close):
            self._take(space)
            self._close(block)
            return True
        opening = [each for each in self._blocks if body.startswith(each.open)]
        if opening:
            self._block = max(opening, key=lambda each: len(each.open))
            self._take(space + len(self._block.open))
            return True
        if block is not None or self._later:
            self._take(space)
            if not body:
                return False
        tags = [each.open for each in self._blocks] + ([block.close] if block else [])
        self._begun = last or not any(tag.startswith(body) for tag in tags)
        return self._begun

    def _say(self, last: bool) -> str:
        """What the block, or the answer, certainly says."""
        block = self._block
        if block is None:
            return self._take(len(self._held))
        end = self._held.find(block.close)
        if end < 0:
            return self._take(len(self._held) if last else _sure_length(self._held, block.close))
        words = self._take(end).rstrip()
        self._close(block)
        return words + "\n" if block.reasoning else words

    def _close(self, block: Block) -> None:
        self._take(len(block.close))
        self._block, self._begun, self._later = None, False, True

    def _take(self, count: int) -> str:
        """The words in the first `count` held characters, which are held no more."""
        words = "".join(compress(self._held[:count], self._shown))
        self._held, self._shown = self._held[count:], self._shown[count:]
        return words


def _sure_length(held: str, close: str) -> int:
    """How much of `held` is neither the beginning of `close` nor white space at its end."""
    return len(held[: len(held) - num_held(held, (close,))].rstrip())


def split_tokens(
    tokens: Iterable[Token],
    splitter: Splitter,
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
        before = splitter.reasoning
        pieces = splitter.add(token.text)
        if token.token_id in hidden:
            pieces += splitter.add(hidden[token.token_id], hidden=True)
        if is_last():
            pieces += splitter.add("", last=True)
        yield from _told(token, pieces or [Piece("", before or splitter.reasoning)])
        if splitter.is_settled:
            yield from source
            return
    if token is not None:
        yield from _told(token, splitter.add("", last=True))


def _told(token: Token, pieces: list[Piece]) -> Iterator[Token]:
    """The token once for each stretch of either text."""
    for reasoning, stretch in groupby(pieces, key=lambda piece: piece.reasoning):
        text = "".join(piece.text for piece in stretch)
        yield replace(token, text=text, reasoning=reasoning)
