"""What the commands say: text for people, JSON for programs, bytes for pipes.

A terminal gets colour and, where a table or Markdown asks for it, rich, which is imported only
then. A pipe gets plain UTF-8. Nothing that is printed is ever read as markup, and on a terminal
control characters are shown, not obeyed: names of files, passages and answers are other people's
text.
"""

import errno
import json
import os
import shutil
import stat
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, TextIO

from avalan import extras
from avalan.errors import StateError, reason_of
from avalan.locale import _, _n

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
CLOSED = _n(
    "The result cannot be written, because the standard output is closed; leave '>&-' out, or "
    "send it to a file or to /dev/null."
)

LEAST_WIDTH = 20
"""Columns below which nothing is laid out; the terminal breaks the lines then."""

Part = str | tuple[str, str]
"""A piece of a line: plain text, or (text, style) with a style such as "bold" or "dim cyan"."""

_SGR = {
    "bold": "1",
    "dim": "2",
    "italic": "3",
    "underline": "4",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
_MANY_COLORS = {"red": "38;5;196", "green": "38;5;28", "yellow": "38;5;136", "cyan": "38;5;31"}
"""A terminal's own colours may be pale on white or dark on black; these have a contrast of at least
3 to both."""

# C0 (tab and newline aside) and DEL become their pictures; C1 and the characters that reorder
# text become escapes. Left alone they could move the cursor, rename the window or hide words.
_NEUTRAL = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    | {0x7F: "\u2421"}
    | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    | {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
)

# For terminals that cannot show our own typography.
_ASCII = str.maketrans(
    {"…": "...", "–": "-", "—": "-", "·": "-", "•": "*", "─": "-", "✓": "+", "✗": "x", "→": "->"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'", "≥": ">=", "≤": "<=", "×": "x", "\u202f": " "}
)


def neutralise(text: str) -> str:
    """`text` with its control characters made visible; tabs and newlines stay."""
    return text.translate(_NEUTRAL)


class Console:
    """Two streams and how to write to them.

    Attributes:
        as_json: stdout carries JSON only; `print`, `table`, `markdown` and `write` say nothing.
        quiet: `note` and `progress` say nothing.
        verbose: for commands that have more to tell.
        interactive: stdout is a terminal.
        shares_screen: what is said on stderr may end up below stdout's last line, though that is
            no terminal: the pipe may end on stderr's, or both are one pipe or file.
        answers: stdin is a terminal, so a person can be asked.
        at_end: nothing came for the last `ask`, which ended with the input.
        width: as of `terminal_width`.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        # None when the descriptor was closed before we started.
        self._stdout: TextIO | None = stdout or sys.stdout
        self._stderr: TextIO | None = stderr or sys.stderr
        self.interactive = _is_terminal(self._stdout)
        joined = not self.interactive and _are_one(self._stdout, self._stderr)
        self.shares_screen = joined or (_is_pipe(self._stdout) and _is_terminal(self._stderr))
        self.answers = _is_terminal(sys.stdin)
        self.at_end = False
        self.width = terminal_width(self._stderr)
        has_many = "256" in os.environ.get("TERM", "") or "COLORTERM" in os.environ
        self._sgr = _SGR | (_MANY_COLORS if has_many else {})
        self._plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._progress_shown = False

    # --- stdout -----------------------------------------------------------------------------

    def print(self, *parts: Part, end: str = "\n", wrap: bool = True) -> None:
        """A line for people: the parts, one after the other, then `end`.

        Args:
            wrap: on a terminal, break what is too long for its lines at spaces. Commands to copy
                are better broken by the terminal.
        """
        if not self.as_json:
            self.clear_progress()
            wraps = wrap and end == "\n"
            _emit(self._output(), self._render(parts, self._stdout, wrap=wraps) + end)

    def write(self, text: str) -> None:
        """`text` exactly, UTF-8 in a pipe, at once: for streams and for `--quiet`."""
        if not self.as_json:
            self.clear_progress()
            _emit(self._output(), text)

    def json(self, value: Any, *, indent: int | None = None) -> None:
        """One JSON document on one line (or indented), with or without `as_json`."""
        self.clear_progress()
        _emit(self._output(), _to_json(value, indent) + "\n")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Aligned columns, numbers to the right; without rows, the headers alone.

        On a terminal that is too narrow for their words, a block of lines for each row.
        """
        if self.as_json:
            return
        drawn = extras.load("avalan.cli.display.table").drawn
        for line in drawn(headers, rows, self.width if self.interactive else None):
            self.print(*line, wrap=False)

    def markdown(self, text: str) -> None:
        """Markdown, drawn on a terminal and raw in a pipe."""
        if not self.interactive or os.environ.get("TERM") == "dumb":
            self.print(text.rstrip("\n"))
        elif not self.as_json:
            drawn = extras.load("avalan.cli.display.markdown").drawn
            tables = extras.load("avalan.cli.display.table")
            for piece in tables.split_markdown(neutralise(text), self.width):
                if isinstance(piece, str):
                    _emit(self._output(), drawn(piece, self._output(), self.width))
                else:
                    self.print()
                    self.table(*piece)
                    self.print()

    def terminal(self) -> int | None:
        """The descriptor of stdout, where it is a terminal."""
        try:
            return self._stdout.fileno() if self._stdout is not None and self.interactive else None
        except (OSError, ValueError):
            return None

    # --- stderr -----------------------------------------------------------------------------

    def note(self, *parts: Part, end: str = "\n") -> None:
        """A remark beside the result, on stderr; hidden by `quiet`."""
        if not self.quiet:
            self.clear_progress()
            _emit(self._stderr, self._render(parts, self._stderr, wrap=end == "\n") + end)

    def error(self, message: str) -> None:
        """What went wrong, on stderr: a sentence, or with `as_json` an object."""
        self.clear_progress()
        if self.as_json:
            _emit(self._stderr, _to_json({"error": message}, None) + "\n")
        else:
            text = self._render([(message, "red")], self._stderr, wrap=True)
            _emit(self._stderr, text + "\n")

    @property
    def shows_progress(self) -> bool:
        """Whether `progress` is seen by anybody."""
        return not (self.quiet or self.as_json or self._plain) and _is_terminal(self._stderr)

    def progress(self, text: str) -> None:
        """A line on stderr that the next one replaces; only where a person can see it move."""
        if not self.shows_progress:
            return
        line = _first_words(neutralise(text).replace("\n", " "), max(self.width - 1, 1))
        _emit(self._stderr, f"\r\x1b[K{line}")
        self._progress_shown = True

    def clear_progress(self) -> None:
        """Take the line of `progress` away."""
        if self._progress_shown:
            self._progress_shown = False
            _emit(self._stderr, "\r\x1b[K")

    # --- stdin ------------------------------------------------------------------------------

    def ask(self, label: str) -> str:
        """A line typed by the person; the label goes to stderr. Empty at the end of input."""
        self.clear_progress()
        _emit(self._stderr, self._render([(label, "bold")], self._stderr, wrap=False))
        line = ""
        try:
            line = sys.stdin.readline()
            self.at_end = not line
        finally:
            if not line.endswith("\n"):  # Ctrl-C or Ctrl-D: what follows begins a line.
                _emit(self._stderr, "\n")
        return line.rstrip("\n")

    # --- inside -----------------------------------------------------------------------------

    def _output(self) -> TextIO:
        """stdout, which a result needs.

        Raises:
            StateError: it was closed before we started.
        """
        if self._stdout is None:
            raise StateError(CLOSED)
        return self._stdout

    def _render(self, parts: Sequence[Part], stream: TextIO | None, *, wrap: bool) -> str:
        pairs = [(part, "") if isinstance(part, str) else part for part in parts]
        if not _is_terminal(stream):
            return _text(pairs)
        pairs = [(neutralise(text), style) for text, style in pairs]
        if wrap and any(cell_width(line) > self.width for line in _text(pairs).split("\n")):
            pairs = extras.load("avalan.cli.display.layout").fold(pairs, self.width)
        return "".join(self._styled(text, style) for text, style in pairs)

    def _styled(self, text: str, style: str) -> str:
        if self._plain or not style or not text:
            return text
        codes = ";".join(self._sgr[word] for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"


def terminal_width(stream: TextIO | None = None) -> int:
    """Columns of the terminal that stdout is, or else `stream`; 80 for none, and never below 20."""
    try:
        otherwise = os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError):
        otherwise = 0
    return max(shutil.get_terminal_size((otherwise or 80, 24)).columns, LEAST_WIDTH)


def terminal_size() -> os.terminal_size:
    """The terminal's size now; what the environment says counts only where it tells none."""
    otherwise = shutil.get_terminal_size()
    try:
        size = os.get_terminal_size()
    except OSError:
        size = otherwise
    return os.terminal_size((size.columns or otherwise.columns, size.lines or otherwise.lines))


def _text(pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(text for text, _ in pairs)


def _first_words(text: str, width: int) -> str:
    """As many of the words as fit into `width` columns; of the first one, a part at least."""
    while cell_width(text) > width:
        text = text.rpartition(" ")[0] or text[:-1]
    return text


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It was closed meanwhile.
        return False


def _is_pipe(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _are_one(stream: TextIO | None, other: TextIO | None) -> bool:
    """Whether both end in the same pipe or file."""
    try:
        found = [os.fstat(each.fileno()) for each in (stream, other) if each is not None]
    except (OSError, ValueError):
        return False
    return len(found) == 2 and os.path.samestat(*found)


def _emit(stream: TextIO | None, text: str) -> None:
    """Write and flush.

    Raises:
        BrokenPipeError: the reader has gone; `avalan.cli.main` ends quietly.
        StateError: the output cannot be written, for example because the disk is full.
    """
    if stream is None:
        return
    try:
        binary = getattr(stream, "buffer", None)
        if binary is None:
            stream.write(text)
        else:
            stream.flush()
            _write_whole(binary, _encoded(text, stream))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if os.name == "nt" and error.errno == errno.EINVAL:  # Its word for a broken pipe.
            raise BrokenPipeError from None
        reason = reason_of(error)
        if error.errno in NO_SPACE:
            sentence = _(
                "The output cannot be written ({reason}); free some space or write elsewhere.",
                reason=reason,
            )
        else:
            sentence = _(
                "The output cannot be written ({reason}); write it elsewhere.", reason=reason
            )
        raise StateError(sentence) from None


def _write_whole(binary: BinaryIO, data: bytes) -> None:
    """Write all of it: under PYTHONUNBUFFERED a signal may cut a write short."""
    rest = memoryview(data)
    while rest:
        written = binary.write(rest)
        if written is None:  # As a buffered stream would say of a reader that is not waited for.
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        rest = rest[written:]


def _encoded(text: str, stream: TextIO) -> bytes:
    encoding = (stream.encoding or "utf-8") if stream.isatty() else "utf-8"
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        # A terminal without these characters, or a file name that is not valid Unicode.
        return text.translate(_ASCII).encode(encoding, "backslashreplace")


def _to_json(value: Any, indent: int | None) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:  # Lone surrogates, which only escapes can carry.
        return json.dumps(value, allow_nan=False, indent=indent)
    return text


def cell_width(text: str) -> int:
    """Columns that `text` takes on a terminal: East Asian characters two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))
