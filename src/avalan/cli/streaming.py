"""A generation on its way to whoever reads it: shown as it is made, recorded, shown again.

Commands load it once they know what to do, for it takes asyncio and the display with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from avalan.cli.console import Console
from avalan.cli.display.output import finish, show
from avalan.cli.display.settings import DisplaySettings
from avalan.model.entities import GenerationReport
from avalan.model.nlp.recording import Recorder, Recording
from avalan.model.nlp.steps import Step, steps_of


def answer(
    speaker: Any,
    starting: Awaitable[Any],
    head: Mapping[str, object],
    display: DisplaySettings,
    console: Console,
    recorder: Recorder | None = None,
) -> int:
    """Show the answer that `starting` starts; 130 when it was interrupted.

    Args:
        speaker: whose `model` may have a tokenizer.
        head: how the document for `--json` begins.
    """

    async def answered() -> int:
        stream = await starting
        steps = steps_of(stream, speaker.model.vocabulary)
        shown: list[Step] = []

        def seen(step: Step) -> None:
            shown.append(step)
            if recorder is not None:
                recorder.add(step)

        code = await show(steps, stream.report, display, console, seen)
        await stream.aclose()
        if code:
            _cut(stream.report, shown)
        if recorder is not None:
            recorder.finish(stream.report)
        finish(head, shown, stream.report, display, console)
        return code

    return asyncio.run(answered())


def replay(recording: Recording, display: DisplaySettings, console: Console) -> int:
    """Show a recording, to people at the pace of the model; 130 when it was interrupted."""
    paced = console.interactive and not console.quiet and not console.as_json
    report, shown = recording.report, list[Step]()
    steps = _paced(recording, real_time=paced)
    code = asyncio.run(show(steps, report, display, console, shown.append))
    if code:
        _cut(report, shown)
    finish({"model": recording.request.model}, shown, report, display, console)
    return code


def _cut(report: GenerationReport, shown: Sequence[Step]) -> None:
    """Make the report that of what was shown: the model may have been far ahead of the screen."""
    if len(shown) < report.usage.completion_tokens:
        report.finish_reason = "interrupted"
        report.usage = replace(report.usage, completion_tokens=len(shown))
        last_s = shown[-1].time_s if shown else 0.0
        report.timings.decode_s = max(0.0, last_s - report.timings.prefill_s)


async def _paced(recording: Recording, *, real_time: bool) -> AsyncIterator[Step]:
    """The steps at the pace of the model, or at once."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for step in recording.steps:
        wait = started + step.time_s - loop.time()
        if real_time and wait > 0:
            await asyncio.sleep(wait)
        yield step
