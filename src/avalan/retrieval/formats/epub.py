"""EPUB books: the chapters in the order in which they are read.

Source: EPUB 3.3, https://www.w3.org/TR/epub-33/; what is used of it EPUB 2 has too.
"""

import codecs
import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZipFile

from avalan.locale import _
from avalan.retrieval import documents, encodings
from avalan.retrieval.documents import Part, Unreadable, damaged
from avalan.retrieval.formats import archive
from avalan.retrieval.formats.html import Extraction

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html"})


def read(document: documents.Document) -> Iterator[Part]:
    """The chapters, each at its title, or at its file's name where it has none.

    Raises:
        Unreadable: it is no EPUB, damaged, protected, or a bomb.
    """
    path = document.path
    with archive.opened(path) as book:
        names = _spine(path, book)
        if _ENCRYPTION in book.namelist():
            found = archive.elements(path, archive.content(path, book, _ENCRYPTION))
            uris = {unquote(values.get("URI", "")) for _name, values in found}
            if uris & set(names):
                raise Unreadable(path, _("it is protected against copying"))
        for name in names:
            yield from _chapter(name, archive.content(path, book, name))


def _spine(path: Path, book: ZipFile) -> list[str]:
    """The names of the chapters' files in the book, in their order, each once."""
    container = archive.elements(path, archive.content(path, book, _CONTAINER))
    roots = [values.get("full-path", "") for name, values in container if name == "rootfile"]
    if not roots:
        raise damaged(path)
    package = archive.elements(path, archive.content(path, book, roots[0]))
    items = {values.get("id"): values for name, values in package if name == "item"}
    chapters = [items.get(values.get("idref"), {}) for name, values in package if name == "itemref"]
    hrefs = [each.get("href", "") for each in chapters if each.get("media-type") in _PAGES]
    folder = posixpath.dirname(roots[0])
    names = [posixpath.normpath(posixpath.join(folder, unquote(href))) for href in hrefs]
    return list(dict.fromkeys(names))


def _chapter(name: str, data: bytes) -> Iterator[Part]:
    locator = ""
    for text, headings in Extraction(documents.BLOCK_CHARS).blocks([_decoded(data)]):
        # A page's <title> is often the book's; its first heading is the chapter's.
        first = next((each for each in headings if each.level), next(iter(headings), None))
        locator = locator or (first.title if first else posixpath.basename(name))
        yield Part(text=text.rstrip("\n") + "\n\n", headings=headings, locator=locator)


def _decoded(data: bytes) -> str:
    for candidate in encodings.candidates(data[:4096], is_page=True):
        if candidate.accepts(data) and candidate.holds():
            text = codecs.decode(data.removeprefix(candidate.bom), candidate.encoding)
            return str(text)
    return data.decode("utf-8", "replace").replace("\0", "")
