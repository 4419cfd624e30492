"""Tables as text: where each record ends, and what the columns are called."""

import re
from collections.abc import Iterator

# A quote opens a cell only where one may begin, so that a stray one stays within its line.
_RECORD = re.compile(
    r'(?:(?:\A|(?<=[,;\t|\r\n]))"(?:[^"]|"")*+"|[^\r\n])*+(?:\r\n|\r|\n|\Z)',
)
_CELL = re.compile(r'[ ]*(?:"((?:[^"]|"")*)"|([^,;\t|]*))[ ]*(?:[,;\t|]|\Z)')
_NUMBER = re.compile(r"[\s\d.,:%€$£+-]+")


def record_ends(text: str) -> Iterator[int]:
    """Where the records of `text` end, in characters, their line ends included."""
    end = 0
    while end < len(text) and (match := _RECORD.match(text, end)):
        end = match.end()
        yield end


def columns(text: str) -> tuple[str, int]:
    """The names of the columns, as in "name, age", and where the first record ends.

    Empty where that record is data: where a cell of it is a number, empty, or there twice.
    """
    end = next(record_ends(text), 0)
    record = text[:end].strip("\ufeff\r\n")
    found = [" ".join((quoted or plain).split()) for quoted, plain in _CELL.findall(record)]
    cells = found[:-1] if found and not found[-1] and record[-1:] not in ",;\t|" else found
    is_header = cells and all(cells) and len(set(cells)) == len(cells)
    if not is_header or any(_NUMBER.fullmatch(cell) for cell in cells):
        return "", end
    return ", ".join(cells), end
