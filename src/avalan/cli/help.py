"""The text of `--help`, for groups and for single commands."""

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from avalan.cli.console import Console
from avalan.cli.parser import GLOBAL_FLAGS, GLOBAL_VALUES, Parser
from avalan.cli.tree import Group


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
    for line in text.rstrip().splitlines():
        console.print(*_styled(line))


def group_help(prog: str, about: str, helps: Mapping[str, str], examples: Sequence[str]) -> str:
    """What can be said after `prog`, and the options that work everywhere."""
    flags = [(option, text) for option, text in GLOBAL_FLAGS.items()]
    values = [(f"{option} {value}", text) for option, (value, text) in GLOBAL_VALUES.items()]
    parts = [
        f"Usage: {prog} COMMAND [OPTIONS]",
        textwrap.fill(about, min(shutil.get_terminal_size((80, 24)).columns, 90) - 2),
        _section("Commands", helps.items()),
        _section("Everywhere, before or after the command", [*flags, *values]),
    ]
    if examples:
        parts.append(_section("Try", [(example, "") for example in examples]))
    return "\n\n".join(parts)


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"  {name:<19} {text}".rstrip() for name, text in rows]
    return "\n".join([f"{title}:", *lines])


def _styled(line: str) -> list[tuple[str, str]]:
    if line.startswith("Usage: "):
        return [("Usage:", "bold"), (line.removeprefix("Usage:"), "")]
    is_heading = line.endswith(":") and not line.startswith(" ")
    return [(line, "bold" if is_heading else "")]
