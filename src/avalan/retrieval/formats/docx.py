"""Word documents: paragraphs, headings, lists and tables, in their order."""

from collections.abc import Iterator
from typing import Any

from docx import Document as open_docx
from docx.oxml.ns import qn

from avalan.retrieval.documents import Document, Part, damaged
from avalan.retrieval.formats import archive
from avalan.retrieval.headings import MAX_TITLE, Heading

_P, _TABLE, _ROW, _CELL = map(qn, ("w:p", "w:tbl", "w:tr", "w:tc"))
_NUMBERED = f"{qn('w:pPr')}/{qn('w:numPr')}"
_IS_HEADER = f"{qn('w:trPr')}/{qn('w:tblHeader')}"
_PASSED_THROUGH = frozenset(map(qn, ("w:sdt", "w:sdtContent", "w:customXml", "w:ins", "w:moveTo")))
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_WORDS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_LEVELS = {"Title": 0} | {f"Heading {level}": level for level in range(1, 10)}
_MIN_COLUMNS = 3
"""Of a table whose first row is taken for its header without being marked as one."""


def read(document: Document) -> Iterator[Part]:
    """Each paragraph, and each row of a table with the names of its columns.

    Before the first heading the places are "paragraph 12"; after it the headings are.

    Raises:
        Unreadable: it is no Word document, damaged, encrypted, or a bomb.

    Source: ECMA-376, part 1, §17.
    """
    path = document.path
    with archive.opened(path) as packed:
        archive.unpack(path, packed)
    try:
        yield from _parts(path.as_posix())
    except Exception:
        # The library takes a file to be sound, and fails in as many ways as one can be broken:
        # KeyError, AttributeError, lxml's errors and its own.
        raise damaged(path) from None


def _parts(path: str) -> Iterator[Part]:
    word = open_docx(path)
    names = {style.style_id: style.name or "" for style in word.styles}
    body = word.element.body
    for fallback in list(body.iter(_FALLBACK)):  # It says again what stands before it.
        fallback.getparent().remove(fallback)
    has_heading = False
    for number, item in enumerate(_items(body, _P, _TABLE), 1):
        if item.tag == _TABLE:
            text, name = "\n".join(_rows(item)), ""
        else:
            text, name = _text(item).strip(), names.get(item.style, "")
        if not text:
            continue
        headings: tuple[Heading, ...] = ()
        if name in _LEVELS and len(text) <= MAX_TITLE:
            title = " ".join(text.split())
            headings = (Heading(start=0, end=len(text), level=_LEVELS[name], title=title),)
            has_heading = True
        elif name.startswith("List") or item.find(_NUMBERED) is not None:
            text = f"- {text}"
        locator = "" if has_heading else f"paragraph {number}"
        yield Part(text=text + "\n\n", headings=headings, locator=locator)


def _items(parent: Any, *tags: str) -> Iterator[Any]:
    """The elements with one of `tags` right below `parent`, or below what only wraps them."""
    for child in parent:
        if child.tag in tags:
            yield child
        elif child.tag in _PASSED_THROUGH:
            yield from _items(child, *tags)


def _text(element: Any) -> str:
    """The words below `element`; those that were deleted are in elements of other names."""
    pieces = element.iter(qn("w:t"), *_WORDS)
    return "".join(_WORDS.get(piece.tag, piece.text or "") for piece in pieces)


def _rows(table: Any) -> Iterator[str]:
    """The rows, as in "| name: Anna | age: 30" where the first one is a header."""
    rows = list(_items(table, _ROW))
    cells = [[_cell(cell) for cell in _items(row, _CELL)] for row in rows]
    if not cells:
        return
    header = cells[0]
    is_marked = rows[0].find(_IS_HEADER) is not None
    is_header = len(rows) > 1 and all(header) and len(set(header)) == len(header)
    if is_header and (is_marked or len(header) >= _MIN_COLUMNS):
        for row in cells[1:]:
            named = zip(header, row, strict=False)
            yield "".join(f"| {name}: {value} " for name, value in named if value).strip()
    else:
        yield from ("".join(f"| {value} " for value in row if value).strip() for row in cells)


def _cell(cell: Any) -> str:
    return " ".join(" ".join(_text(paragraph).split()) for paragraph in cell.iter(_P)).strip()
