"""A generation on its way to whoever reads it: shown as it is made, recorded, shown again.

Commands load it once they know what to do, for it takes asyncio and the display with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

from avalan.cli.console import Console
from avalan.cli.display.output import finish, show
from avalan.cli.display.settings import DisplaySettings
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
        taken: list[Step] = []
        code = await show(_kept(steps, taken, recorder), stream.report, display, console)
        await stream.aclose()
        if recorder is not None:
            recorder.finish(stream.report)
        finish(head, taken, stream.report, display, console)
        return code

    return asyncio.run(answered())


def replay(recording: Recording, display: DisplaySettings, console: Console) -> int:
    """Show a recording, to people at the pace of the model; 130 when it was interrupted."""
    paced = console.interactive and not console.quiet and not console.as_json
    taken: list[Step] = []
    steps = _kept(_paced(recording, real_time=paced), taken)
    code = asyncio.run(show(steps, recording.report, display, console))
    finish({"model": recording.request.model}, taken, recording.report, display, console)
    return code


async def _kept(
    steps: AsyncIterator[Step], taken: list[Step], recorder: Recorder | None = None
) -> AsyncIterator[Step]:
    """The steps, each written into `taken` and the recording as it passes."""
    async for step in steps:
        taken.append(step)
        if recorder is not None:
            recorder.add(step)
        yield step


async def _paced(recording: Recording, *, real_time: bool) -> AsyncIterator[Step]:
    """The steps at the pace of the model, or at once."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for step in recording.steps:
        wait = started + step.time_s - loop.time()
        if real_time and wait > 0:
            await asyncio.sleep(wait)
        yield step
