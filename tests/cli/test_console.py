"""What reaches a terminal, a pipe and a program."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.cli.console import _MANY_COLORS, Console, cell_width, neutralise
from avalan.errors import StateError


class Stream(io.TextIOWrapper):
    """A text stream that may pass for a terminal."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def written(self) -> bytes:
        return self.buffer.getvalue()  # type: ignore[attr-defined,no-any-return]


def said(
    act: Callable[[Console], object],
    *,
    terminal: bool = False,
    encoding: str = "utf-8",
    **flags: Any,
) -> str:
    stream = Stream(terminal=terminal, encoding=encoding)
    act(Console(stdout=stream, stderr=Stream(), **flags))
    return stream.written.decode(encoding)


@given(st.text())
def test_a_pipe_gets_the_written_text_byte_for_byte(text: str) -> None:
    stream = Stream()
    Console(stdout=stream).write(text)
    assert stream.written == text.encode()


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/INST]", "[link=file:///etc]x[/link]"])
@pytest.mark.parametrize("terminal", [False, True])
def test_brackets_are_never_markup(text: str, terminal: bool) -> None:
    assert said(lambda console: console.print(text), terminal=terminal) == text + "\n"
    table = said(lambda console: console.table(["name"], [[text]]), terminal=terminal)
    assert text in table


def test_control_characters_do_not_reach_a_terminal() -> None:
    hostile = "a\x1b[2Jb\x07\x9bc\rd\x7f\u202e"

    shown = said(lambda console: console.print(hostile), terminal=True)

    assert shown == "a␛[2Jb␇\\x9bc␍d␡\\u202e\n"


def test_control_characters_go_through_a_pipe_and_through_write() -> None:
    hostile = "a\x1b[2Jb\x07"
    assert said(lambda console: console.print(hostile, end="")) == hostile
    assert said(lambda console: console.write(hostile), terminal=True) == hostile


@given(st.text())
def test_neutralised_text_has_no_control_characters_but_tab_and_newline(text: str) -> None:
    assert not {c for c in neutralise(text) if ord(c) < 32 or 127 <= ord(c) < 160} - {"\t", "\n"}


def test_styles_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(console: Console) -> None:
        console.print("a ", ("b", "bold red"))

    assert said(act) == "a b\n"
    assert said(act, terminal=True) == "a \x1b[1;38;5;196mb\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert said(act, terminal=True) == "a b\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "linux")
    monkeypatch.delenv("COLORTERM", raising=False)
    assert said(act, terminal=True) == "a \x1b[1;31mb\x1b[0m\n"
    monkeypatch.setenv("TERM", "dumb")
    assert said(act, terminal=True) == "a b\n"


def test_an_empty_no_color_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b[1m" in said(lambda console: console.print(("x", "bold")), terminal=True)


def test_json_mode_leaves_stdout_to_json() -> None:
    def act(console: Console) -> None:
        console.print("people")
        console.write("bytes")
        console.table(["a"], [["b"]])
        console.markdown("# c")
        console.json({"é": [1, None]})

    assert said(act, as_json=True) == '{"é": [1, null]}\n'


def test_json_carries_file_names_that_are_not_unicode() -> None:
    name = os.fsdecode(b"caf\xe9")
    assert json.loads(said(lambda console: console.json({"source": name}))) == {"source": name}


def test_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        said(lambda console: console.json({"x": float("nan")}))


def test_a_terminal_without_unicode_gets_the_nearest_letters() -> None:
    shown = said(lambda console: console.print("1 · “né…”"), terminal=True, encoding="ascii")
    assert shown == '1 - "n\\xe9..."\n'


def test_quiet_hides_notes_and_keeps_results() -> None:
    out, err = Stream(), Stream()
    console = Console(stdout=out, stderr=err, quiet=True)
    console.note("by the way")
    console.progress("1 of 2")
    console.print("result")
    assert (out.written, err.written) == (b"result\n", b"")


def test_a_progress_line_is_gone_before_the_next_text() -> None:
    err = Stream(terminal=True)
    console = Console(stdout=Stream(), stderr=err)
    console.progress("1 of 2\nx")
    console.note("done")
    assert err.written.decode() == "\r\x1b[K1 of 2 x\r\x1b[Kdone\n"


def test_a_piped_table_is_aligned_by_what_the_eye_sees() -> None:
    rows = [["日本", 5, None], ["a\nb", 12, "x"]]
    shown = said(lambda console: console.table(["name", "size", "note"], rows))
    assert shown == "name  size  note\n日本     5\na␊b     12  x\n"


def test_a_table_without_rows_is_its_headers() -> None:
    assert said(lambda console: console.table(["a", "b"], [])) == "a  b\n"
    assert "a" in said(lambda console: console.table(["a", "b"], []), terminal=True)


def test_combining_characters_take_no_room() -> None:
    assert cell_width("e\u0301日a") == 4


def test_markdown_is_raw_in_a_pipe_and_drawn_on_a_terminal() -> None:
    source = "# Title\n\n**bold** `[x]`\n"
    assert said(lambda console: console.markdown(source)) == source
    drawn = said(lambda console: console.markdown(source), terminal=True)
    assert "Title" in drawn
    assert "**" not in drawn
    assert "[x]" in drawn


def test_markdown_without_colour_is_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = said(lambda console: console.markdown("## Title\n\n`x`\n"), terminal=True)
    assert "\x1b[1;4mTitle\x1b[0m" in drawn
    assert "\x1b[1mx\x1b[0m" in drawn


def test_a_full_disk_is_one_sentence() -> None:
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
    with pytest.raises(StateError, match="No space left on device"):
        Console(stdout=full).print("x")
    with suppress(OSError):
        full.close()


class Sips(io.RawIOBase):
    """Takes seven bytes of a write, as a terminal does when a signal comes."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:7])
        return min(len(data), 7)


def test_a_write_that_is_cut_short_goes_on_without_a_buffer() -> None:
    sips = Sips()
    text = "日本 " * 50
    # As the interpreter makes it with PYTHONUNBUFFERED.
    Console(stdout=io.TextIOWrapper(sips, encoding="utf-8", write_through=True)).write(text)  # type: ignore[type-var]
    assert sips.taken.decode() == text


def in_bash(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", ["--version", "--json", "ask why? --model rules --quiet"])
def test_a_closed_stdout_is_one_sentence(words: str) -> None:
    done = in_bash(f'"{sys.executable}" -m avalan {words} >&-')
    assert done.returncode == 1
    assert "because the standard output is closed" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("act", ["print('x')", "write('x')", "json(1)", "table(['a'], [])"])
def test_a_result_is_never_dropped_for_want_of_a_stdout(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StateError, match="standard output is closed"):
        eval(f"console.{act}", {"console": Console(stderr=Stream())})


def test_a_closed_stderr_loses_remarks_only() -> None:
    done = in_bash(f'"{sys.executable}" -m avalan --version --quiet 2>&-')
    assert (done.returncode, done.stdout[:7]) == (0, "avalan ")
    assert in_bash(f'"{sys.executable}" -m avalan modle 2>&-').returncode == 2


def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    script = (
        "import os, sys; from avalan.cli import main; main(['--version']); "
        "print(os.open(os.devnull, os.O_RDONLY) > 2)"
    )
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        assert in_bash(f'"{sys.executable}" -c "{script}" {closed}').stdout.endswith("True\n")


def test_what_cannot_be_written_is_told_with_its_own_remedy() -> None:
    done = in_bash(f'"{sys.executable}" -m avalan --version 1</dev/null')
    assert done.returncode == 1
    assert done.stderr == (
        "The output cannot be written (Bad file descriptor); write it elsewhere.\n"
    )


# --- narrow terminals ---------------------------------------------------------------------------

SENTENCE = "The index at 'notes' cannot be read (Permission denied); check its permissions."
FOLDED = """\
The index at 'notes' cannot be
read (Permission denied);
check its permissions.
"""


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of thirty columns, without colour."""
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("narrow")
def test_sentences_break_at_spaces_on_a_terminal_and_nowhere_in_a_pipe() -> None:
    assert said(lambda console: console.print(SENTENCE), terminal=True) == FOLDED
    assert said(lambda console: console.print(SENTENCE)) == SENTENCE + "\n"
    for tell in (Console.note, Console.error):
        err = Stream(terminal=True)
        tell(Console(stdout=Stream(), stderr=err), SENTENCE)
        assert err.written.decode() == FOLDED


@pytest.mark.usefixtures("narrow")
def test_streams_and_commands_to_copy_are_left_to_the_terminal() -> None:
    assert said(lambda console: console.print(SENTENCE, end=""), terminal=True) == SENTENCE
    whole = said(lambda console: console.print(SENTENCE, wrap=False), terminal=True)
    assert whole == SENTENCE + "\n"


@pytest.mark.usefixtures("narrow")
def test_a_progress_line_ends_with_a_word_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    for text, shown in (("step 120/3,800 · loss 2.310 · 58 min", "step 120/3,800 · loss 2.310 ·"),
                        ("日" * 20, "日" * 14)):  # fmt: skip
        err = Stream(terminal=True)
        Console(stdout=Stream(), stderr=err).progress(text)
        assert err.written.decode() == "\r\x1b[K" + shown


def test_colours_have_a_contrast_of_three_to_white_and_to_black() -> None:
    for code in _MANY_COLORS.values():
        index = int(code.rpartition(";")[2])
        cube = [0, 95, 135, 175, 215, 255]
        shares = [cube[(index - 16) // place % 6] / 255 for place in (36, 6, 1)]
        linear = [((share + 0.055) / 1.055) ** 2.4 for share in shares]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 3
        assert (luminance + 0.05) / 0.05 >= 3


def test_markdown_on_a_terminal_has_no_background_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    source = (
        "# a\n\n## b\n\n`code` [x](http://x)\n\n```python\nx = 1  # one\n```\n\n> said\n\n1. one\n"
    )
    drawn = said(lambda console: console.markdown(source), terminal=True)
    assert "x = 1" in drawn
    assert not re.search(r"\x1b\[[\d;]*(?<!\d)(?:4[0-7]|48;[25];[\d;]+)m", drawn)


@pytest.mark.usefixtures("narrow")
def test_a_table_of_markdown_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    row = [f"figure-{number}" for number in range(6)]
    source = f"# Card\n\n|{'|'.join('abcdef')}|\n|{'---|' * 6}\n|{'|'.join(row)}|\n\nEnd."
    shown = said(lambda console: console.markdown(source), terminal=True)
    assert all(figure in shown for figure in row)
    assert "…" not in shown


def test_markdown_reaches_a_terminal_without_unicode() -> None:
    source = "# Title\n\n* é\n\n---\n"
    shown = said(lambda console: console.markdown(source), terminal=True, encoding="ascii")
    assert "\\xe9" in shown
    assert " * " in shown


def test_a_width_that_nothing_fits_into_is_left_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    assert Console(stdout=Stream(terminal=True)).width == 20


@pytest.mark.parametrize(("columns", "width"), [(44, 44), (7, 20), (0, 80)])
def test_the_width_is_that_of_the_terminal_there_is(columns: int, width: int) -> None:
    leader, follower = pty.openpty()
    try:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with open(follower, "w", closefd=False) as err:
            assert Console(stdout=Stream(), stderr=err).width == width
    finally:
        os.close(follower)
        os.close(leader)
    assert Console(stdout=Stream(), stderr=Stream()).width == 80


def test_rich_is_imported_by_markdown_on_a_terminal_alone() -> None:
    script = (
        "import sys; from avalan.cli.console import Console; c = Console(); "
        "c.print('x'); c.table(['a'], [[1]]); print('rich' in sys.modules, file=sys.stderr); "
        "c.markdown('# a'); print('rich' in sys.modules, file=sys.stderr)"
    )
    piped = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert piped.stderr.split() == [b"False", b"False"]

    leader, follower = pty.openpty()
    try:
        terminal = subprocess.run(
            [sys.executable, "-c", script], stdout=follower, stderr=subprocess.PIPE, check=True
        )
    finally:
        os.close(follower)
        os.close(leader)
    assert terminal.stderr.split() == [b"False", b"True"]
