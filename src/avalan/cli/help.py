"""The text of `--help`, for groups and for single commands."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from avalan.cli.console import Console
from avalan.cli.parser import GLOBAL_FLAGS, GLOBAL_VALUES, Parser, examples_text, usage_text
from avalan.cli.tree import Group
from avalan.locale import _

LEAST_BESIDE = 28
"""Columns that an explanation needs beside what it explains."""
WIDEST_PROSE = 88
"""Columns of a paragraph; longer lines are hard to read."""


def show(console: Console, place: Group | Parser) -> None:
    """Print the help of `place`."""
    is_example = False
    for line in _joined(text_of(place).splitlines()):
        is_example = line == _("Try:") or (is_example and line.startswith(" "))
        for row in [line] if is_example else _wrapped(line, console.width):
            console.print(*_styled(row), wrap=False)


def text_of(place: Group | Parser) -> str:
    """The help of `place`, its lines as long as they like."""
    if isinstance(place, Group):
        helps = {name: _(text) for name, (text, module) in place.commands.items()}
        return group_help(place.prog, _(place.about), helps, place.examples)
    if helps := place.verb_helps():
        return group_help(place.prog, place.description or "", helps, place.examples)
    place.add_global_options()
    return place.format_help()


def group_help(prog: str, about: str, helps: Mapping[str, str], examples: Iterable[str]) -> str:
    """What can be said after `prog`, and the options that work everywhere."""
    flags = [(option, _(text)) for option, text in GLOBAL_FLAGS.items()]
    values = [(f"{option} {_(name)}", _(text)) for option, (name, text) in GLOBAL_VALUES.items()]
    width = max(18, *(len(name) for name, _text in (*helps.items(), *flags, *values)))
    parts = [
        usage_text(prog, _("COMMAND")),
        about,
        _section(_("Commands:"), helps.items(), width),
        _section(_("Everywhere, before or after the command:"), [*flags, *values], width),
        examples_text(examples),
    ]
    return "\n\n".join(part for part in parts if part)


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
    return bool(line) and line[0] != " " and not line.startswith(_("Usage:")) and line[-1] != ":"


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


def _section(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    lines = [f"  {name:<{width}}  {text}".rstrip() for name, text in rows]
    return "\n".join([title, *lines])


def _styled(line: str) -> list[tuple[str, str]]:
    if line.startswith(usage := _("Usage:")):
        return [(usage, "bold"), (line.removeprefix(usage), "")]
    is_heading = line.endswith(":") and not line.startswith(" ")
    return [(line, "bold" if is_heading else "")]
