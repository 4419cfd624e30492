"""The text of `--help`, for groups and for single commands."""

from collections.abc import Iterable, Sequence

from avalan.cli.console import Console
from avalan.cli.parser import GLOBAL_FLAGS, GLOBAL_VALUES, Parser
from avalan.cli.tree import Group


def show(console: Console, place: Group | Parser, examples: Sequence[str]) -> None:
    """Print the help of `place`."""
    if isinstance(place, Group):
        text = group_help(place, examples)
    else:
        place.add_global_options()
        text = place.format_help()
    for line in text.rstrip().splitlines():
        console.print(*_styled(line))


def group_help(group: Group, examples: Sequence[str]) -> str:
    """What can be said after `group`'s name, and the options that work everywhere."""
    commands = [(name, text) for name, (text, _) in group.commands.items()]
    flags = [(option, text) for option, text in GLOBAL_FLAGS.items()]
    values = [(f"{option} {value}", text) for option, (value, text) in GLOBAL_VALUES.items()]
    parts = [
        f"Usage: {group.prog} COMMAND [OPTIONS]",
        group.about,
        _section("Commands", commands),
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
