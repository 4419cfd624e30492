"""Files of preferences: an object of JSON on each line, checked before anything is trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avalan.errors import ConfigurationError
from avalan.locale import _, _n

FIELDS: Mapping[str, Mapping[str, type]] = {
    "dpo": {"prompt": str, "chosen": str, "rejected": str},
    "orpo": {"prompt": str, "chosen": str, "rejected": str},
    "reward": {"prompt": str, "chosen": str, "rejected": str},
    "kto": {"prompt": str, "completion": str, "label": bool},
    "grpo": {"prompt": str},
}
"""What a line must have, by method; grpo's reward is given whatever else it has."""
_SHOWN = {str: _n("a text"), bool: _n("true or false")}


def read_preferences(path: Path, method: str) -> list[dict[str, Any]]:
    """The rows of a file for a method.

    Raises:
        ConfigurationError: there is none, or a line or a field of it is not what it must be.
    """
    if not path.is_file():
        raise ConfigurationError(
            "There are no preferences at {path}; give a file with an object of JSON on each line, "
            "which has: {fields}.",
            path=path,
            fields=", ".join(FIELDS[method]),
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ConfigurationError("{path} is not UTF-8 text; convert it first.", path=path) from None
    rows = [
        _row(line, path, number, method) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not rows:
        raise ConfigurationError("{path} is empty; there is nothing to learn from.", path=path)
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            raise ConfigurationError(
                "Row {number} of {path} has other fields than the first one; give all the same.",
                number=number,
                path=path,
            )
    return rows


def _row(line: str, path: Path, number: int, method: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(
            "Line {number} of {path} is not JSON: {error}.", number=number, path=path, error=error
        ) from None
    for name, kind in FIELDS[method].items():
        if not isinstance(row, dict) or not isinstance(row.get(name), kind):
            raise ConfigurationError(
                "Line {number} of {path} needs a field {name!r} that is {what}, for {method}.",
                number=number,
                path=path,
                name=name,
                what=_(_SHOWN[kind]),
                method=method,
            )
    return {**row}
