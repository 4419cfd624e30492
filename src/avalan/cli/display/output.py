"""Where a generation goes: to people, live or as text; to a pipe, byte for byte; to programs, as
JSON. Reasoning is a remark beside the answer, so a pipe never holds it.

Light: what draws is loaded when something is drawn.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict

from avalan import extras
from avalan.cli.console import Console, cell_width, terminal_size
from avalan.cli.display.figures import figures_text
from avalan.cli.display.flow import GUTTER, fold
from avalan.cli.display.keyboard import ENDING, Keyboard, unhandled
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.signs import is_live, signs
from avalan.errors import AvalanError
from avalan.locale import _
from avalan.model.entities import GenerationReport
from avalan.model.nlp.steps import Step

_PAGE_LINES = 60
"""What fits where a picture is drawn only once."""
_TAB_STOP = 8
_WRITE_ANEW = "\r\x1b[K"
"""Clears the line of the cursor."""


async def show(
    steps: AsyncIterator[Step],
    report: GenerationReport,
    display: DisplaySettings,
    console: Console,
    seen: Callable[[Step], None],
) -> int:
    """Show what comes, and call `seen` with each that is shown; 130 when a person had enough."""
    try:
        if _is_drawn(display, console) and is_live(console):
            live = extras.load("avalan.cli.display.live").Live
            with _ended_in_order():
                await live(steps, report, display, console, seen).run()
        elif is_live(console) and not console.quiet:
            with _ended_in_order(), Keyboard(console.terminal()):
                await _stream(steps, display, console, seen, wraps=True)
        else:
            await _stream(steps, display, console, seen, wraps=False)
    except asyncio.CancelledError:  # Ctrl-C: what was said so far stays said.
        return 130
    return 0


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Ended from outside, what is shown is cancelled, as at Ctrl-C, and then the command ends.

    An exit raised by a handler may fall between two steps of the event loop and take with it the
    wake-up that a task waits for. Signals that are handled here `Keyboard` leaves alone.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def end(number: int) -> None:
        loop.remove_signal_handler(number)  # The same again ends it as it is.
        if not came and task is not None:
            task.cancel()
        came.append(number)

    numbers = unhandled(ENDING)
    with suppress(NotImplementedError):  # On Windows.
        for number in numbers:
            loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)
        if came:
            raise SystemExit(128 + came[0]) from None


def _is_drawn(display: DisplaySettings, console: Console) -> bool:
    to_people = console.interactive and not console.quiet and not console.as_json
    return to_people and display.num_tokens > 0


async def _stream(
    steps: AsyncIterator[Step],
    display: DisplaySettings,
    console: Console,
    seen: Callable[[Step], None],
    *,
    wraps: bool,
) -> None:
    """Exact bytes for pipes and `--quiet`; on a terminal, text that cannot drive it."""
    reasoning, answer = ReasoningText(console), AnswerText(console)
    shows_reasoning = display.reasoning and not console.as_json
    last = ""
    try:
        async for step in steps:
            seen(step)
            text = step.token.text
            if step.token.reasoning:
                if shows_reasoning:
                    answer.close()
                    reasoning.add(text)
                continue
            if text:
                reasoning.close()
                last = text
            if wraps:
                answer.add(text)
            elif console.quiet:
                console.write(text)
            else:
                console.print(text, end="")
    except AvalanError:
        _end_line(last, console)
        raise
    finally:
        reasoning.close()


def _end_line(text: str, console: Console) -> None:
    """Let what is said next begin a line, while a pipe gets the bytes of `text` alone."""
    if not text or text.endswith("\n") or console.as_json:
        return
    if console.interactive:
        console.print()
    elif console.shares_screen:
        console.note()


def finish(
    head: Mapping[str, object],
    steps: Sequence[Step],
    report: GenerationReport,
    display: DisplaySettings,
    console: Console,
) -> None:
    """What is said when a generation is over: its figures, or the document that `head` begins."""
    _figures(head, steps, report, display, console)
    if not console.as_json:
        _remarks(steps, report, display, console)
    if report.system_merged:
        merged = _(
            "The model's chat template takes no system prompt; yours was put before the prompt."
        )
        console.note((merged, "dim"))


def _figures(
    head: Mapping[str, object],
    steps: Sequence[Step],
    report: GenerationReport,
    display: DisplaySettings,
    console: Console,
) -> None:
    if console.as_json:
        console.json(document(head, steps, report, display))
        return
    is_drawn = _is_drawn(display, console)
    if is_drawn and is_live(console):
        return
    if not console.quiet:
        _end_line(_text(steps, reasoning=False), console)
    if is_drawn:  # Where the cursor cannot be moved, the picture of the end.
        pictures, size = extras.load("avalan.cli.display.generation"), (console.width, _PAGE_LINES)
        picture = pictures.Picture(report, display, signs())
        for line in picture.panel(steps, os.terminal_size(size), is_over=True):
            console.print("".join(text for text, _ in line).rstrip())
        return
    figures = figures_text(steps, report, nth=display.display_time_to_n_token)
    console.note((figures, "dim"))


def _remarks(
    steps: Sequence[Step], report: GenerationReport, display: DisplaySettings, console: Console
) -> None:
    """What the figures do not tell."""
    if display.num_tokens and not console.interactive:
        text = _("The tokens are drawn on a terminal only; --json gives them to programs.")
        console.note((text, "dim"))
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
        "engine": report.engine,
        "constraint": report.constraint,
        "enforced_by": report.enforced_by,
        "usage": asdict(report.usage),
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


class AnswerText:
    """Writes an answer on a terminal as it comes; a word that crosses the edge moves down whole."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line = ""
        """What is being written …"""
        self._shown = ""
        """… and what of it stands on the screen: spaces hang over the edge unseen."""

    def add(self, text: str) -> None:
        """Write more of it, a tab as spaces to the next tab stop."""
        for part in re.split(r"(\t)", text):
            gap = _TAB_STOP - cell_width(self._line) % _TAB_STOP
            self._add(" " * gap if part == "\t" else part)

    def close(self) -> None:
        """What follows is not the answer and stands below it."""
        if self._shown:
            self._console.write("\n")
        self._line = self._shown = ""

    def _add(self, text: str) -> None:
        width = max(terminal_size().columns, 2)
        # What a window that was narrowed has broken itself is finished.
        broken = len(self._shown) - len(_last_row(self._shown, width))
        self._line, self._shown = self._line[broken:], self._shown[broken:]
        lines = ["".join(t for t, _ in line) for line in fold([(self._line + text, "")], width)]
        rows = [line if cell_width(line) <= width else _clipped(line, width) for line in lines]
        first = rows[0]
        if first.startswith(self._shown):
            first = first[len(self._shown) :]
        else:
            first = _WRITE_ANEW + first
        self._console.write("\n".join([first, *rows[1:]]))
        self._line, self._shown = lines[-1], rows[-1]


def _last_row(text: str, width: int) -> str:
    """The end of a line that a terminal has broken anywhere."""
    start = used = 0
    for index, character in enumerate(text):
        size = cell_width(character)
        if used + size > width:
            start, used = index, 0
        used += size
    return text[start:]


def _clipped(line: str, width: int) -> str:
    """A line without the spaces that hang over the edge."""
    shown = line.rstrip(" ")
    return shown + " " * (width - cell_width(shown))


class ReasoningText:
    """Writes a model's reasoning on stderr, so that a pipe holds the answer alone.

    It comes in lines of the terminal's width, a bar before each; a word is written when it is
    whole.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._room = console.width - len(GUTTER)
        self._line = ""
        """What is being written …"""
        self._num_written = 0
        """… and how many characters of it are on the screen."""
        self._any = False

    def add(self, text: str) -> None:
        """Write more of it."""
        pieces = [(self._line + text, "")]
        *done, self._line = ("".join(t for t, _ in line) for line in fold(pieces, self._room))
        for line in done:
            self._write(line.rstrip(), end="\n")
        self._write(_without_last_word(self._line))

    def close(self) -> None:
        """It is over: what follows stands below an empty line."""
        if self._line.strip():
            self._write(self._line.rstrip(), end="\n")
        if self._any:
            self._console.note()
        self._line, self._any = "", False

    def _write(self, line: str, *, end: str = "") -> None:
        """Write what is new in the line."""
        lead = "" if self._num_written else GUTTER
        new = line[self._num_written :]
        if new or end:
            self._console.note(((lead + new) if new else lead.rstrip(), "dim italic"), end=end)
            self._any = True
        self._num_written = 0 if end else len(line)


def _without_last_word(line: str) -> str:
    """It may still grow, and then move to the next line; a wide character stays where it is."""
    end = len(line)
    while end and line[end - 1] != " " and cell_width(line[end - 1]) < 2:
        end -= 1
    return line[:end].rstrip()
