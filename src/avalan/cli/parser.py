"""The parser of one command: argparse with the global options, our sentences and our help.

argparse is asked last, and only about words that are already sorted (options first, then `--`,
then arguments): so options and arguments mix in any order, a value may begin with a dash, and an
underscore in an option's name is as good as a dash.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from avalan import extras
from avalan.cli.console import terminal_width
from avalan.errors import UsageError
from avalan.locale import _, _n, for_libraries

GLOBAL_FLAGS = {
    "--json": _n("JSON on stdout and nothing else there"),
    "--quiet": _n("the result only, without remarks"),
    "--verbose": _n("more remarks, and an error's traceback"),
    "--version": _n("show the version"),
    "--help": _n("show this help"),
}
GLOBAL_VALUES = {
    "--locale": ("LANGUAGE", _n("language of the messages [the system's, or en]")),
    "--cache-dir": ("DIR", _n("folder of the hub's local cache")),
    "--device": ("DEVICE", _n("where models compute: cpu, cuda, cuda:1, mps [cpu]")),
}


PATHS = ("DIR", "FILE", "PATH")
"""What stands for paths in the help; none of them may be empty."""


class Parser(argparse.ArgumentParser):
    """Never prints or exits by itself: it returns values or raises `UsageError`.

    Attributes:
        examples: commands to copy, for the end of the help.
    """

    examples: Sequence[str] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options | {"add_help": False, "allow_abbrev": False, "formatter_class": _formatter}
        )
        self.color = False  # Python 3.14 would colour by itself; our console does it for all.

    def add_global_options(self) -> None:
        """Add what every command understands; called last, so that help shows it last."""
        everywhere = self.add_argument_group(_("Everywhere"))
        for option, text in GLOBAL_FLAGS.items():
            names = ("-h", option) if option == "--help" else (option,)
            everywhere.add_argument(*names, action="store_true", help=_(text))
        for option, (metavar, text) in GLOBAL_VALUES.items():
            everywhere.add_argument(option, metavar=metavar, help=_(text))

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The values of `words`; as `passed_over`, what to say of words that stand where an
        option's number could have stood, by word.

        Raises:
            UsageError: a word is not understood, or one is missing.
        """
        options, arguments, passed_over = self._sorted(words)
        of_paths = [action for action in self._actions if action.metavar in PATHS]
        self._translate_metavars()
        with for_libraries():
            args, unknown = self.parse_known_args(
                [*options, *(["--", *arguments] if arguments else [])]
            )
        args.passed_over = passed_over
        if unknown and passed_over:
            raise UsageError(next(iter(passed_over.values())))
        if unknown:
            raise UsageError(
                "{prog} has no place for {word!r}; put quotes around a text with spaces, or "
                "see: {prog} --help",
                prog=self.prog,
                word=unknown[-1],
            )
        for action in of_paths:
            given = getattr(args, action.dest)
            paths = given if isinstance(given, list) else [given]
            if any(path is not None and not path.strip() for path in paths):
                name = "".join(action.option_strings[:1]) or action.metavar
                if action.metavar == "FILE":
                    raise UsageError("{name} is empty; name a file.", name=name)
                raise UsageError("{name} is empty; name a file or a folder.", name=name)
        return args

    def verbs(self) -> dict[str, "Parser"]:
        """The parsers of `add_subparsers`, by name; mostly none."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    def verb_helps(self) -> dict[str, str]:
        """What `verbs` are for, by name."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return {row.dest: row.help or "" for row in action._get_subactions()}
        return {}

    def format_help(self) -> str:
        """The text of `--help`."""
        self._translate_metavars()
        shown = [each for each in self._get_positional_actions() if each.help != argparse.SUPPRESS]
        names = [_argument_name(action) for action in shown]
        self._positionals.title, self._optionals.title = _("Arguments"), _("Options")
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        parts = (
            usage_text(self.prog, *names),
            formatter.format_help().strip("\n"),
            examples_text(self.examples),
        )
        return "\n\n".join(part for part in parts if part)

    def _translate_metavars(self) -> None:
        """Before they are shown, and no earlier: completion tells values by the declared ones."""
        for action in self._actions:
            if isinstance(action.metavar, str):
                action.metavar = _(action.metavar)

    def error(self, message: str) -> NoReturn:
        """argparse's complaint as a sentence."""
        reason = message.removeprefix("argument ").replace(": expected one", ": it needs one")
        reason = reason.replace("the following arguments are required:", "needed:")
        raise UsageError("{prog}: {reason}; see: {prog} --help", prog=self.prog, reason=reason)

    def _sorted(self, words: Sequence[str]) -> tuple[list[str], list[str], dict[str, str]]:
        options: list[str] = []
        arguments: list[str] = []
        passed_over: dict[str, str] = {}
        queue = list(words)
        while queue:
            word = queue.pop(0)
            if word == "--":
                return options, arguments + queue, passed_over
            if not looks_like_option(word):
                arguments.append(word)
                continue
            name, equals, value = split_option(word)
            action = self._option_string_actions.get(name)
            if action is None:
                raise UsageError(unknown_option(self.prog, name, self._option_string_actions))
            if not equals and queue and self.takes(action, queue[0]):
                equals, value = "=", queue.pop(0)
            elif action.nargs == "?" and queue and not equals and not looks_like_option(queue[0]):
                passed_over[queue[0]] = _no_number(name, queue[0], action.metavar)
            options.append(name + equals + value)
        return options, arguments, passed_over

    def takes(self, action: argparse.Action, word: str) -> bool:
        """Whether `word` is the value of an option: of an optional value, only a number is."""
        if action.nargs == "?":
            return is_number(word)
        return action.nargs is None and not self._knows(word)

    def _knows(self, word: str) -> bool:
        return word == "--" or split_option(word)[0] in self._option_string_actions


def _no_number(option: str, word: str, metavar: object) -> str:
    return _(
        "{option}: {word!r} is not {demand}; to leave the number out, write the prompt first, or "
        '-- before it, as in: {option} -- "Hello"',
        option=option,
        word=word,
        demand=_("a number of milliseconds") if metavar == "MS" else _("a whole number"),
    )


def looks_like_option(word: str) -> bool:
    """Whether a word is meant as an option, rather than as a text, a number or standard input."""
    name = word.partition("=")[0]  # A value may have spaces.
    return len(word) > 1 and word[0] == "-" and " " not in name and not word[1].isdigit()


def is_number(word: str) -> bool:
    """Whether a word reads as a number, as `15`, `-3` or `.5`."""
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", word) is not None


def split_option(word: str) -> tuple[str, str, str]:
    """An option's name (dashes for underscores), its equals sign if any, and what follows."""
    name, equals, value = word.partition("=")
    return name[:2] + name[2:].replace("_", "-"), equals, value


def unknown_option(prog: str, name: str, known: Iterable[str]) -> str:
    """The sentence for an option that does not exist."""
    hint = did_you_mean(name, known)
    return _(
        "{prog} has no option {name!r}{hint}; see: {prog} --help", prog=prog, name=name, hint=hint
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where nothing is near."""
    names = {each.lstrip("-"): each for each in known}  # Dashes are alike in all options.
    bare = word.lstrip("-")
    near = [name for name in names if len(bare) > 1 and name.startswith(bare)][:1]
    near = near or extras.load("difflib").get_close_matches(bare, list(names), n=1)
    return " " + _("(did you mean {word!r}?)", word=names[near[0]]) if near else ""


def usage_text(prog: str, *names: str) -> str:
    """How `prog` is called; `names` stand for its arguments."""
    return " ".join([_("Usage:"), prog, *names, _("[OPTIONS]")])


def examples_text(examples: Iterable[str]) -> str:
    """Commands to copy, below a heading; nothing where there are none."""
    lines = [f"  {example}" for example in examples]
    return "\n".join([_("Try:"), *lines]) if lines else ""


def _argument_name(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    many = "…" if action.nargs in ("*", "+") else ""
    return f"[{name}]{many}" if action.nargs in ("?", "*") else f"{name}{many}"


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = min(terminal_width() - 2, 98)
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=width)
