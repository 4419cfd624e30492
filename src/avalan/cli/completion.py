"""What could come next on a command line: the words that the Tab key offers.

They are read from the tables and the parsers that the commands themselves use, so a new command
or option is completed without a line here; the tables below add only what a parser cannot say:
which values are models, indexes or paths.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from avalan import state
from avalan.cli import disk
from avalan.cli.parser import GLOBAL_VALUES, Parser, looks_like_option, split_option
from avalan.cli.tree import Group, walk
from avalan.errors import AvalanError
from avalan.locale import _, languages
from avalan.model.entities import ATTENTIONS, WEIGHT_TYPES

Paths = Literal["none", "files", "folders"]

# (dest, metavar) → values that can be listed; a dest alone has more than one meaning.
_VALUES = {
    ("attention", "TEXT"): ATTENTIONS,
    ("device", "DEVICE"): ("cpu", "cuda", "mps"),
    ("engine", "TEXT"): ("auto", "onnx", "transformers", "gguf", "vllm"),
    ("level", "LEVELS"): ("G0", "G1", "G2", "G3", "T", "H", "P"),
    ("precision", "P"): ("fp32", "int8", "int4", "fp16", "bf16"),
    ("recipe", "RECIPE"): ("bundled",),
    ("split", "SPLIT"): ("validation", "test"),
    ("task", "TASK"): ("grounded-qa", "retrieval-decision", "adaptive-qa", "reflection-tokens"),
    ("weight_type", "TEXT"): WEIGHT_TYPES,
}
_PATHS: dict[str, Paths] = {
    "DIR": "folders",
    "FILE": "files",
    "PATH": "files",
    "RECIPE": "files",
}
_JUDGES = {
    "avalan ask": ("reader", "rules"),
    "avalan model evaluate": ("reader", "rules", "default"),
}
_HUB_ONLY = ("avalan cache ", "avalan model install", "avalan model uninstall")
"""Beginnings of the commands whose models are those of the hub's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A word that may come next."""

    word: str
    """The whole word; it may begin with `--option=`."""
    about: str = ""
    """What it is for; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What may come next."""

    candidates: tuple[Candidate, ...] = ()
    paths: Paths = "none"
    """What the shell is to add from the disk, after an option's equals sign too."""


NOTHING = Offer()


def offer(root: Group, words: Sequence[str], current: str) -> Offer:
    """What may come after `words`, where `current` is what is typed already.

    The candidates are not compared with `current`, which shells do in their own ways; it tells
    only whether an option or its value is meant.

    Args:
        words: without the program's name, and without quotes.
    """
    try:
        place, rest = walk(root, words)
    except AvalanError:  # What has been typed is wrong, which is no time to complain.
        return NOTHING
    if isinstance(place, Group) or place.verbs():
        return _after_group(place, rest, current)
    place.add_global_options()
    return _after_command(place, rest, current)


def _after_group(place: Group | Parser, rest: Sequence[str], current: str) -> Offer:
    """A command, or an option that works everywhere."""
    everywhere = Parser(prog=place.prog)
    everywhere.add_global_options()
    if current.startswith("-") or (rest and rest[-1] in GLOBAL_VALUES):
        return _after_command(everywhere, rest, current)
    if isinstance(place, Group):
        helps = {name: _(row[0]) for name, row in place.commands.items()}
    else:
        helps = place.verb_helps()
    return Offer(candidates=tuple(Candidate(word=name, about=helps[name]) for name in helps))


def _after_command(parser: Parser, rest: Sequence[str], current: str) -> Offer:
    typed = _read(parser, rest)
    if typed.pending is not None:
        return _values(typed.pending, parser.prog, typed)
    name, equals, _value = split_option(current)
    if not typed.is_text and equals and current.startswith("--"):
        action = parser._option_string_actions.get(name)
        found = _values(action, parser.prog, typed) if action and _has_value(action) else NOTHING
        return _prefixed(found, current.partition("=")[0] + "=")
    if not typed.is_text and current.startswith("-"):
        return _options(parser, typed)
    found = _argument(parser, typed)
    is_open = not typed.is_text and not current and found == NOTHING
    return _options(parser, typed) if is_open and not _awaits_text(parser, typed) else found


# --- what is typed already -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Typed:
    given: frozenset[str]
    """The dests of the options."""
    num_arguments: int
    pending: argparse.Action | None
    """The option whose value comes next."""
    is_text: bool
    """After `--`, where nothing is an option."""
    cache_dir: str | None


def _read(parser: Parser, words: Sequence[str]) -> _Typed:
    """As the parser sorts them, without its complaints."""
    queue = list(words)
    values: dict[str, str] = {}
    num_arguments = 0
    pending = None
    is_text = False
    while queue:
        word = queue.pop(0)
        if word == "--":
            num_arguments, is_text, queue = num_arguments + len(queue), True, []
        elif not looks_like_option(word):
            num_arguments += 1
        else:
            name, equals, value = split_option(word)
            action = parser._option_string_actions.get(name)
            if action is None:
                continue
            if not equals and queue and parser.takes(action, queue[0]):
                value = queue.pop(0)
            elif not equals and not queue and action.nargs is None:
                pending = action
            values[action.dest] = value
    return _Typed(
        given=frozenset(values),
        num_arguments=num_arguments,
        pending=pending,
        is_text=is_text,
        cache_dir=values.get("cache_dir") or None,
    )


def _has_value(action: argparse.Action) -> bool:
    return action.nargs != 0


# --- what may come -------------------------------------------------------------------------------


def _options(parser: Parser, typed: _Typed) -> Offer:
    """The long names of the options that may be given, or given again."""
    candidates = [
        Candidate(word=name, about=(action.help or "").replace("%%", "%"))
        for name, action in parser._option_string_actions.items()
        if name.startswith("--")
        and action.help != argparse.SUPPRESS
        and (action.dest not in typed.given or isinstance(action, argparse._AppendAction))
    ]
    return Offer(candidates=tuple(candidates))


def _arguments(parser: Parser) -> list[argparse.Action]:
    shown = parser._get_positional_actions()
    return [action for action in shown if action.help != argparse.SUPPRESS]


def _next_argument(parser: Parser, typed: _Typed) -> argparse.Action | None:
    known = _arguments(parser)
    if typed.num_arguments < len(known):
        return known[typed.num_arguments]
    return known[-1] if known and known[-1].nargs in ("*", "+") else None


def _argument(parser: Parser, typed: _Typed) -> Offer:
    action = _next_argument(parser, typed)
    return _values(action, parser.prog, typed) if action else NOTHING


def _awaits_text(parser: Parser, typed: _Typed) -> bool:
    """Whether an argument must come, which nobody but the person knows."""
    action = _next_argument(parser, typed)
    return action is not None and action.nargs in (None, "+")


def _values(action: argparse.Action, prog: str, typed: _Typed) -> Offer:
    """The values of an option or an argument."""
    dest, metavar = action.dest, action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is not None:
        return _words(map(str, action.choices))
    if metavar == "LANGUAGE":
        return _words(languages())
    if metavar == "MODEL" or (dest, metavar) in (("model", "NAME"), ("tokenizer", "NAME")):
        return _models(prog, typed)
    if (dest, metavar) == ("index", "NAME") or (
        prog.startswith("avalan index ") and dest == "name"
    ):
        return _words(row[0] for row in disk.indexes(state.home()))
    return _words(_VALUES.get((dest, metavar), ()), _PATHS.get(metavar, "none"))


def _models(prog: str, typed: _Typed) -> Offer:
    """Models on this disk that avalan can run; GGUF files are among the files."""
    cache, only_cached = disk.hub_cache(typed.cache_dir), prog.startswith(_HUB_ONLY)
    cached = [model.name for model in disk.hub_models(cache, parts=only_cached)]
    if only_cached:
        return _words(cached)
    return _words(("bundled", *_JUDGES.get(prog, ()), *cached), "files")


def _words(words: Iterable[str], paths: Paths = "none") -> Offer:
    """An offer of names; one that could be taken for an option, or drive a terminal, is not."""
    kept = [word for word in words if word.isprintable() and not word.startswith("-")]
    return Offer(candidates=tuple(Candidate(word=word) for word in kept), paths=paths)


def _prefixed(found: Offer, start: str) -> Offer:
    candidates = [Candidate(word=start + each.word, about=each.about) for each in found.candidates]
    return Offer(candidates=tuple(candidates), paths=found.paths)
