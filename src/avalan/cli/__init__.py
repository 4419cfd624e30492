"""The command line: a table of commands, of which only the one that is named is imported.

`main` walks the words (`model`, `run`) down the tables to one parser, gives it everything else,
and turns every error that a person can act on into one sentence and an exit code.
"""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from avalan import __version__, extras, locale
from avalan.cli import help as help_text
from avalan.cli.console import CLOSED, NO_SPACE, Console
from avalan.cli.parser import Parser, split_option
from avalan.cli.tree import Group, walk
from avalan.errors import AvalanError, StateError, UsageError, reason_of
from avalan.locale import _, _n

COMMANDS = {
    "ask": (_n("Answer from your documents, citing them"), "avalan.cli.commands.ask"),
    "index": (_n("Make documents searchable, and search them"), "avalan.cli.commands.index"),
    "agent": (_n("Write and run agents, each a TOML file"), "avalan.cli.commands.agent"),
    "model": (_n("Run, display, train, evaluate and export models"), "avalan.cli.commands.model"),
    "data": (_n("Make data to train on, and look at it"), "avalan.cli.commands.data"),
    "cache": (_n("Manage the models that were downloaded"), "avalan.cli.commands.cache"),
    "tokenizer": (_n("See how a tokenizer reads a text"), "avalan.cli.commands.tokenizer"),
    "completion": (_n("Let the Tab key complete commands"), "avalan.cli.commands.completion"),
}

ABOUT = _n(
    "avalan runs small, self-reflective language models on your own machine: they decide whether "
    "to look something up, cite what they found, and say when they do not know. "
    "Alone, `avalan` shows this machine and what is on it."
)

EXAMPLES = (
    'avalan ask "How long may a file name be?" --docs notes/',
    'avalan model run bundled "What does a compiler do?"',
    "avalan index add notes/",
)

# The kinds that torch or ONNX Runtime know; whether this machine has one is the engine's to say.
DEVICE = r"(cpu|cuda|mps|xpu)(:\d{1,3})?"

NO_HOME = _n(
    "Your home folder is not known, because HOME is not set and the system knows none; set the "
    "environment variable HOME and try again."
)

ROOT = Group("avalan", ABOUT, COMMANDS, EXAMPLES)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 an error to act on, 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _keep_standard_descriptors()
    try:
        return _guarded(words)
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        # A library that is interrupted while it loads reports that as its own failure.
        if interrupted(error):
            return 130
        raise
    except BrokenPipeError:  # Whoever read has seen enough.
        return 0
    finally:
        _settle_output()


def _keep_standard_descriptors() -> None:
    """Let no file take the number of a standard stream that is closed: libraries write there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is what lies at the bottom of `error`."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _guarded(words: list[str]) -> int:
    try:
        _speak(_language(words))  # Before anything is said, so before the parser is made.
        return _dispatch(words)
    except AvalanError as error:
        return _report(str(error), words, code=2 if isinstance(error, UsageError) else 1)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None and error.errno not in NO_SPACE and not _is_adrift():
            raise
        return _report(_refusal(error), words, code=1)
    except RuntimeError as error:
        if "home directory" not in str(error):  # pathlib has no class of its own for it.
            raise
        return _report(_(NO_HOME), words, code=1)


def _report(sentence: str, words: list[str], *, code: int) -> int:
    options = _before_dashes(words)
    if "--verbose" in options:
        traceback.print_exc()
    Console(as_json="--json" in options).error(sentence)
    return code


def _refusal(error: OSError) -> str:
    """The net below the rooms' own errors: the operating system refused a file by name."""
    if error.filename is None and _is_adrift():
        return _("The current folder does not exist any more; change to another and try again.")
    if error.filename is None:
        return _("The disk refused ({reason}); free some space.", reason=reason_of(error))
    return _(
        "The system refused {path!r} ({reason}); check the path, its permissions and the space "
        "that is left.",
        path=error.filename,
        reason=reason_of(error),
    )


def _is_adrift() -> bool:
    """Whether the folder that we stand in was deleted."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _dispatch(words: list[str]) -> int:
    if sys.stdout is None:
        raise StateError(CLOSED)
    options = _before_dashes(words)
    if {"-h", "--help"} & set(options):
        help_text.show(Console(), walk(ROOT, _without_help(words))[0])
        return 0
    if "--version" in options:
        return _version(Console(as_json="--json" in options))
    place, rest = walk(ROOT, words)
    if place is ROOT:
        place = _card()
    if isinstance(place, Group) or place.verbs():
        raise UsageError(_needs_a_verb(place))
    place.add_global_options()
    return _run(place.parse(rest))


def _run(args: argparse.Namespace) -> int:
    if args.device is not None and not re.fullmatch(DEVICE, args.device):
        raise UsageError(
            "There is no device called {device!r}; choose cpu, cuda, cuda:1 or mps.",
            device=args.device,
        )
    console = Console(as_json=args.json, quiet=args.quiet, verbose=args.verbose)
    try:
        code: int = args.run(args, console)
    finally:
        console.clear_progress()  # Whatever ended the command: what is said next begins a line.
    return code


def _card() -> Parser:
    """What a bare `avalan` does."""
    parser = Parser(prog="avalan")
    extras.load("avalan.cli.commands.card").configure(parser)
    return parser


def _needs_a_verb(place: Group | Parser) -> str:
    verbs = ", ".join(place.commands if isinstance(place, Group) else place.verbs())
    return _("{prog} needs one of: {verbs}; see: {prog} --help", prog=place.prog, verbs=verbs)


def _version(console: Console) -> int:
    console.print(f"avalan {__version__}")
    if console.as_json:
        console.json({"version": __version__})
    return 0


def _speak(language: str | None) -> None:
    locale.use(None)
    try:
        locale.use(language)
    except LookupError:
        raise UsageError(
            "There is no translation into {language!r}; choose one of: {known}.",
            language=language,
            known=", ".join(locale.languages()),
        ) from None


def _language(words: list[str]) -> str | None:
    """What `--locale` names, wherever it stands; the last one counts, as of every option."""
    options = _before_dashes(words)
    found = None
    for index, word in enumerate(options):
        name, equals, value = split_option(word)
        if name == "--locale":
            found = value if equals else next(iter(options[index + 1 :]), None)
    return found


def _before_dashes(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _without_help(words: list[str]) -> list[str]:
    return [word for word in _before_dashes(words) if word not in ("-h", "--help")]


def _settle_output() -> None:
    """What cannot be written any more must not complain again when Python exits."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
