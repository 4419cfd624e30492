"""One call for both kinds of engine: prompt ids in, tokens out, a report filled meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter

from avalan.errors import ConfigurationError
from avalan.model.decode.loop import decode
from avalan.model.decode.sampling import for_one_answer
from avalan.model.engine import GeneratingEngine, SteppingEngine
from avalan.model.entities import GenerationReport, GenerationSettings, Message, Token, Usage
from avalan.model.load import Model
from avalan.model.prompt import Tokenizer


def generate(
    model: Model,
    prompt: Sequence[int] | Sequence[Message],
    *,
    settings: GenerationSettings,
    report: GenerationReport,
    goes_on: bool = False,
) -> Iterator[Token]:
    """The answer of `model` to `prompt`; nothing is computed before it is iterated.

    Args:
        prompt: token ids; messages for an engine that does not declare `token_prompt`.
        goes_on: it is a conversation's next turn, so that what the model has in mind of the turns
            before need not be read again. An engine that decodes by itself sees to that itself.

    Raises:
        ConfigurationError: a setting is out of its range, or the engine cannot honour it.
        ModelError: the prompt does not fit, or the engine fails.
    """
    engine = model.engine
    report.engine = model.engine_name or None
    token_ids = [each for each in prompt if isinstance(each, int)]
    if settings.max_length is not None and "token_prompt" not in engine.capabilities:
        raise ConfigurationError(
            "The setting max_length counts the tokens of the prompt, which only the server of "
            "{model!r} knows; set max_new_tokens instead.",
            model=model.name,
        )
    settings = for_one_answer(settings, len(token_ids))
    if isinstance(engine, SteppingEngine):
        return _decoded(model, engine, token_ids, settings, report, goes_on=goes_on)
    if not settings.use_cache:
        raise ConfigurationError(
            "The engine of {model!r} decodes by itself and keeps its own cache, so use_cache "
            "cannot be off; leave it on.",
            model=model.name,
        )
    return _timed(model, engine, prompt, settings, report)


def _decoded(
    model: Model,
    engine: SteppingEngine,
    token_ids: list[int],
    settings: GenerationSettings,
    report: GenerationReport,
    *,
    goes_on: bool,
) -> Iterator[Token]:
    """The tokens of our own loop; what the model has read and said is kept for the next turn."""
    if not goes_on:
        model.last_turn.forget()
    state, num_held = model.last_turn.take(engine, token_ids)
    held = list(token_ids)
    tokens = decode(
        engine,
        state,
        token_ids,
        tokenizer=model.tokenizer,
        settings=settings,
        report=report,
        num_held=num_held,
    )
    try:
        for token in tokens:
            held.append(token.token_id)
            yield token
    finally:  # Also where the reader has heard enough.
        if settings.use_cache:
            model.last_turn.keep(state, held)


def _timed(
    model: Model,
    engine: GeneratingEngine,
    prompt: Sequence[int] | Sequence[Message],
    settings: GenerationSettings,
    report: GenerationReport,
) -> Iterator[Token]:
    """The tokens of an engine that decodes by itself, counted and timed."""
    report.finish_reason = "interrupted"
    num_prompt = sum(isinstance(each, int) for each in prompt)
    started = perf_counter()
    for count, token in enumerate(engine.generate(prompt, settings, report), 1):
        elapsed = perf_counter() - started
        if count == 1:
            report.timings.prefill_s = elapsed
        else:
            report.timings.decode_s += elapsed
        report.usage = Usage(prompt_tokens=num_prompt, completion_tokens=count)
        yield token if model.vocabulary is None else _spelled(token, model.vocabulary)
        started = perf_counter()


def _spelled(token: Token, tokenizer: Tokenizer) -> Token:
    """The token, its alternatives with the texts that only the tokenizer knows."""
    if all(each.text for each in token.alternatives):
        return token
    alternatives = tuple(
        replace(each, text=tokenizer.decode([each.token_id])) for each in token.alternatives
    )
    return replace(token, alternatives=alternatives)
