"""Many answers at once: prompts of like length share a batch, and rows leave it as they end."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

from avalan.errors import AvalanError
from avalan.model.decode.answer import Answer
from avalan.model.decode.loop import decode
from avalan.model.decode.sampling import Row, for_one_answer
from avalan.model.engine import BatchingEngine, SteppingEngine, check_room, check_token_ids
from avalan.model.entities import BATCH_SIZE, GenerationReport, GenerationSettings, Token, Usage
from avalan.model.prompt import Tokenizer

Until = Callable[[Sequence[Token]], bool]
"""Whether an answer has come far enough, by its tokens so far."""


def never(_tokens: Sequence[Token]) -> bool:
    """For answers that end by themselves."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A whole answer."""

    tokens: tuple[Token, ...]
    report: GenerationReport

    @property
    def text(self) -> str:
        """The answer, without the model's reasoning."""
        return "".join(token.text for token in self.tokens if not token.reasoning)

    @property
    def reasoning(self) -> str:
        """The model's reasoning; empty where there is none."""
        return "".join(token.text for token in self.tokens if token.reasoning).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """An answer that is being made."""

    index: int
    prompt: Sequence[int]
    answer: Answer
    limit: int
    tokens: list[Token] = field(default_factory=list)
    report: GenerationReport = field(default_factory=GenerationReport)


def decode_batch(
    engine: SteppingEngine,
    prompts: Sequence[Sequence[int]],
    *,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    batch_size: int = BATCH_SIZE,
    until: Until = never,
) -> Iterator[tuple[int, Answered | AvalanError]]:
    """Answer each of `prompts` as `decode` would by itself; what fails takes nothing else along.

    Short prompts come first, so that little of a batch is padding. An engine that knows no batches
    answers one after the other.

    Args:
        until: ends an answer early, with the token that made it true.

    Yields:
        The index of a prompt with its answer, or with what was wrong; in no certain order.

    Raises:
        ConfigurationError: a setting is out of its range.
    """
    for_one_answer(settings, 0)
    fitting = []
    for index, prompt in enumerate(prompts):
        try:
            check_token_ids(prompt, engine.vocab_size)
            check_room(0, len(prompt), engine.context_length)
            fitting.append(index)
        except AvalanError as error:
            yield index, error.with_traceback(None)
    fitting.sort(key=lambda index: len(prompts[index]))
    size = batch_size if "batch" in engine.capabilities else 1
    for start in range(0, len(fitting), size):
        chosen = fitting[start : start + size]
        if len(chosen) == 1:
            yield chosen[0], _alone(engine, prompts[chosen[0]], tokenizer, settings, until)
        else:
            rows = [_row(engine, index, prompts[index], tokenizer, settings) for index in chosen]
            yield from _together(cast("BatchingEngine", engine), rows, tokenizer.eos_ids, until)


def _alone(
    engine: SteppingEngine,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    until: Until,
) -> Answered | AvalanError:
    report = GenerationReport()
    tokens: list[Token] = []
    try:
        for token in decode(
            engine, engine.start(), prompt, tokenizer=tokenizer, settings=settings, report=report
        ):
            tokens.append(token)
            if until(tokens):
                report.finish_reason = "stop"
                break
        return Answered(tokens=tuple(tokens), report=report)
    except AvalanError as error:
        return error.with_traceback(None)  # Its frames would keep the whole batch alive.


def _row(
    engine: SteppingEngine,
    index: int,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    settings: GenerationSettings,
) -> _Row:
    settings = for_one_answer(settings, len(prompt))
    return _Row(
        index=index,
        prompt=prompt,
        answer=Answer(tokenizer, settings, prompt, engine.vocab_size),
        limit=min(settings.max_new_tokens, engine.context_length - len(prompt) + 1),
    )


def _together(
    engine: BatchingEngine, rows: list[_Row], eos_ids: Collection[int], until: Until
) -> Iterator[tuple[int, Answered | AvalanError]]:
    """Every row's answer as it ends; the others go on without it."""
    started = perf_counter()
    batch, logits = engine.start_batch([row.prompt for row in rows])
    prefill_s = perf_counter() - started
    while True:
        going_on = []
        for position, row in enumerate(rows):
            ended = _advance(row, logits[position], eos_ids, until)
            if ended is None:
                going_on.append(position)
                continue
            row.report.timings.prefill_s = prefill_s
            row.report.timings.decode_s = perf_counter() - started - prefill_s
            yield row.index, ended
        if not going_on:
            return
        if len(going_on) < len(rows):
            rows = [rows[position] for position in going_on]
            engine.keep_rows(batch, going_on)
        logits = engine.step_batch(batch, [row.answer.token_ids[-1] for row in rows])


def _advance(
    row: _Row, logits: Row, eos_ids: Collection[int], until: Until
) -> Answered | AvalanError | None:
    """Choose the row's next token; what came of the row, if that was the last one."""
    try:
        token, finish = row.answer.next(logits, eos_ids, row.limit)
        row.tokens.append(token)
        if finish is None and until(row.tokens):
            finish = "stop"
        elif finish is None:
            return None
        else:
            row.answer.check_whole()
    except AvalanError as error:
        return error.with_traceback(None)  # Its frames would keep the whole batch alive.
    report = row.report
    report.finish_reason = finish
    report.constraint, report.enforced_by = row.answer.constraint, row.answer.enforced_by
    report.usage = Usage(prompt_tokens=len(row.prompt), completion_tokens=len(row.tokens))
    return Answered(tokens=tuple(row.tokens), report=report)
