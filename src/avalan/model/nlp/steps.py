"""The steps of a generation: its tokens with what a screen or a file needs to know besides."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avalan.model.entities import GenerationReport, Token, TokenKind

if TYPE_CHECKING:
    from avalan.model.nlp.stream import TokenStream
    from avalan.model.prompt import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of decoding, as it can be shown and kept."""

    token: Token
    piece: str
    """The token's own text, also where it adds none to the answer."""
    kind: TokenKind = "plain"
    time_s: float = 0.0
    """Seconds of the model from the prompt to this token, whatever the screen did meanwhile."""

    @property
    def probability(self) -> float:
        """Of the token, by the model itself: before temperature and filters."""
        return math.exp(min(self.token.logprob, 0.0))


async def steps_of(tokens: "TokenStream", tokenizer: "Tokenizer | None") -> AsyncIterator[Step]:
    """The tokens with their own texts, kinds and times.

    Args:
        tokenizer: the model's; of a served model's tokens only the texts are known.
    """
    clock = Clock()
    count = 0
    async for token in tokens:
        count += 1
        yield Step(
            token=token,
            piece=piece(token, tokenizer.decode([token.token_id])) if tokenizer else token.text,
            kind=tokenizer.kind(token.token_id) if tokenizer else "plain",
            time_s=clock.time_s(count, tokens.report),
        )


def piece(token: Token, alone: str) -> str:
    """A token's own text, given what it decodes to `alone`.

    Some tokenizers drop the space that joins a word to the one before when they decode it alone;
    what the token added to the answer has it.
    """
    is_same = bool(alone.strip()) and token.text.strip() == alone.strip()
    return token.text if is_same and not token.special else alone


class Clock:
    """When each token was made, though several may have come by the time that one is looked at.

    A report tells how many tokens there are and how long they took, at one moment. Between two such
    moments the tokens are taken as evenly spaced.
    """

    def __init__(self) -> None:
        self._count = 0
        self._time_s = 0.0

    def time_s(self, number: int, report: GenerationReport) -> float:
        """Seconds of the model until the token `number`, counted from 1 and in order."""
        count = max(report.usage.completion_tokens, number)
        now = max(report.timings.prefill_s + report.timings.decode_s, self._time_s)
        if self._count == 0 and number == 1:
            now, count = report.timings.prefill_s, 1
        share = (number - self._count) / (count - self._count) if count > self._count else 1.0
        self._time_s += (now - self._time_s) * share
        self._count = number
        return self._time_s
