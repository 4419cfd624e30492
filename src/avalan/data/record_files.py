"""Records from wherever they lie: a synthetic data set, or a file of JSON lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _
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
        values = json.loads(line)
        if not isinstance(values, Mapping):
            raise ConfigurationError("{what}", what=_("it is no JSON object"))
        return from_json(_checked(values))
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(
            "Line {number} of {path} is no record: {error}",
            number=number,
            path=path,
            error=str(error),
        ) from None


def _checked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, if what holds others is what it must be; named is the field that is not."""
    demands = {"messages": list, "segments": list, "answers": list, "source": Mapping}
    for name, kind in demands.items():
        if name in values and not isinstance(values[name], kind):
            raise ConfigurationError(
                "its field {name!r} is {value!r}, but it must be {what}.",
                name=name,
                value=values[name],
                what=_("a list") if kind is list else _("an object"),
            )
    for name in ("messages", "segments"):
        if not all(isinstance(each, Mapping) for each in values.get(name, [])):
            raise ConfigurationError("its field {name!r} must be a list of objects.", name=name)
    return values
