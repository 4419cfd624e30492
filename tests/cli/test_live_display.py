"""The live screen: text committed once, a bounded tail redrawn, on a terminal small and real."""

import asyncio
import fcntl
import itertools
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.cli.console import Console, cell_width, neutralise
from avalan.cli.display import output
from avalan.cli.display.flow import TAB, Flow, Span, fold
from avalan.cli.display.generation import Frame, Picture
from avalan.cli.display.layout import Line, trimmed
from avalan.cli.display.live import Live, Schedule
from avalan.cli.display.output import AnswerText
from avalan.cli.display.palette import Painter
from avalan.cli.display.screen import FRAME_S, Screen
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.display.signs import Signs
from avalan.model.entities import GenerationReport, GenerationTimings, Token, Usage
from avalan.model.nlp.recording import Recorder, Request
from avalan.model.nlp.steps import Step

AVALAN = Path(sys.executable).with_name("avalan")
WORDS = st.sampled_from(
    [
        "a",
        " the",
        " river",
        "\n",
        "  ",
        "\t",
        "日本語",
        " 👩‍👩‍👧",
        "e\u0301",
        "\u0301",
        "x" * 30,
        "\x1b[2J\x07",
    ]
) | st.text(max_size=5)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def visible(text: str) -> str:
    """What a terminal shows of a text, without the white space that wrapping may move."""
    return "".join(neutralise(text).split())


# --- text that flows ----------------------------------------------------------------------------


@given(words=st.lists(WORDS), width=st.integers(2, 40))
def test_folded_lines_are_the_text_and_fit_the_width(words: list[str], width: int) -> None:
    lines = fold([(word, "") for word in words], width)
    text = neutralise("".join(words)).replace("\t", TAB)
    assert "".join(map(text_of, lines)) == text.replace("\n", "")
    for line in lines:
        shown = text_of(trimmed(line))
        # One picture of several characters may be wider than a very narrow line.
        assert cell_width(shown) <= width or len(shown.strip()) <= 12


def test_words_are_kept_whole_and_spaces_hang_over_the_end() -> None:
    lines = fold([("The river runs", ""), ("  below", "")], 9)
    assert list(map(text_of, lines)) == ["The river ", "runs  ", "below"]


def test_wide_scripts_break_anywhere_and_accents_stay_with_their_letter() -> None:
    assert list(map(text_of, fold([("日本語e\u0301", "")], 4))) == ["日本", "語e\u0301"]
    assert list(map(text_of, fold([("abce\u0301f", "")], 4))) == ["abce\u0301", "f"]
    assert list(map(text_of, fold([("aaa👩‍👩b", "")], 7))) == ["aaa", "👩‍👩b"]


@given(words=st.lists(WORDS), width=st.integers(4, 40))
def test_a_finished_line_never_changes_whatever_comes_after_it(
    words: list[str], width: int
) -> None:
    finished: list[str] = []
    flow = Flow()
    for word in words:
        finished += map(text_of, flow.advance([Span(word)], width))
    if words:
        finished.append(text_of(flow.last_line))
        assert finished == [text_of(line) for line in fold([("".join(words), "")], width)]


def test_reasoning_flows_apart_from_the_answer() -> None:
    spans = [Span("Let me\nthink", reasoning=True), Span("It is six.")]
    flow = Flow()
    assert list(map(text_of, flow.advance(spans, 20))) == ["¦ Let me", "¦ think", ""]
    assert text_of(flow.last_line) == "It is six."


# --- a terminal ---------------------------------------------------------------------------------


class Terminal:
    """Enough of a terminal to see what a program drew; it refuses what it does not know."""

    CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b|[\x00-\x1f\x7f-\x9f]")

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.scrollback: list[str] = []
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.wraps, self.shows_cursor = True, True

    def feed(self, data: str) -> None:
        position = 0
        while position < len(data):
            if found := self.CONTROL.match(data, position):
                self._control(found)
                position = found.end()
            else:
                self._put(data[position])
                position += 1

    def lines(self) -> list[str]:
        return [*self.scrollback, *("".join(row).rstrip() for row in self.rows)]

    def _control(self, found: re.Match[str]) -> None:
        count = int(found[1]) if (found[1] or "").isdigit() else 1
        cells = self.rows[self.row]
        match found[0][:1] + (found[2] or ""), found[1]:
            case "\r", _:
                self.column = 0
            case "\n", _:
                self._next_row()
            case "\x1bm", _:
                pass
            case "\x1bA", _:
                assert self.row >= count, "the cursor went above the screen"
                self.row -= count
            case "\x1bG", _:
                self.column = count - 1
            case "\x1bK", "":
                del cells[self.column :]
            case "\x1bJ", "":
                assert (self.row, self.column) != (0, 0), "tmux would keep what is cleared"
                del cells[self.column :]
                del self.rows[self.row + 1 :]
            case (("\x1bh" | "\x1bl"), "?7"):
                self.wraps = found[2] == "h"
            case (("\x1bh" | "\x1bl"), "?25"):
                self.shows_cursor = found[2] == "h"
            case (("\x1bh" | "\x1bl"), "?2026"):
                pass
            case _:
                raise AssertionError(f"unknown control sequence {found[0]!r}")

    def _next_row(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])
        if self.row == self.height:
            self.scrollback.append("".join(self.rows.pop(0)).rstrip())
            self.row -= 1

    def _put(self, character: str) -> None:
        if unicodedata.category(character) in ("Mn", "Me", "Cf"):
            cells = self.rows[self.row]
            if 0 < self.column <= len(cells):
                cells[self.column - 1] += character
            return
        size = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self.column + size > self.width:
            if not self.wraps:
                self.column = self.width - size
            else:
                self._next_row()
                self.column = 0
        cells = self.rows[self.row]
        cells += [" "] * (self.column - len(cells))
        cells[self.column : self.column + size] = [character, *[""] * (size - 1)]
        self.column += size


class Written(Console):
    """A console that writes to a terminal of ours."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.interactive = True
        self._terminal = terminal

    def write(self, text: str) -> None:
        self._terminal.feed(text.replace("\n", "\r\n"))  # As the line discipline does.


def step(text: str, index: int, *, probability: float = 0.5) -> Step:
    token = Token(token_id=index, text=text, logprob=-(1 - probability), probability=1.0)
    return Step(token=token, piece=text, time_s=0.01 * index)


def a_report(num_tokens: int = 0) -> GenerationReport:
    usage = Usage(prompt_tokens=3, completion_tokens=num_tokens)
    return GenerationReport(usage=usage, finish_reason="stop")


@given(
    words=st.lists(WORDS, max_size=60),
    every=st.integers(1, 20),
    width=st.integers(24, 60),
    height=st.integers(6, 16),
)
def test_the_text_is_on_the_terminal_exactly_once(
    words: list[str], every: int, width: int, height: int
) -> None:
    steps = [step(word, index) for index, word in enumerate(words)]
    terminal, size = Terminal(width, height), os.terminal_size((width, height))
    picture = Picture(
        a_report(),
        DisplaySettings(display_tokens=9, display_probabilities=True),
        Signs(),
    )
    with Screen(Written(terminal)) as screen:
        for end in range(0, len(steps), every):
            screen.draw(picture.frame(steps[:end], size))
        last = picture.frame(steps, size, is_over=True)
        screen.draw(last)
    lines = terminal.lines()
    assert lines[-1] == ""
    text = lines[: len(lines) - 1 - len(last.below)]
    written = "".join("".join(line.split()) for line in text)
    # Accents without a letter before them have no cell of their own.
    assert _base(written) == _base(visible("".join(words)))
    assert terminal.wraps
    assert terminal.shows_cursor


def _base(text: str) -> str:
    return "".join(each for each in text if unicodedata.category(each) not in ("Mn", "Me", "Cf"))


def test_a_frame_redraws_its_tail_alone() -> None:
    terminal, size = Terminal(40, 12), os.terminal_size((40, 12))
    picture = Picture(a_report(), DisplaySettings(display_tokens=5), Signs())
    screen = Screen(Written(terminal))
    steps = [step(" word", index) for index in range(120)]
    for end in range(len(steps) + 1):
        frame = picture.frame(steps[:end], size)
        assert len(frame.finished) <= 1
        assert len(frame.writing) + len(frame.below) < size.lines
        screen.draw(frame)
    assert terminal.lines()[0] == " word" * 8


def test_a_full_last_line_keeps_its_last_character() -> None:
    terminal, size = Terminal(10, 5), os.terminal_size((10, 5))
    screen = Screen(Written(terminal))
    screen.draw(Frame(size=size, writing=[[("0123456789", "")]], below=[[("abcdefghij", "")]]))
    screen.draw(Frame(size=size, writing=[[("0123456789", "")]], below=[[("ABCDEFGHIJ", "")]]))
    screen.leave()
    assert terminal.lines() == ["0123456789", "ABCDEFGHIJ", ""]


def test_what_a_terminal_counts_otherwise_does_not_move_the_borders() -> None:
    terminal = Terminal(20, 5)
    # Four columns by our count, two by this terminal's.
    line = [("│ ", ""), ("สวั", ""), ("  │", "")]
    Screen(Written(terminal)).draw(Frame(size=os.terminal_size((20, 5)), below=[line]))
    (shown,) = terminal.lines()
    column = cell_width("│ สวั") + 2
    assert [cell for cell in terminal.rows[0] if "│" in cell][-1] == "│"
    assert len(terminal.rows[0]) == column + 1
    assert shown.endswith("│")


def test_no_color_keeps_weight_and_leaves_colour_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "38;" in Painter().paint("x", "text3")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Painter().paint("x", "text3") == "\x1b[1;4mx\x1b[0m"


# --- an answer without a display ------------------------------------------------------------------


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that makes the terminal as wide as it says."""

    def act(width: int) -> None:
        monkeypatch.setattr(output, "terminal_size", lambda: os.terminal_size((width, 8)))

    return act


Sized = Callable[[int], None]
FIXTURE_ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(words: Sequence[str], width: int) -> list[str]:
    """What a terminal shows of an answer that comes in these pieces."""
    terminal = Terminal(width, 8)
    answer = AnswerText(Written(terminal))
    for word in words:
        answer.add(word)
    return terminal.lines()


@FIXTURE_ONCE
@given(words=st.lists(WORDS), width=st.integers(12, 40))
def test_an_answer_in_pieces_is_on_the_screen_as_its_folded_text(
    sized: Sized, words: list[str], width: int
) -> None:
    sized(width)
    text = "".join(words).replace("\t", TAB)
    folded = [text_of(trimmed(line)) for line in fold([(text, "")], width)]
    shown = rows_of([word.replace("\t", TAB) for word in words], width)
    assert [_base(line) for line in shown] == [_base(line) for line in folded]


@FIXTURE_ONCE
@given(text=st.text("ab \n", max_size=80), cuts=st.lists(st.integers(0, 80)))
def test_an_answer_without_its_added_breaks_is_the_text(
    sized: Sized, text: str, cuts: list[int]
) -> None:
    sized(10**6)  # Of a line that fits nothing moves, nor is anything left out.
    ends = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    whole = [text[start:end] for start, end in itertools.pairwise(ends)]
    written: list[str] = []
    console = Console()
    console.write = written.append  # type: ignore[assignment]
    answer = AnswerText(console)
    for piece in whole:
        answer.add(piece)
    assert "".join(written) == text
    sized(9)
    joined = "".join(rows_of(whole, 9)).replace(" ", "")
    assert joined == text.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["The riv", "er runs"], ["The river", "runs"]),
        (["The stone", " ", "bri", "dge"], ["The stone", "bridge"]),
        (["one two ", "thr", "ee fou", "rs"], ["one two", "three", "fours"]),
        (["x" * 12, " y"], ["x" * 10, "xx y"]),
        (["if a:\n", "    return", " b"], ["if a:", "    return", "b"]),
        (["a\tb\n", "abc", "\td"], ["a       b", "abc     d"]),
        (["日本", "語日本語"], ["日本語日本", "語"]),
        (["aaaaaaaa👩", "\u200d👩"], ["aaaaaaaa", "👩\u200d👩"]),
        (["one two e", "\u0301t\u0301t"], ["one two", "e\u0301t\u0301t"]),
        (["red\x1b[2J\x07 a"], ["red␛[2J␇ a"]),
    ],
)
def test_a_word_that_crosses_the_edge_begins_the_next_line(
    sized: Sized, words: list[str], rows: list[str]
) -> None:
    sized(10)
    assert rows_of(words, 10) == rows


def test_a_piece_is_on_the_screen_as_soon_as_it_came(sized: Sized) -> None:
    sized(10)
    terminal = Terminal(10, 8)
    answer = AnswerText(Written(terminal))
    seen = []
    for word in ("The ", "sto", "ne bri", "dge"):
        answer.add(word)
        seen.append(terminal.lines())
    assert seen == [["The"], ["The sto"], ["The stone", "bri"], ["The stone", "bridge"]]


def test_a_window_of_another_width_neither_doubles_nor_cuts_an_answer(sized: Sized) -> None:
    sized(20)
    terminal = Terminal(20, 8)
    answer = AnswerText(Written(terminal))
    answer.add("The old stone bri")
    # A terminal that is narrowed breaks its lines anywhere and keeps the cursor in its text.
    terminal.rows, terminal.row, terminal.column = [list("The old st"), list("one bri")], 1, 7
    terminal.width = 10
    sized(10)
    answer.add("dge")
    assert terminal.lines() == ["The old st", "one bridge"]
    sized(30)
    terminal.width = 30
    answer.add(" is old")
    assert terminal.lines() == ["The old st", "one bridge is old"]


# --- when ---------------------------------------------------------------------------------------


def test_tokens_wait_behind_one_that_halts_and_then_catch_up() -> None:
    schedule = Schedule(pause_s=1.0)
    for arrival, halts in ((0.0, False), (0.1, True), (0.2, False), (0.3, False), (5.0, False)):
        schedule.add(arrival, halts=halts)
    assert [schedule.num_due(now) for now in (0.0, 0.1, 1.0, 1.1, 4.9, 5.0)] == [1, 2, 2, 4, 4, 5]


def test_the_last_token_halts_too() -> None:
    schedule = Schedule(pause_s=1.0)
    schedule.add(0.5, halts=True)
    assert not schedule.is_over(1.4)
    assert schedule.is_over(1.5)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """A function that shows steps live and gives the moments at which frames were drawn."""

    def act(steps: AsyncIterator[Step], settings: DisplaySettings) -> list[float]:
        moments: list[float] = []
        draw = Screen.draw

        def timed(screen: Screen, frame: Frame) -> None:
            moments.append(time.monotonic())
            draw(screen, frame)

        monkeypatch.setattr(Screen, "draw", timed)
        console = Written(Terminal(80, 24))
        asyncio.run(Live(steps, a_report(), settings, console, lambda _: None).run())
        return moments

    return act


async def coming(count: int, every_s: float) -> AsyncIterator[Step]:
    for index in range(count):
        await asyncio.sleep(every_s)
        yield step(" w", index)


def test_there_are_at_most_twelve_frames_a_second(watch: Callable[..., list[float]]) -> None:
    started = time.monotonic()
    moments = watch(coming(100, 0.005), DisplaySettings(display_tokens=5))
    assert 3 < len(moments) <= (time.monotonic() - started) / FRAME_S + 1


def test_pauses_make_no_more_frames(watch: Callable[..., list[float]]) -> None:
    started = time.monotonic()
    moments = watch(coming(5, 0), DisplaySettings(display_tokens=5, display_pause=150))
    assert 3 < len(moments) <= (time.monotonic() - started) / FRAME_S + 1


def test_an_answer_that_is_there_at_once_is_one_frame(watch: Callable[..., list[float]]) -> None:
    assert len(watch(coming(20, 0), DisplaySettings(display_tokens=5))) == 1


def test_a_pause_halts_the_display_and_never_the_model() -> None:
    taken: list[float] = []
    started = time.monotonic()

    async def steps() -> AsyncIterator[Step]:
        for index in range(4):
            taken.append(time.monotonic() - started)
            yield step(" w", index)
            await asyncio.sleep(0)

    settings = DisplaySettings(display_tokens=5, display_pause=200)
    console = Written(Terminal(80, 24))
    asyncio.run(Live(steps(), a_report(), settings, console, lambda _: None).run())
    assert time.monotonic() - started >= 0.8
    assert max(taken) < 0.5


def test_with_probabilities_only_interesting_tokens_halt(watch: Callable[..., list[float]]) -> None:
    async def sure() -> AsyncIterator[Step]:
        for index in range(30):
            yield step(" w", index, probability=1.0)

    started = time.monotonic()
    watch(sure(), DisplaySettings(display_probabilities=True, display_pause=500))
    assert time.monotonic() - started < 0.5


def test_what_came_before_an_error_is_shown_and_the_error_goes_on() -> None:
    async def failing() -> AsyncIterator[Step]:
        yield step("said", 0)
        raise ValueError("broken")

    terminal, seen = Terminal(80, 24), list[Step]()
    settings = DisplaySettings(display_tokens=5)
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(Live(failing(), a_report(), settings, Written(terminal), seen.append).run())
    assert terminal.lines()[0] == "said"
    assert len(seen) == 1
    assert terminal.shows_cursor


# --- the real command on a real terminal --------------------------------------------------------


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Half a second of text that is taller than the screen."""
    path = tmp_path / "long.jsonl"
    with Recorder(path, Request(model="m", prompt="p", settings={})) as recorder:
        for index in range(200):
            word = f" {index} 日本" if index % 7 else f" {index}\n"
            made = step(word, index, probability=0.9 if index % 5 else 0.2)
            recorder.add(Step(token=made.token, piece=word, time_s=0.8 * index / 200))
        report = a_report(200)
        recorder.finish(
            GenerationReport(
                usage=report.usage,
                timings=GenerationTimings(prefill_s=0.0, decode_s=0.8),
                finish_reason="stop",
            )
        )
    return path


def set_size(descriptor: int, width: int, height: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def run_on_terminal(
    words: Sequence[str],
    *,
    program: Path | str = AVALAN,
    size: tuple[int, int] = (60, 16),
    act: Callable[[int, subprocess.Popen[bytes]], None] | None = None,
    **environment: str,
) -> tuple[int, str]:
    """Run `program` on a pseudo-terminal; `act` is called once it has drawn something."""
    leader, follower = pty.openpty()
    set_size(follower, *size)
    process = subprocess.Popen(
        [program, *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    os.close(follower)
    data = b""
    while True:
        try:
            more = os.read(leader, 65536)
        except OSError:  # The other end is closed.
            break
        if not more:
            break
        data += more
        if act is not None and len(data) > 2000:
            act(leader, process)
            act = None
    os.close(leader)
    return process.wait(timeout=30), data.decode()


def said(recording: Path) -> str:
    done = subprocess.run(
        [AVALAN, "model", "run", "--replay", recording], capture_output=True, check=True
    )
    return done.stdout.decode()


SIZE = (
    "from avalan.cli.console import terminal_size; size = terminal_size(); "
    "print(size.columns, size.lines)"
)


@pytest.mark.parametrize(("size", "shown"), [((60, 20), "60 20"), ((0, 0), "33 11")])
def test_the_terminal_knows_its_size_better_than_the_environment(
    size: tuple[int, int], shown: str
) -> None:
    told = {"COLUMNS": "33", "LINES": "11"}
    assert run_on_terminal(["-c", SIZE], size=size, program=sys.executable, **told)[1].split() == (
        shown.split()
    )


def test_a_real_terminal_shows_the_recorded_text_once(recording: Path) -> None:
    words = ["model", "run", "--replay", str(recording), "--display-probabilities"]
    code, data = run_on_terminal([*words, "--display-tokens", "8"], size=(60, 20))
    terminal = Terminal(60, 20)
    terminal.feed(data)
    lines = terminal.lines()
    first_box = min(index for index, line in enumerate(lines) if line.lstrip().startswith("╭"))
    text = "".join("".join(lines[: first_box - 1]).split())
    assert code == 0
    assert text == "".join(said(recording).split())
    assert "200 output tokens" in lines[-2] or "200 out" in lines[-2]
    assert terminal.shows_cursor


def test_an_answer_breaks_at_words_on_a_real_terminal_and_never_with_quiet(
    recording: Path,
) -> None:
    words, size = ["model", "run", "--replay", str(recording)], (26, 500)
    terminal = Terminal(*size)
    terminal.feed(run_on_terminal(words, size=size)[1].partition("3 input tokens")[0])
    folded = [text_of(trimmed(line)) for line in fold([(said(recording), "")], size[0])]
    assert [line.rstrip() for line in terminal.lines()[: len(folded)]] == folded
    quiet = run_on_terminal([*words, "--quiet"], size=size)[1]
    assert quiet == said(recording).replace("\n", "\r\n")


def test_a_window_that_is_widened_neither_doubles_nor_loses_text(recording: Path) -> None:
    terminal = Terminal(100, 20)  # As wide as it becomes: what was narrower has its own breaks.

    def widen(leader: int, process: subprocess.Popen[bytes]) -> None:
        set_size(leader, 100, 20)
        os.killpg(process.pid, signal.SIGWINCH)

    words = ["model", "run", "--replay", str(recording), "--display-tokens", "8"]
    code, data = run_on_terminal(words, size=(60, 20), act=widen)
    terminal.feed(data)
    lines = terminal.lines()
    first_box = min(index for index, line in enumerate(lines) if line.lstrip().startswith("╭"))
    assert code == 0
    assert "".join("".join(lines[: first_box - 1]).split()) == "".join(said(recording).split())


def test_ctrl_c_leaves_an_orderly_terminal(recording: Path) -> None:
    def interrupt(leader: int, process: subprocess.Popen[bytes]) -> None:
        time.sleep(0.5)  # The model is far ahead of the pauses.
        process.send_signal(signal.SIGINT)

    words = ["model", "run", "--replay", str(recording), "--display-tokens", "8"]
    code, data = run_on_terminal([*words, "--display-pause"], act=interrupt)
    terminal = Terminal(60, 16)
    terminal.feed(data)
    assert code == 130
    assert terminal.shows_cursor
    assert "Traceback" not in data
    # Whoever has had enough of it is not given the rest.
    assert "".join(said(recording).split()) not in "".join("".join(terminal.lines()).split())


ENDED_AT_A_WAKE_UP = """
import asyncio, faulthandler, os, signal, sys
from avalan.cli import main

run, num_woken = asyncio.Handle._run, 0

def run_or_end(handle):
    global num_woken
    # From the list of what is ready a task's wake-up has been taken, and it has not run.
    num_woken += "wakeup" in repr(handle._callback).lower()
    if num_woken == 4:
        num_woken += 1
        os.kill(os.getpid(), signal.SIGTERM)
    run(handle)

asyncio.Handle._run = run_or_end
faulthandler.dump_traceback_later(20, exit=True)
sys.exit(main())
"""


@pytest.mark.parametrize("more", [[], ["--display-tokens", "8"]])
def test_a_command_that_is_ended_between_two_steps_of_its_loop_ends(
    recording: Path, more: list[str]
) -> None:
    words = ["-c", ENDED_AT_A_WAKE_UP, "model", "run", "--replay", str(recording), *more]
    code, data = run_on_terminal(words, program=sys.executable)
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in data


def test_a_terminal_without_a_cursor_gets_plain_text_and_one_picture(recording: Path) -> None:
    words = ["model", "run", "--replay", str(recording), "--display-tokens", "4"]
    code, data = run_on_terminal(words, TERM="dumb")
    assert code == 0
    assert "\x1b" not in data
    assert data.replace("\r\n", "\n").startswith(said(recording))
    assert data.count("╭") == 4


@pytest.mark.parametrize("words", [[], ["--display-tokens", "8"]])
@pytest.mark.parametrize("sent", [None, signal.SIGINT, signal.SIGTERM])
def test_keys_do_not_show_while_an_answer_is_drawn_and_are_left_to_the_shell(
    recording: Path, words: list[str], sent: signal.Signals | None
) -> None:
    leader, follower = pty.openpty()
    set_size(follower, 60, 16)
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [AVALAN, "model", "run", "--replay", recording, *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    data, echo = b"", None
    while process.poll() is None or select.select([leader], [], [], 0)[0]:
        if select.select([leader], [], [], 0.05)[0]:
            data += os.read(leader, 65536)
        if echo is None and len(data) > 40:
            echo = termios.tcgetattr(follower)[3] & termios.ECHO
            os.write(leader, b"QQQ\n")
            time.sleep(0.2)  # The system takes in what was typed a moment later.
            if sent is not None:
                process.send_signal(sent)
    assert process.wait(timeout=30) == (0 if sent is None else 128 + sent)
    assert echo == 0
    assert b"QQQ" not in data
    assert termios.tcgetattr(follower) == before
    assert select.select([follower], [], [], 5)[0], "what was typed is lost"
    assert os.read(follower, 100) == b"QQQ\n"
    os.close(follower)
    os.close(leader)
