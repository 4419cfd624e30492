"""What a generation cost: its tokens, its times, its speed. Light: no drawing library."""

from collections.abc import Sequence
from dataclasses import dataclass

from avalan.cli.console import cell_width
from avalan.cli.display.units import seconds_text
from avalan.locale import _, _n, ngettext
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step

REMARKS = {"length": _n("cut off at its limit"), "interrupted": _n("interrupted")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a generation cost up to a token; times are the model's, in seconds."""

    prompt_tokens: int
    completion_tokens: int = 0
    ttft_s: float | None = None
    nth: int
    ttnt_s: float | None = None
    """Until the token number `nth`; None before it comes."""
    tokens_per_s: float | None = None
    remark: str = ""


def figures(
    steps: Sequence[Step], report: GenerationReport, *, nth: int, is_over: bool = True
) -> Figures:
    """The figures up to the last of `steps`; how it ended is told when it is over."""
    # Whoever stops looking at a replay has seen less than was recorded.
    is_whole = len(steps) >= report.usage.completion_tokens
    reason = report.finish_reason if is_whole else "interrupted"
    remark = _(REMARKS[reason]) if is_over and reason in REMARKS else ""
    prompt_tokens = report.usage.prompt_tokens
    if not steps:
        return Figures(prompt_tokens=prompt_tokens, nth=nth, remark=remark)
    first, last = steps[0].time_s, steps[-1].time_s
    # A token whose text is partly reasoning and partly answer comes as two steps.
    count = min(len(steps), report.usage.completion_tokens or len(steps))
    return Figures(
        prompt_tokens=prompt_tokens,
        completion_tokens=count,
        ttft_s=first,
        nth=nth,
        ttnt_s=steps[nth - 1].time_s if len(steps) >= nth else None,
        tokens_per_s=(count - 1) / (last - first) if last > first else None,
        remark=remark,
    )


def figures_text(given: Figures, width: int | None = None) -> str:
    """`10 input tokens · 6 output tokens · ttft 49 ms · 1,254 t/s`, shorter where it must be."""
    asked, made = given.prompt_tokens, given.completion_tokens
    ttft = [] if given.ttft_s is None else [f"ttft {seconds_text(given.ttft_s)}"]
    ttnt = [] if given.ttnt_s is None else [f"ttnt({given.nth}) {seconds_text(given.ttnt_s)}"]
    speed = [] if given.tokens_per_s is None else [f"{_speed(given.tokens_per_s)} t/s"]
    remark = [given.remark] if given.remark else []
    words = [
        ngettext("{n:,} input token", "{n:,} input tokens", asked),
        ngettext("{n:,} output token", "{n:,} output tokens", made),
    ]
    short = [_("{count:,} in", count=asked), _("{count:,} out", count=made)]
    choices = (
        [*words, *ttft, *ttnt, *speed, *remark],
        [*short, *ttft, *ttnt, *speed, *remark],
        [*short, *ttft, *speed, *remark],
        [*short, *speed],
        short,
    )
    texts = [" · ".join(choice) for choice in choices]
    return next((text for text in texts if width is None or cell_width(text) <= width), "")


def _speed(tokens_per_s: float) -> str:
    return f"{tokens_per_s:,.0f}" if tokens_per_s >= 10 else f"{tokens_per_s:.1f}"
