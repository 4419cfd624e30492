"""The decode loop: logits in, tokens out, each as soon as it exists."""

from collections.abc import Collection, Iterator, Sequence
from time import perf_counter

import numpy as np

from avalan import extras
from avalan.errors import ModelError, TruncatedAnswer
from avalan.model.decode.constraint import restrict
from avalan.model.decode.sampling import Row, draw, for_one_answer, logprobs, process
from avalan.model.decode.text import Detokenizer, StopScanner
from avalan.model.engine import State, SteppingEngine
from avalan.model.entities import (
    FinishReason,
    GenerationReport,
    GenerationSettings,
    Token,
    TokenAlternative,
    Usage,
)
from avalan.model.prompt import Tokenizer


def decode(
    engine: SteppingEngine,
    state: State,
    token_ids: Sequence[int],
    *,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    report: GenerationReport,
    eos_ids: Collection[int] | None = None,
) -> Iterator[Token]:
    """Feed `token_ids` to `state` and yield what the model says next.

    A token is yielded before the next one is computed. The last token is yielded but not fed, so
    afterwards `state` holds everything up to it; with `use_cache` off it holds only what it held
    and `token_ids`, which are read again for each token. The answer ends at an end token (which is
    yielded, its text empty), a stop string, `max_new_tokens`, or the end of the model's context.

    Args:
        report: filled while the tokens come; its times leave out whatever the consumer does.
        eos_ids: tokens that end the answer; left open, the tokenizer's.

    Raises:
        ConfigurationError: a setting is out of its range, or is for another way of decoding.
        MissingExtra: a constraint is asked for, and what enforces it is not installed.
        ModelError: the prompt is empty or does not fit, or the model gives no finite numbers.
        TruncatedAnswer: after the last token, if what the answer was to follow is not whole.
    """
    settings = for_one_answer(settings, state.length + len(token_ids))
    answer = _Answer(tokenizer, settings, token_ids, engine.vocab_size)
    report.constraint, report.enforced_by = settings.constraint, answer.enforced_by
    ends = tokenizer.eos_ids if eos_ids is None else eos_ids
    report.finish_reason = "interrupted"  # Stands unless an end is reached.
    before = None if settings.use_cache else engine.fork(state)
    started = perf_counter()
    logits = engine.feed(state, token_ids)
    limit = min(settings.max_new_tokens, engine.context_length - state.length + 1)
    report.usage = Usage(prompt_tokens=len(token_ids))
    while True:
        token, finish = answer.next(logits, ends, limit)
        elapsed = perf_counter() - started
        if len(answer.token_ids) <= 1:
            report.timings.prefill_s = elapsed
        else:
            report.timings.decode_s += elapsed
        report.usage = Usage(prompt_tokens=len(token_ids), completion_tokens=len(answer.token_ids))
        if finish is not None:
            report.finish_reason = finish
        yield token
        if finish is not None:
            answer.check_whole()
            return
        started = perf_counter()
        if before is None:
            logits = engine.feed(state, answer.token_ids[-1:])
        else:
            logits = engine.feed(engine.fork(before), [*token_ids, *answer.token_ids])


class _Answer:
    """What was generated so far, and how the next token is made from logits."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: GenerationSettings,
        prompt_ids: Sequence[int],
        vocab_size: int,
    ) -> None:
        self.token_ids: list[int] = []
        self._tokenizer = tokenizer
        self._settings = settings
        self._seen = set(prompt_ids)
        self._random = np.random.default_rng(settings.seed)
        self._detokenizer = Detokenizer(tokenizer, skip_special_tokens=settings.skip_special_tokens)
        self._scanner = StopScanner(settings.stop_strings)
        self._grammar = None
        self.enforced_by: str | None = None
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
        if self._grammar is not None and not self._grammar.is_complete:
            raise TruncatedAnswer(
                "The answer ended after {num_tokens} tokens, before the {kind} that it was to "
                "follow was whole; raise --max-new-tokens, or ask for less.",
                num_tokens=len(self.token_ids),
                kind=self._settings.constraint,
            )

    def _allowed(self, logits: Row) -> Row:
        return logits if self._grammar is None else restrict(logits, self._grammar.allowed())

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
