"""Where questions come from: an argument, a pipe, the person at the terminal, or a file of many."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from avalan.cli.console import Console
from avalan.errors import ConfigurationError, UsageError, reason_of
from avalan.locale import _

MOST_BYTES = 1_000_000
"""Of one question: memory stays bounded, whatever is piped in."""


def read_question(question: str | None, console: Console) -> str:
    """The question from the argument, the pipe, or the person at the terminal.

    Raises:
        UsageError: it is empty or endless, or what was piped is not text.
    """
    if question is None:
        label = _("Question:") + " "
        question = console.ask(label) if console.answers else _piped(MOST_BYTES)
    if not question.strip():
        raise UsageError(
            "The question is empty; write it after the command, or pipe it in: "
            'avalan ask "How long may a file name be?"'
        )
    return question


def read_prompt(console: Console) -> str:
    """The prompt, of any length, from the pipe, or from the person at the terminal.

    Raises:
        UsageError: what was piped is not text.
    """
    return console.ask(_("Prompt:") + " ") if console.answers else _piped().rstrip("\n")


def _piped(most_bytes: int | None = None) -> str:
    if sys.stdin is None:
        return ""
    piped = sys.stdin.buffer.read(-1 if most_bytes is None else most_bytes + 1)
    if most_bytes is not None and len(piped) > most_bytes:
        raise UsageError(
            "The piped question is longer than {limit:,} bytes; name documents with --docs, "
            "and many questions with --questions.",
            limit=most_bytes,
        )
    try:
        return piped.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            "What was piped is not UTF-8 text (byte {byte}); convert it first.", byte=error.start
        ) from None


@contextmanager
def opened(name: str) -> Iterator[Iterator[bytes]]:
    """The lines of a file, or of standard input (`-`) as they come; of an endless one, the start.

    Raises:
        UsageError: standard input is closed.
        ConfigurationError: the file cannot be read.
    """
    if name == "-":
        if sys.stdin is None:
            raise UsageError("--questions - reads the standard input, which is closed; open it.")
        yield _lines(sys.stdin.buffer)
        return
    with _open(Path(name)) as file:
        yield _lines(file)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(
            "The lines of {path} cannot be read ({reason}); name a text file with a question or "
            "prompt on each line.",
            path=path,
            reason=reason_of(error),
        ) from None


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines, of which one that is too long is longer than `MOST_BYTES` and cut off."""
    while line := file.readline(MOST_BYTES + 1):
        yield line
        rest = line
        while len(rest) > MOST_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MOST_BYTES + 1)


def questions(
    lines: Iterator[bytes], key: str = "question"
) -> Iterator[tuple[int, str | ConfigurationError]]:
    """Each line's number (from 1) with its question, or what is wrong with it; blank ones pass.

    A file whose first line is a JSON object is JSON lines throughout; elsewhere, only the lines
    that are one, or begin as one with `key`, are read so. Every other line is a question.
    """
    begins = re.compile(rf'\{{\s*"{key}"\s*:')
    all_json: bool | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        try:
            text = _text(line, number)
            row = _parsed(text)
            is_object = isinstance(row, dict) or bool(begins.match(text))
            all_json = is_object if all_json is None else all_json
            yield number, _question(row, number, key) if all_json or is_object else text
        except ConfigurationError as error:
            yield number, error


def _text(line: bytes, number: int) -> str:
    if len(line) > MOST_BYTES:
        raise ConfigurationError(
            "Line {number} is longer than {limit:,} bytes; shorten it.",
            number=number,
            limit=MOST_BYTES,
        )
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(
            "Line {number} is not UTF-8 text; convert it first.", number=number
        ) from None


def _parsed(text: str) -> Any:
    """The JSON value of a line; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _question(row: Any, number: int, key: str) -> str:
    example = f'{{"{key}": "…"}}'
    if row is None:
        raise ConfigurationError(
            "Line {number} is not JSON; write it as {example}.", number=number, example=example
        )
    question = row.get(key) if isinstance(row, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise ConfigurationError(
            "Line {number} holds no {key}; write it as {example}.",
            number=number,
            key=key,
            example=example,
        )
    return question
