"""Tables as text: aligned columns, or a block for each row where the columns have no room."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from avalan.cli.console import cell_width, neutralise
from avalan.cli.display.layout import Line, hang, padded, wrap

Table = tuple[list[str], list[list[str]]]
"""Headers and rows."""

_GAP = 2
_TABLE = re.compile(r"(?m)^ {0,3}\|.*\n {0,3}\|[ |:-]*-[ |:-]*$(\n {0,3}\|.*)*")


def drawn(
    headers: Sequence[str], rows: Iterable[Sequence[object]], width: int | None
) -> Iterator[Line]:
    """The lines of a table: numbers to the right, and no word broken in two.

    Args:
        width: columns of the terminal; None for a pipe, where each row is one line.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(headers, *cells, strict=True))
    right = [bool(cells) and all(map(_is_number, column[1:])) for column in columns]
    widths = _column_widths(columns, right, width)
    if widths is None:
        assert width is not None
        yield from _stacked(headers, cells, width)
        return
    yield from _row(headers, widths, right, "bold")
    for row in cells:
        yield from _row(row, widths, right, "")


def split_markdown(text: str, width: int) -> Iterator[str | Table]:
    """Markdown in pieces: the tables that have no room in `width` columns, and what is between."""
    rest = 0
    for match in _TABLE.finditer(text):
        headers, _, *rows = (_markdown_cells(line) for line in match[0].splitlines())
        cells = [(row + [""] * len(headers))[: len(headers)] for row in rows]
        columns = zip(headers, *cells, strict=True)
        if sum(max(map(cell_width, column)) + _GAP for column in columns) > width:
            yield text[rest : match.start()]
            yield headers, cells
            rest = match.end()
    yield text[rest:]


def _markdown_cells(line: str) -> list[str]:
    inner = re.sub(r"^\s*\|?|\|?\s*$", "", line)
    cells = (cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner))
    return [re.sub(r"\*\*|`", "", cell) for cell in cells]


def _column_widths(
    columns: Sequence[Sequence[str]], right: Sequence[bool], width: int | None
) -> list[int] | None:
    """Columns of a terminal for each column; None where their words have no room beside each other.

    A column of numbers is as wide as its widest cell; the others share what is left.
    """
    wanted = [max(map(cell_width, column)) for column in columns]
    if width is None or sum(wanted) + _GAP * (len(wanted) - 1) <= width:
        return wanted
    found = [
        most if is_number else max(map(cell_width, " ".join(column).split()), default=0)
        for column, most, is_number in zip(columns, wanted, right, strict=True)
    ]
    spare = width - sum(found) - _GAP * (len(found) - 1)
    if spare < 0 and len(columns[0]) > 1:
        return None
    for _ in range(spare):
        neediest = max(range(len(found)), key=lambda place: wanted[place] - found[place])
        found[neediest] += 1
    return found


def _stacked(headers: Sequence[str], cells: list[list[str]], width: int) -> list[Line]:
    """A block for each row, with a line or more for each cell that is not empty."""
    label = max(map(cell_width, headers), default=0) + _GAP
    lines: list[Line] = []
    for row in cells:
        lines += [[]] if lines else []
        for header, cell in zip(headers, row, strict=True):
            name = (padded(header, label), "dim")
            if header.strip() and cell.strip():
                lines += hang(name, [cell], width, indent=label, cut=False)
            elif cell.strip():
                lines += wrap([(cell, "bold")], width, cut=False)
    return lines


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return neutralise(text).replace("\n", "␊").replace("\t", " ")


def _is_number(cell: str) -> bool:
    return cell.strip()[:1].isdigit() or cell in ("", "-", "–")


def _row(
    row: Sequence[str], widths: Sequence[int], right: Sequence[bool], style: str
) -> Iterator[Line]:
    """The lines of one row; a cell that is wider than its column takes several."""
    columns = [_cell_lines(cell, width) for cell, width in zip(row, widths, strict=True)]
    for texts in zip_longest(*columns, fillvalue=""):
        aligned = (
            padded(text, width, right=is_number)
            for text, width, is_number in zip(texts, widths, right, strict=True)
        )
        yield [((" " * _GAP).join(aligned).rstrip(), style)]


def _cell_lines(cell: str, width: int) -> list[str]:
    if cell_width(cell) <= width:
        return [cell]
    return ["".join(text for text, _ in line) for line in wrap([cell], width, cut=False)]
