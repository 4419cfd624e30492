"""One answer as it grows: from a row of logits to a token, its text and the reason to end."""

from collections.abc import Collection, Sequence

import numpy as np

from avalan import extras
from avalan.errors import ModelError
from avalan.model.decode.constraint import cut_short, restrict, without
from avalan.model.decode.sampling import Row, draw, logprobs, process
from avalan.model.decode.text import Detokenizer, StopScanner
from avalan.model.entities import (
    FinishReason,
    GenerationSettings,
    Token,
    TokenAlternative,
)
from avalan.model.prompt import Tokenizer


class Answer:
    """What was generated of one answer, and how its next token is made from logits."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: GenerationSettings,
        prompt_ids: Sequence[int],
        vocab_size: int,
    ) -> None:
        self.token_ids: list[int] = []
        """The answer so far."""
        self._tokenizer = tokenizer
        self._settings = settings
        self._seen = set(prompt_ids)
        self._forbidden = settings.forbidden_ids
        self._random = np.random.default_rng(settings.seed)
        self._detokenizer = Detokenizer(tokenizer, skip_special_tokens=settings.skip_special_tokens)
        self._scanner = StopScanner(settings.stop_strings)
        self._grammar = None
        self.constraint = settings.constraint
        """What the answer has to follow, if anything."""
        self.enforced_by: str | None = None
        """Who sees to it."""
        if settings.constraint is not None:
            grammar = extras.load("avalan.model.decode.grammar", extra="grammar")
            self._grammar = grammar.Grammar(settings, tokenizer, vocab_size)
            self.enforced_by = grammar.AUTHOR

    def next(
        self, logits: Row, eos_ids: Collection[int], limit: int
    ) -> tuple[Token, FinishReason | None]:
        """The next token, and why it is the last, if it is."""
        candidates = process(self._allowed(logits), self._settings, self._seen)
        if self._settings.samples:
            token_id, probability = draw(candidates, self._random)
        else:
            token_id, probability = int(candidates.argmax()), 1.0
        self.token_ids.append(token_id)
        self._seen.add(token_id)
        finish: FinishReason | None = None
        is_end = token_id in eos_ids
        if is_end or self._is_over_after(token_id):
            finish = "stop"
        elif len(self.token_ids) >= limit:
            finish = "length"
        text, stopped = self._text(token_id, is_last=finish is not None, hidden=is_end)
        return self._token(logits, token_id, probability, text), "stop" if stopped else finish

    def check_whole(self) -> None:
        """Raises TruncatedAnswer for an answer that ended before its constraint let it."""
        if self.constraint and self._grammar is not None and not self._grammar.is_complete:
            raise cut_short(len(self.token_ids), self.constraint)

    def _allowed(self, logits: Row) -> Row:
        if self._grammar is not None:
            logits = restrict(logits, self._grammar.allowed())
        return without(logits, self._forbidden) if self._forbidden else logits

    def _is_over_after(self, token_id: int) -> bool:
        if self._grammar is None:
            return False
        self._grammar.accept(token_id)
        return bool(self._grammar.is_over)

    def _text(self, token_id: int, *, is_last: bool, hidden: bool) -> tuple[str, bool]:
        """The text to show, and whether a stop string is complete."""
        text = ""
        if not (hidden and self._settings.skip_special_tokens):
            text = self._detokenizer.add(token_id)
        if is_last:
            text += self._detokenizer.flush()
        shown = self._scanner.push(text)
        if is_last:
            shown += self._scanner.flush()
        return shown, self._scanner.stopped

    def _token(self, logits: Row, token_id: int, probability: float, text: str) -> Token:
        raw = logprobs(logits)
        if not np.isfinite(raw[token_id]):
            raise ModelError(
                "The model gave numbers that are not finite; load it with the weight type "
                "fp32, or check its files."
            )
        return Token(
            token_id=token_id,
            text=text,
            logprob=float(raw[token_id]),
            probability=probability,
            alternatives=tuple(
                TokenAlternative(
                    token_id=i, text=self._tokenizer.decode([i]), logprob=float(raw[i])
                )
                for i in highest(raw, self._settings.num_alternatives)
            ),
            special=token_id in self._tokenizer.special_ids,
        )


def highest(row: Row, count: int) -> list[int]:
    """The ids of the `count` highest values, best first; ties in the order of ids."""
    count = min(count, row.size)
    if count == 0:
        return []
    candidates = np.flatnonzero(row >= np.partition(row, -count)[-count])
    ranked: list[int] = candidates[np.argsort(-row[candidates], kind="stable")].tolist()
    return ranked[:count]
