"""The rows that a document is, in whichever database."""

from collections.abc import Iterator

from avalan.retrieval.chunks import split
from avalan.retrieval.documents import Document
from avalan.retrieval.entities import width
from avalan.retrieval.headings import Trail, follow

Row = tuple[str, str, int, int, str]
"""(heading, text, start_byte, end_byte, locator) of a passage."""


def blocks(document: Document) -> Iterator[tuple[str, list[Row]]]:
    """The text of each block, and the passages in it."""
    above: Trail = ()
    line = 1
    encoding = document.offset_encoding
    for block in document.blocks():
        rows: list[Row] = []
        char, end = 0, block.start
        for chunk in split(block.text, block.headings, above=above, cuts=document.format.cuts):
            line += block.text.count("\n", char, chunk.start)
            start = end + width(block.text[char : chunk.start], encoding)
            if document.offsets_in == "file":
                locator = f"line {line}"
            else:
                locator = block.locator(chunk.start, chunk.end) or chunk.heading
            char, end = chunk.end, start + width(chunk.text, encoding)
            line += chunk.text.count("\n")
            rows.append((chunk.heading, chunk.text, start, end, locator))
        yield block.text, rows
        line += block.text.count("\n", char)
        above = follow(above, block.headings)
