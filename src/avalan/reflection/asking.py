"""Asking, for Python programs: events as they happen, without blocking whoever else runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from avalan.model.entities import EngineSettings
from avalan.reflection import loop
from avalan.reflection.events import Event
from avalan.reflection.panel import Panel, open_panel
from avalan.reflection.settings import AskSettings
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.shared import Index


async def ask(
    question: str,
    *,
    index: Index | None = None,
    model: str | Panel | None = None,
    settings: AskSettings | None = None,
    engine: EngineSettings | None = None,
) -> AsyncIterator[Event]:
    """Answer `question` from the documents of `index`, telling each step; the last is the `Answer`.

    Example:
        ```python
        async with await Index.temporary() as index:
            async for _ in index.add(["notes/"]):
                pass
            async for event in ask("Where may visitors park?", index=index):
                if isinstance(event, Answer):
                    print(event.text, event.citations, event.confidence)
        ```

    Args:
        model: who judges and answers, by name (see `avalan ask --model`); None for the default. A
            panel that `open_panel` has opened serves many questions, and is closed by whoever
            opened it.
        settings: how the question is answered.
        engine: for a model that is named.

    Raises:
        ConfigurationError: the question is empty or a setting is out of its range.
        ModelError: the model cannot be loaded, or can neither choose nor be held to a choice.
        RetrievalError: the index cannot be read.
    """
    if isinstance(model, Panel):
        async for event in _events(question, index, model, settings):
            yield event
        return
    panel = await asyncio.to_thread(open_panel, model, engine)
    try:
        async for event in _events(question, index, panel, settings):
            yield event
    finally:
        await asyncio.to_thread(panel.__exit__)


async def _events(
    question: str, index: Index | None, panel: Panel, settings: AskSettings | None
) -> AsyncIterator[Event]:
    if index is None:
        events = loop.ask(question, panel=panel, index=None, settings=settings)
        while event := await asyncio.to_thread(next, events, None):
            yield event
        return

    def begun(held: SyncIndex) -> Iterator[Event]:
        return loop.ask(question, panel=panel, index=held, settings=settings)

    told = await index.reading(begun)
    while event := await index.reading(lambda _held: next(told, None)):
        yield event
