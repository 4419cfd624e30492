"""From words to a command: `model run …` leads through the tables to one parser.

Global options may stand anywhere on the way; they travel along to the parser at the end.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from avalan import extras
from avalan.cli.parser import (
    GLOBAL_FLAGS,
    GLOBAL_VALUES,
    Parser,
    did_you_mean,
    looks_like_option,
    split_option,
    unknown_option,
)
from avalan.errors import UsageError
from avalan.locale import _

Table = Mapping[str, tuple[str, str]]
"""name → (help, module)."""


class Group(NamedTuple):
    """A place where the next word chooses."""

    prog: str
    about: str
    commands: Table
    examples: Sequence[str] = ()
    """Commands to copy, for the help."""

    def choose(self, word: str) -> "Group | Parser":
        """The group or the parser called `word`; its module is imported, and no other.

        Raises:
            UsageError: there is none of this name.
        """
        if word not in self.commands:
            raise UsageError(_no_command(self.prog, word, self.commands))
        about, name = self.commands[word]
        about = _(about) + "."
        prog = f"{self.prog} {word}"
        module = extras.load(name)
        if hasattr(module, "COMMANDS"):
            return Group(prog, about, module.COMMANDS, getattr(module, "EXAMPLES", ()))
        parser = Parser(prog=prog, description=about)
        module.configure(parser)
        return parser


def walk(root: Group, words: Sequence[str]) -> tuple[Group | Parser, list[str]]:
    """Follow the words as far as they choose.

    Returns:
        Where they lead, and the words that are left. A group means that they chose no command.

    Raises:
        UsageError: a word is not the name of a command.
    """
    place: Group | Parser = root
    rest = list(words)
    while _chooses(place):
        before, word, after = _first_word(place.prog, rest)
        if word is None:
            return place, rest
        place = _enter(place, word)
        rest = before + after
    return place, rest


def _chooses(place: Group | Parser) -> bool:
    return isinstance(place, Group) or bool(place.verbs())


def _enter(place: Group | Parser, word: str) -> Group | Parser:
    if isinstance(place, Group):
        return place.choose(word)
    verbs = place.verbs()
    if word not in verbs:
        raise UsageError(_no_command(place.prog, word, verbs))
    return verbs[word]


def _first_word(prog: str, words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    index = 0
    while index < len(words):
        word = words[index]
        name, equals = split_option(word)[:2]
        if not looks_like_option(word):
            return list(words[:index]), word, list(words[index + 1 :])
        if name not in (*GLOBAL_FLAGS, *GLOBAL_VALUES, "-h"):
            raise UsageError(unknown_option(prog, name, (*GLOBAL_FLAGS, *GLOBAL_VALUES)))
        index += 2 if name in GLOBAL_VALUES and not equals else 1
    return list(words), None, []


def _no_command(prog: str, word: str, known: Mapping[str, object]) -> str:
    hint = did_you_mean(word, known)
    if not hint and " " in word:
        hint = " " + _("(a question is asked with: avalan ask)")
    return _(
        "{prog} has no command {word!r}{hint}; see: {prog} --help", prog=prog, word=word, hint=hint
    )
