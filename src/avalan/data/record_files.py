"""Records from wherever they lie: a synthetic data set, or a file of JSON lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _, _n
from avalan.reflection.record import Record, Split, from_json

_TEXTS = (".txt", ".md")


def read_records(place: Path, split: Split) -> Iterator[Record]:
    """The records of one split in `place`, in their order.

    Args:
        place: a folder of `avalan data synthesize`, or a file with a `selfref/1` record in JSON on
            each line. A record that names no split is for training.

    Raises:
        ConfigurationError: there is nothing, or a line is no record.
    """
    if place.is_dir():
        shards = extras.load("avalan.data.shards", extra="data")
        yield from shards.records(place, split)
        return
    if not place.is_file():
        raise ConfigurationError(
            "There are no records at {place}; give a folder of `avalan data synthesize`, or a file "
            "of records, one JSON a line.",
            place=place,
        )
    for record in read_lines(place):
        if record.split == split:
            yield record


def read_texts(places: Sequence[Path]) -> Iterator[str]:
    """The text of each file, and of each .txt and .md in a folder, in the order of their names.

    Raises:
        ConfigurationError: there is no such place, or a file is not UTF-8.
    """
    for place in places:
        found = [place]
        if place.is_dir():
            found = sorted(path for path in place.rglob("*") if path.suffix in _TEXTS)
        if not found or not all(path.is_file() for path in found):
            raise ConfigurationError(
                "There are no texts at {place}; give a text file, or a folder with some that end "
                "in {endings}.",
                place=place,
                endings=", ".join(_TEXTS),
            )
        yield from (_text(path) for path in found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _not_utf8(path: Path, error: UnicodeDecodeError) -> ConfigurationError:
    return ConfigurationError(
        "{path} is not UTF-8 text ({reason}); convert it first.",
        path=path,
        reason=reason_of(error),
    )


def read_lines(path: Path) -> Iterator[Record]:
    """The records of a file, whatever their split.

    Raises:
        ConfigurationError: a line is no record, or the file is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _record(line, path, number)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None


def _record(line: str, path: Path, number: int) -> Record:
    try:
        values = _json(line)
        if not isinstance(values, Mapping):
            raise ConfigurationError("{what}", what=_("it is no JSON object"))
        return from_json(_checked(values))
    except ConfigurationError as error:
        raise ConfigurationError(
            "Line {number} of {path} is no record: {error}",
            number=number,
            path=path,
            error=str(error),
        ) from None


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        # Of a line, the decoder's own line number would be another.
        reason = getattr(error, "msg", None) or reason_of(error)
        what = _("it is no JSON ({reason}); write one object a line", reason=reason)
        raise ConfigurationError("{what}", what=what) from None


_FIELDS: Mapping[str, Mapping[str, type]] = {
    "": {
        "id": str, "lang": str, "split": str, "utility": int, "messages": list, "segments": list,
        "answers": list, "source": Mapping, "loss": Mapping,
    },
    "messages": {"role": str, "content": str},
    "segments": {
        "decision": str, "text": str, "support": str, "passages": list, "cite": list, "span": list,
    },
    "passages": {"pid": str, "text": str, "title": str, "relevant": bool},
    "loss": {"reflection": float, "text": float},
}  # fmt: skip
"""Of a record and of what it holds, what each field must be where it is given."""
_TEXTS_IN, _NUMBERS_IN = ("answers", "cite"), ("span",)
"""Lists of texts, and of whole numbers."""


def _checked(values: Mapping[str, Any], kind: str = "", place: str = "") -> Mapping[str, Any]:
    """The same, if every field is what it must be; named is the field that is not."""
    for name, wanted in _FIELDS[kind].items():
        value, where = values.get(name), f"{place}{name}"
        if value is None:
            continue
        if not _is(value, wanted):
            raise _wrong(where, value, _(_CALLED[wanted]))
        if name in _TEXTS_IN and not all(isinstance(each, str) for each in value):
            raise _wrong(where, value, _("a list of texts"))
        if name in _NUMBERS_IN and (len(value) != 2 or not all(_is(each, int) for each in value)):
            raise _wrong(where, value, _("two whole numbers"))
        if name == "loss":
            _checked(value, name, f"{where}.")
        elif name in _FIELDS:
            for number, each in enumerate(value):
                if not isinstance(each, Mapping):
                    raise _wrong(where, value, _("a list of objects"))
                _checked(each, name, f"{where}[{number}].")
    return values


_CALLED = {
    str: _n("a text"), int: _n("a whole number"), float: _n("a number"),
    bool: _n("true or false"), list: _n("a list"), Mapping: _n("an object"),
}  # fmt: skip


def _is(value: Any, wanted: type) -> bool:
    if wanted in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if wanted is float else wanted)


def _wrong(where: str, value: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        "its field {name!r} is {value!r}, but it must be {what}.",
        name=where,
        value=value,
        what=wanted,
    )
