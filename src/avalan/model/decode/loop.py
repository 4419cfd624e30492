"""The decode loop: logits in, tokens out, each as soon as it exists."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from avalan.model.decode.answer import Answer
from avalan.model.decode.sampling import for_one_answer
from avalan.model.engine import State, SteppingEngine
from avalan.model.entities import GenerationReport, GenerationSettings, Token, Usage
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
    num_held: int = 0,
) -> Iterator[Token]:
    """Feed `token_ids` to `state` and yield what the model says next.

    A token is yielded before the next one is computed. The last token is yielded but not fed, so
    afterwards `state` holds everything up to it; with `use_cache` off it holds only what it held
    and `token_ids`, which are read again for each token. The answer ends at an end token (which is
    yielded, its text empty), a stop string, `max_new_tokens`, or the end of the model's context.

    Args:
        report: filled while the tokens come; its times leave out whatever the consumer does.
        eos_ids: tokens that end the answer; left open, the tokenizer's.
        num_held: how many of `token_ids`, from the first on, are the last that `state` holds; they
            are not fed again.

    Raises:
        ConfigurationError: a setting is out of its range, or is for another way of decoding.
        MissingExtra: a constraint is asked for, and what enforces it is not installed.
        ModelError: the prompt is empty or does not fit, or the model gives no finite numbers.
        TruncatedAnswer: after the last token, if what the answer was to follow is not whole.
    """
    new_ids = token_ids[num_held:]
    settings = for_one_answer(settings, state.length + len(new_ids))
    answer = Answer(tokenizer, settings, token_ids, engine.vocab_size)
    report.constraint, report.enforced_by = answer.constraint, answer.enforced_by
    ends = tokenizer.eos_ids if eos_ids is None else eos_ids
    report.finish_reason = "interrupted"  # Stands unless an end is reached.
    before = None if settings.use_cache else engine.fork(state)
    started = perf_counter()
    logits = engine.feed(state, new_ids)
    limit = min(settings.max_new_tokens, engine.context_length - state.length + 1)
    report.usage = Usage(prompt_tokens=len(token_ids), cached_tokens=num_held)
    while True:
        token, finish = answer.next(logits, ends, limit)
        elapsed = perf_counter() - started
        if len(answer.token_ids) <= 1:
            report.timings.prefill_s = elapsed
        else:
            report.timings.decode_s += elapsed
        report.usage = replace(report.usage, completion_tokens=len(answer.token_ids))
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
            logits = engine.feed(engine.fork(before), [*new_ids, *answer.token_ids])
