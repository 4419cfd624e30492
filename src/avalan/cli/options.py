"""A dataclass's fields as a command's options: names, types, defaults and docstrings are its own.

The docstring after a field is not kept at run time, so it is read from the source.

A value that no machine could honour is wrong usage, and is refused where the options become
settings; what depends on files, models or the network is found out later, and is not.
"""

import argparse
import ast
import dataclasses
import inspect
import sys
import types
import typing
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from avalan import extras
from avalan.errors import ConfigurationError, UsageError
from avalan.locale import _, _n
from avalan.model.entities import (
    ATTENTIONS,
    WEIGHT_TYPES,
    EngineSettings,
    GenerationSettings,
)
from avalan.reflection.settings import AskSettings

Settings = TypeVar("Settings")
Loaded = TypeVar("Loaded")

METAVARS = {int: "N", float: "X", str: "TEXT"}


class Group(typing.Protocol):
    """A parser or one of its groups."""

    def add_argument(self, *names: str, **options: Any) -> argparse.Action: ...


def add_fields(
    group: Group,
    settings: type,
    names: Iterable[str],
    *,
    flags: Mapping[str, str] | None = None,
) -> None:
    """Add an option for each of the fields `names` of the dataclass `settings`.

    An option that is not given leaves None, so that `from_args` can tell. `flags` renames:
    field → option.
    """
    hints = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings)}
    for name in names:
        flag = (flags or {}).get(name, "--" + name.replace("_", "-"))
        kind = _kind(hints[name], fields[name].default)
        group.add_argument(flag, dest=name, help=field_help(settings, name), default=None, **kind)


def from_args(settings: type[Settings], args: argparse.Namespace, **more: Any) -> Settings:
    """The dataclass with the values that were given on the command line, and `more`.

    Raises:
        UsageError: a value is impossible.
    """
    names = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    given = {name: getattr(args, name, None) for name in names}
    values = {name: value for name, value in given.items() if value is not None}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    made = settings(**values | lists | more)
    if values and settings in _CHECKS:
        with as_usage():
            _CHECKS[settings](made)
    return made


@contextmanager
def as_usage() -> Iterator[None]:
    """What is refused inside are words of the command line: wrong usage.

    Raises:
        UsageError: for any `ConfigurationError`.
    """
    try:
        yield
    except ConfigurationError as error:
        raise UsageError(str(error)) from error


def changes(words: Iterable[str]) -> dict[str, str]:
    """The keys and values of `--set`.

    Raises:
        UsageError: a word is not KEY=VALUE.
    """
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                "--set {word}: write it as section.key=value, as run.seed=8.", word=word
            )
        found[key.strip()] = value.strip()
    return found


def load_changed(load: Callable[..., Loaded], file: str, words: Iterable[str]) -> Loaded:
    """`load(file, changes)` with the changes of `--set`; one that spoils the file is wrong usage.

    Raises:
        UsageError: the file can be used, but not with these changes.
        ConfigurationError: the file cannot be used.
    """
    wanted = changes(words)
    try:
        return load(file, wanted)
    except ConfigurationError as error:
        if wanted:
            load(file)  # What is wrong with the file itself is said as it is.
            raise UsageError(str(error)) from error
        raise


def _check_engine(settings: EngineSettings) -> None:
    engines = extras.load("avalan.model.engine")
    no_engine = _n("There is no engine called {name!r}; choose one of: {known}.")
    no_type = _n("There is no weight type called {name!r}; choose one of: {known}.")
    no_attention = _n("There is no attention called {name!r}; choose one of: {known}.")
    for name, known, sentence in (
        (settings.engine, ("auto", *engines.ENGINES), no_engine),
        (settings.weight_type, WEIGHT_TYPES, no_type),
        (settings.attention, ATTENTIONS, no_attention),
    ):
        if name not in known:
            raise UsageError(sentence, name=name, known=", ".join(known))
    for flag, texts in (("--token", settings.tokens), ("--special-token", settings.special_tokens)):
        if not all(texts):
            raise UsageError(
                "{flag} is empty; write the token's text, as in: {flag} '<my_token>'", flag=flag
            )
    threads, most = settings.num_threads, engines.MOST_THREADS
    if threads is not None and not 1 <= threads <= most:
        raise UsageError(
            "--num-threads is {count}, but it must be from 1 to {most}.", count=threads, most=most
        )


# The rooms' own checks; they are heavy to import, so only a value that is given pays for them.
_CHECKS: dict[type, Callable[[Any], None]] = {
    AskSettings: lambda made: extras.load("avalan.reflection.loop").check_settings(made),
    EngineSettings: _check_engine,
    GenerationSettings: (
        lambda made: extras.load("avalan.model.decode.sampling").check_settings(made)
    ),
}


@cache
def field_docs(settings: type) -> dict[str, str]:
    """The docstrings of a dataclass's fields, on one line each; empty where there is none."""
    docs = {field.name: "" for field in dataclasses.fields(settings)}
    try:
        # To ask for the source of the class alone takes three times as long.
        source = inspect.getsource(sys.modules[settings.__module__])
    except OSError:  # Installed without sources: the options work, their help is bare.
        return docs
    classes = (each for each in ast.parse(source).body if isinstance(each, ast.ClassDef))
    definition = next(each for each in classes if each.name == settings.__name__)
    for line, following in zip(definition.body, definition.body[1:], strict=False):
        match line, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs


def field_help(settings: type, name: str) -> str:
    """The docstring of a field as the help of an option, with the field's default."""
    doc = field_docs(settings)[name]
    text = (_(doc) if doc else "").removesuffix(".").replace("%", "%%")
    default = next(each.default for each in dataclasses.fields(settings) if each.name == name)
    is_open = default in (None, ()) or default is False or default is dataclasses.MISSING
    shown = _("yes") if default is True else default
    return text[:1].lower() + text[1:] + ("" if is_open else f" [{shown}]")


def whole_number(text: str) -> int:
    """An int, or a sentence's end."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(_("{text!r} is not a whole number", text=text)) from None


def number(text: str) -> float:
    """A float, or a sentence's end."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(_("{text!r} is not a number", text=text)) from None


_READERS: dict[type, Callable[[str], Any]] = {int: whole_number, float: number, str: str}


def _kind(hint: Any, default: object) -> dict[str, Any]:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if hint is bool:
        return {"action": "store_true" if default is False else argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return {"action": "append", "type": _READERS[inner], "metavar": METAVARS[inner]}
    return {"type": _READERS[hint], "metavar": METAVARS[hint]}
