"""One call for both kinds of engine: prompt ids in, tokens out, a report filled meanwhile."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from avalan.errors import ConfigurationError
from avalan.model.decode.loop import decode
from avalan.model.decode.sampling import for_one_answer
from avalan.model.engine import GeneratingEngine, SteppingEngine
from avalan.model.entities import GenerationReport, GenerationSettings, Token, Usage
from avalan.model.load import Model


def generate(
    model: Model,
    token_ids: Sequence[int],
    *,
    settings: GenerationSettings,
    report: GenerationReport,
) -> Iterator[Token]:
    """The answer of `model` to the prompt `token_ids`; nothing is computed before it is iterated.

    Raises:
        ConfigurationError: a setting is out of its range, or the engine cannot honour it.
        ModelError: the prompt does not fit, or the engine fails.
    """
    settings = for_one_answer(settings, len(token_ids))
    engine = model.engine
    if isinstance(engine, SteppingEngine):
        return decode(
            engine,
            engine.start(),
            token_ids,
            tokenizer=model.tokenizer,
            settings=settings,
            report=report,
        )
    if not settings.use_cache:
        raise ConfigurationError(
            "The engine of {model!r} decodes by itself and keeps its own cache, so use_cache "
            "cannot be off; leave it on.",
            model=model.name,
        )
    return _timed(engine, token_ids, settings, report)


def _timed(
    engine: GeneratingEngine,
    token_ids: Sequence[int],
    settings: GenerationSettings,
    report: GenerationReport,
) -> Iterator[Token]:
    """The tokens of an engine that decodes by itself, counted and timed."""
    report.finish_reason = "interrupted"
    count = 0
    started = perf_counter()
    for token in engine.generate(token_ids, settings):
        count += 1
        elapsed = perf_counter() - started
        if count == 1:
            report.timings.prefill_s = elapsed
        else:
            report.timings.decode_s += elapsed
        report.usage = Usage(prompt_tokens=len(token_ids), completion_tokens=count)
        yield token
        started = perf_counter()
    report.finish_reason = "length" if count >= settings.max_new_tokens else "stop"
