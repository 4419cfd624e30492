"""Notebooks: the cells' text and code, and what the code printed."""

import json
from collections.abc import Iterator
from typing import Any

from avalan.retrieval.documents import Document, Part, damaged
from avalan.retrieval.headings import HeadingFinder

_MAX_OUTPUT = 2_000
"""Characters of a cell's output; a table's beginning says what it is."""


def read(document: Document) -> Iterator[Part]:
    """Each cell with its output, at "cell 7", counted from 1.

    Raises:
        Unreadable: it is no notebook.

    Source: the format's description, https://nbformat.readthedocs.io, versions 3 and 4.
    """
    try:
        notebook = json.loads("".join(document.pieces()))
    except (ValueError, RecursionError):
        raise damaged(document.path) from None
    finder = HeadingFinder("markdown")
    cells = _cells(notebook)
    if cells is None:
        raise damaged(document.path)
    for number, cell in enumerate(cells, 1):
        text = _text(cell.get("source", cell.get("input"))).strip("\n")
        is_prose = cell.get("cell_type") == "markdown"
        # An output's marks are no headings, and neither are the comments of code.
        headings = finder.find(text) if is_prose else ()
        printed = "".join(map(_printed, _dicts(cell.get("outputs")))).strip("\n")
        text = "\n\n".join(filter(str.strip, (text, printed[:_MAX_OUTPUT])))
        if text:
            yield Part(text=text + "\n\n", headings=headings, locator=f"cell {number}")


def _cells(notebook: Any) -> list[dict[str, Any]] | None:
    if not isinstance(notebook, dict):
        return None
    sheets = _dicts(notebook.get("worksheets")) or [notebook]
    lists = [sheet["cells"] for sheet in sheets if isinstance(sheet.get("cells"), list)]
    return [cell for cells in lists for cell in _dicts(cells)] if lists else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A string, or the lines of one; what no text file could hold is replaced."""
    lines = value if isinstance(value, list) else [value]
    text = "".join(line for line in lines if isinstance(line, str))
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", " ")


def _printed(output: dict[str, Any]) -> str:
    data = output.get("data")
    shown = data.get("text/plain") if isinstance(data, dict) else output.get("text")
    if output.get("ename"):
        shown = f"{output['ename']}: {output.get('evalue', '')}"
    return _text(shown).rstrip("\n") + "\n"
