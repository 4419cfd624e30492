"""ZIP files that may have been made to harm: what they hold is bounded before and while reading."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.parsers import expat

from avalan.locale import _
from avalan.retrieval.documents import Unreadable, damaged

_MAX_FILES = 10_000
MAX_BYTES = 256 << 20
"""Of all files together, unpacked; a long book with its pictures has a tenth of it."""
_MAX_RATIO = 200
"""Of a file's size to what it takes up packed; XML reaches 50."""
_SMALL = 1 << 20
"""Bytes below which the ratio says nothing: a short page of one letter."""
MAX_XML_BYTES = 16 << 20
"""Of one file of XML, which takes up twenty times as much when it is parsed."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE_BYTES = 1 << 16


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The ZIP file at `path`, if its directory holds nothing that is too much.

    Raises:
        Unreadable: it is no ZIP file, damaged (also where that shows later), encrypted, or a bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError):
        raise damaged(path) from None


def _check(path: Path, archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable(path, _("it is encrypted; save a copy without a password"))
    is_bomb = (
        len(entries) > _MAX_FILES
        or sum(entry.file_size for entry in entries) > MAX_BYTES
        or any(entry.compress_type not in _METHODS for entry in entries)
        or any(entry.file_size > max(_SMALL, _MAX_RATIO * entry.compress_size) for entry in entries)
    )
    if is_bomb:
        raise _bomb(path)


def _bomb(path: Path) -> Unreadable:
    return Unreadable(path, _("unpacked it would be far larger than a document is"))


def content(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """The file called `name`, whatever size its header says it has.

    Raises:
        Unreadable: there is none, or it is too large.
    """
    try:
        with archive.open(name) as file:
            data = file.read(MAX_XML_BYTES + 1)
    except KeyError:
        raise damaged(path) from None
    if len(data) > MAX_XML_BYTES:
        raise _bomb(path)
    return data


def unpack(path: Path, archive: zipfile.ZipFile) -> None:
    """Read every file once, so that one that is not what its header says shows here.

    Raises:
        Unreadable: together they are too large.
    """
    size = 0
    for entry in archive.infolist():
        with archive.open(entry) as file:
            own = 0
            while piece := file.read(_PIECE_BYTES):
                size, own = size + len(piece), own + len(piece)
                is_xml = entry.filename.lower().endswith((".xml", ".rels"))
                if size > MAX_BYTES or (is_xml and own > MAX_XML_BYTES):
                    raise _bomb(path)


def elements(path: Path, data: bytes) -> list[tuple[str, dict[str, str]]]:
    """(name without namespace, attributes) of each element of an XML text, in order.

    Raises:
        Unreadable: it is no XML, or it defines entities, by which a little becomes a lot.
    """
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def refuse(*_args: object) -> None:
        raise damaged(path)

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, values: found.append(
        (name.rpartition(" ")[2], values)
    )
    try:
        parser.Parse(data, True)
    except expat.ExpatError:
        raise damaged(path) from None
    return found
