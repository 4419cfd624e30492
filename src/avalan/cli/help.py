"""The text of `--help`, for groups and for single commands."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from avalan.cli.console import Console
from avalan.cli.parser import GLOBAL_FLAGS, GLOBAL_VALUES, Parser
from avalan.cli.tree import Group

LEAST_BESIDE = 28
"""Columns that an explanation needs beside what it explains."""
WIDEST_PROSE = 88
"""Columns of a paragraph; longer lines are hard to read."""


def show(console: Console, place: Group | Parser, examples: Sequence[str]) -> None:
    """Print the help of `place`."""
    if isinstance(place, Group):
        helps = {name: text for name, (text, _) in place.commands.items()}
        text = group_help(place.prog, place.about, helps, examples)
    elif helps := place.verb_helps():
        text = group_help(place.prog, place.description or "", helps, [])
        text += f"\n\n{place.epilog or ''}"
    else:
        place.add_global_options()
        text = place.format_help()
    is_example = False
    for line in _joined(text.rstrip().splitlines()):
        is_example = line == "Try:" or (is_example and line.startswith(" "))
        for row in [line] if is_example else _wrapped(line, console.width):
            console.print(*_styled(row), wrap=False)


def group_help(prog: str, about: str, helps: Mapping[str, str], examples: Sequence[str]) -> str:
    """What can be said after `prog`, and the options that work everywhere."""
    flags = [(option, text) for option, text in GLOBAL_FLAGS.items()]
    values = [(f"{option} {value}", text) for option, (value, text) in GLOBAL_VALUES.items()]
    parts = [
        f"Usage: {prog} COMMAND [OPTIONS]",
        about,
        _section("Commands", helps.items()),
        _section("Everywhere, before or after the command", [*flags, *values]),
    ]
    if examples:
        parts.append(_section("Try", [(example, "") for example in examples]))
    return "\n\n".join(parts)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a paragraph as one, however they are broken in the source."""
    paragraph: list[str] = []
    for line in lines:
        if _is_prose(line):
            paragraph.append(line)
            continue
        if paragraph:
            yield " ".join(paragraph)
        paragraph = []
        yield line
    if paragraph:
        yield " ".join(paragraph)


def _is_prose(line: str) -> bool:
    return bool(line) and line[0] != " " and not line.startswith("Usage: ") and line[-1] != ":"


def _wrapped(line: str, width: int) -> list[str]:
    """The line in pieces of at most `width` columns, the explanation in a column of its own.

    Where that would be too narrow, the explanation goes below what it explains.
    """
    if _is_prose(line):
        width = min(width, WIDEST_PROSE)
    if len(line) <= width:
        return [line]
    columns = re.match(r" *(\S+( \S+)* {2,})?", line)
    indent = columns.end() if columns else 0
    margin = min(len(line) - len(line.lstrip()) + 4, width // 3)
    if width - indent >= LEAST_BESIDE:
        return _filled(line, width, after=indent)
    if columns and columns[1]:
        return [line[:indent].rstrip(), *_filled(" " * margin + line[indent:], width, after=margin)]
    return _filled(line, width, after=margin)


def _filled(text: str, width: int, *, after: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        subsequent_indent=" " * after,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"  {name:<19} {text}".rstrip() for name, text in rows]
    return "\n".join([f"{title}:", *lines])


def _styled(line: str) -> list[tuple[str, str]]:
    if line.startswith("Usage: "):
        return [("Usage:", "bold"), (line.removeprefix("Usage:"), "")]
    is_heading = line.endswith(":") and not line.startswith(" ")
    return [(line, "bold" if is_heading else "")]
