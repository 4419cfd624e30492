"""What a generation cost: its tokens, its times, its speed. Light: no drawing library."""

from collections.abc import Sequence

from avalan.cli.console import cell_width
from avalan.cli.display.units import seconds_text
from avalan.locale import _, _n, ngettext, number
from avalan.model.entities import CONSTRAINTS, GenerationReport
from avalan.model.nlp.steps import Step

_REMARKS = {"length": _n("cut off at its limit"), "interrupted": _n("interrupted")}


def figures_text(
    steps: Sequence[Step],
    report: GenerationReport,
    *,
    nth: int,
    is_over: bool = True,
    width: int | None = None,
) -> str:
    """`10 input tokens · 6 output tokens · ttft 49 ms · 1,254 t/s`; times are the model's.

    Args:
        steps: those that were seen.
        nth: the token whose time is told, too, once it came.
        is_over: tell how it ended.
        width: columns at most; the text is shorter where it must be.
    """
    asked, num_made = report.usage.prompt_tokens, report.usage.completion_tokens
    # A token whose text is partly reasoning and partly answer comes as two steps.
    made = min(len(steps), num_made or len(steps))
    span_s = steps[-1].time_s - steps[0].time_s if steps else 0.0
    ttft = [f"ttft {seconds_text(steps[0].time_s)}"] if steps else []
    ttnt = [f"ttnt({nth}) {seconds_text(steps[nth - 1].time_s)}"] if len(steps) >= nth else []
    rate = (made - 1) / span_s if span_s > 0 else 0.0
    speed = [f"{number(rate, ',.0f' if rate >= 10 else ',.1f')} t/s"] if span_s > 0 else []
    # Whoever stops looking at a replay has seen less than was recorded.
    reason = report.finish_reason if len(steps) >= num_made else "interrupted"
    remark = [_(_REMARKS[reason])] if is_over and reason in _REMARKS else []
    engine = [report.engine] if is_over and report.engine else []
    kept = []
    if is_over and report.constraint and report.enforced_by:
        text = _n("{kind} kept by {author}")
        kept = [_(text, kind=_(CONSTRAINTS[report.constraint]), author=report.enforced_by)]
    words = [ngettext("{n:,} output token", "{n:,} output tokens", made)]
    short = [_("{count:,} out", count=made)]
    if asked:  # Some servers do not tell.
        words = [ngettext("{n:,} input token", "{n:,} input tokens", asked), *words]
        short = [_("{count:,} in", count=asked), *short]
    choices = (
        [*words, *ttft, *ttnt, *speed, *engine, *kept, *remark],
        [*words, *ttft, *ttnt, *speed, *remark],
        [*short, *ttft, *ttnt, *speed, *remark],
        [*short, *ttft, *speed, *remark],
        [*short, *speed],
        short,
    )
    texts = [" · ".join(choice) for choice in choices]
    return next((text for text in texts if width is None or cell_width(text) <= width), "")
