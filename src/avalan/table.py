"""TOML files as dataclasses, read strictly: the fields are the keys, their types the demands."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Any

from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _, _n

_DEMANDS: dict[Any, str] = {
    str: _n("a text in quotes"),
    int: _n("a whole number"),
    float: _n("a number"),
    bool: _n("true or false"),
    tuple[str, ...]: _n("a list of texts"),
    tuple[int, ...]: _n("a list of whole numbers"),
    Mapping[str, Any]: _n("a table"),
}


def read_toml(path: Traversable, file: str) -> dict[str, Any]:
    """What the TOML file at `path` says; the sentences begin with `file`, as "The recipe x.toml".

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            "{file} cannot be read ({reason}); check the path and its permissions.",
            file=file,
            reason=reason_of(error),
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "{file} is not UTF-8 text (byte {position}); convert it first.",
            file=file,
            position=error.start,
        ) from None
    except (ValueError, RecursionError) as error:  # also: a number of thousands of digits
        raise ConfigurationError(
            "{file} is not valid TOML: {error}; correct it there.", file=file, error=error
        ) from None


def value_of(word: str) -> Any:
    """What a word of the command line says as TOML, or else the word itself."""
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except ValueError:
        return word


def field_types(kind: type) -> dict[str, Any]:
    """The type of each field of the dataclass `kind`, without its `| None`."""
    hints = typing.get_type_hints(kind)
    return {field.name: _demanded(hints[field.name]) for field in dataclasses.fields(kind)}


def read_fields(
    kinds: Mapping[str, Any], table: Mapping[str, Any], section: str, file: str
) -> dict[str, Any]:
    """The values of `table`, each as its kind wants it; what the table leaves out stays out.

    Args:
        kinds: type by key, as from `field_types`.
        section: the table's name, for the sentences; so is `file`.

    Raises:
        ConfigurationError: a key is unknown or a value is of another type.
    """
    check_keys(table, kinds, file, section=section)
    return {
        key: _value(kinds[key], value, f"{section}.{key}", file) for key, value in table.items()
    }


def check_keys(
    table: Mapping[str, Any], known: Iterable[str], file: str, *, section: str = ""
) -> None:
    """Raise for the first key of `table` that is not `known`, naming a near one."""
    names = list(known)
    prefix = f"{section}." if section else ""
    for key in table:
        if key not in names:
            keys = ", ".join(prefix + name for name in names)
            raise ConfigurationError(
                "{file} has a key {key!r} that means nothing here; {hint}",
                file=file,
                key=prefix + key,
                hint=near(key, names, prefix) or _("the keys are: {keys}.", keys=keys),
            )


def near(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`did you mean 'x'?`, or nothing where nothing is near; `prefix` goes before the x."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return _("did you mean {name!r}?", name=prefix + found[0]) if found else ""


def _value(kind: Any, value: Any, key: str, file: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        item_kind = typing.get_args(kind)[0]
        if all(type(item) is item_kind for item in value):
            return tuple(value)
    elif type(value) is kind or (kind == Mapping[str, Any] and isinstance(value, dict)):
        return value
    raise ConfigurationError(
        "{file} sets {key} to {value}, but it must be {demand}.",
        file=file,
        key=key,
        value=_shown(value),
        demand=_(_DEMANDS[kind]),
    )


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return _("a table")
        case list():
            return _("a list")
    return repr(value)


def _demanded(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint
