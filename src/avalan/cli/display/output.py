"""Where a generation goes: to people, live or as text; to a pipe, byte for byte; to programs, as
JSON. Reasoning is a remark beside the answer, so a pipe never holds it.

Light: what draws is loaded when something is drawn.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.figures import figures, figures_text
from avalan.cli.display.reasoning import ReasoningText
from avalan.cli.display.settings import DisplaySettings
from avalan.locale import _
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step


async def show(
    steps: AsyncIterator[Step], report: GenerationReport, display: DisplaySettings, console: Console
) -> int:
    """Show what comes; 130 when a person had enough of it."""
    try:
        if _is_drawn(display, console):
            await extras.load("avalan.cli.display.live").show(steps, report, display, console)
        else:
            await _stream(steps, display, console)
    except asyncio.CancelledError:  # Ctrl-C: what was said so far stays said.
        return 130
    return 0


def _is_drawn(display: DisplaySettings, console: Console) -> bool:
    to_people = console.interactive and not console.quiet and not console.as_json
    return to_people and display.num_tokens > 0


async def _stream(steps: AsyncIterator[Step], display: DisplaySettings, console: Console) -> None:
    """Exact bytes for pipes and `--quiet`; on a terminal, text that cannot drive it."""
    reasoning = ReasoningText(console)
    shows_reasoning = display.reasoning and not console.as_json
    try:
        async for step in steps:
            text = step.token.text
            if step.token.reasoning:
                if shows_reasoning:
                    reasoning.add(text)
                continue
            if text:
                reasoning.close()
            if console.quiet:
                console.write(text)
            else:
                console.print(text, end="")
    finally:
        reasoning.close()


def finish(
    head: Mapping[str, object],
    steps: Sequence[Step],
    report: GenerationReport,
    display: DisplaySettings,
    console: Console,
) -> None:
    """What is said when a generation is over: its figures, or the document that `head` begins."""
    if console.as_json:
        console.json(document(head, steps, report, display))
        return
    if _is_drawn(display, console):
        return
    text = _text(steps, reasoning=False)
    if console.interactive and not console.quiet and text and not text.endswith("\n"):
        console.print()
    given = figures(steps, report, nth=display.display_time_to_n_token)
    console.note((figures_text(given), "dim"))
    if report.finish_reason == "length" and steps[-1:] and steps[-1].token.reasoning:
        text = _("The model was still reasoning; let it go on with --max-new-tokens N.")
        console.note((text, "dim"))


def document(
    head: Mapping[str, object],
    steps: Sequence[Step],
    report: GenerationReport,
    display: DisplaySettings,
) -> dict[str, object]:
    """A generation as JSON values, with its tokens where they are asked for."""
    timings = report.timings
    made: dict[str, object] = {
        **head,
        "text": _text(steps, reasoning=False),
        "reasoning": (_text(steps, reasoning=True).strip() or None) if display.reasoning else None,
        "finish_reason": report.finish_reason or "interrupted",
        "usage": {
            "prompt_tokens": report.usage.prompt_tokens,
            "completion_tokens": report.usage.completion_tokens,
        },
        "timings": {
            "prefill_s": timings.prefill_s,
            "ttft_s": timings.ttft_s,
            "decode_s": timings.decode_s,
            "tokens_per_s": report.tokens_per_s,
        },
    }
    if display.num_tokens:
        made["tokens"] = [_token_document(step) for step in steps]
    return made


def _text(steps: Sequence[Step], *, reasoning: bool) -> str:
    """Of the two texts the one that is asked for."""
    return "".join(step.token.text for step in steps if step.token.reasoning == reasoning)


def _token_document(step: Step) -> dict[str, object]:
    token = step.token
    return {
        "id": token.token_id,
        "text": token.text,
        "piece": step.piece,
        "kind": step.kind,
        "reasoning": token.reasoning,
        "logprob": token.logprob,
        "time_s": step.time_s,
        "alternatives": [
            {"id": each.token_id, "text": each.text, "logprob": each.logprob}
            for each in token.alternatives
        ],
    }
