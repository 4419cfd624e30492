"""Files of preferences: an object of JSON on each line, checked before anything is trained."""

import json
from collections.abc import Mapping, Sequence
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
"""What a line must have, by method; grpo's reward is given whatever else it has. A prompt may be a
list of messages, too."""
_SHOWN = {str: _n("a text"), bool: _n("true or false")}
_MESSAGE = {"role", "content"}


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
        if isinstance(row, dict) and name == "prompt" and _is_conversation(row.get(name)):
            continue
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


def _is_conversation(value: Any) -> bool:
    """Whether it is a list of messages, each with a role and what it says."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(each, dict)
            and each.keys() == _MESSAGE
            and all(isinstance(text, str) for text in each.values())
            for each in value
        )
    )


def as_conversations(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with a prompt of messages, a text being what the user says, and answers likewise."""
    found = []
    for row in rows:
        made = dict(row)
        if isinstance(row["prompt"], str):
            made["prompt"] = [{"role": "user", "content": row["prompt"]}]
        for name in ("chosen", "rejected", "completion"):
            if name in row:
                made[name] = [{"role": "assistant", "content": row[name]}]
        found.append(made)
    return found
