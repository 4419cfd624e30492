"""A table as TOML text that reads back to exactly the same values."""

import re
from collections.abc import Mapping

Value = str | int | bool

# Control characters would be refused by a reader or obeyed by a terminal; a reader may turn a
# carriage return into a newline; the characters that reorder text would hide what is written.
_ESCAPED = re.compile("[\\\\\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def toml_text(sections: Mapping[str, Mapping[str, Value]]) -> str:
    """`sections` one after the other; a text of several lines is written as such.

    Keys must be bare: letters, digits, underscores.
    """
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())
        for name, values in sections.items()
    )


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    escaped = _ESCAPED.sub(_escape, value)
    if "\n" not in value:
        return '"' + escaped.replace('"', '\\"').replace("\t", "\\t") + '"'
    # The newline after the opening marks is not part of the text.
    return '"""\n' + escaped.replace('"""', '""\\"') + '"""'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return "\\\\" if character == "\\" else f"\\u{ord(character):04x}"
