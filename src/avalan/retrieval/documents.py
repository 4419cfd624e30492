"""Read documents in blocks, whatever their size, and say exactly where each block stands.

A file is read twice: once to see whether it is text, in which encoding, and to take its hash, and
once to yield its blocks. Neither time is it held whole in memory.
"""

import codecs
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from avalan.errors import RetrievalError, reason_of
from avalan.locale import _, _n
from avalan.retrieval import encodings
from avalan.retrieval.extract import Extraction
from avalan.retrieval.headings import Heading, HeadingFinder, Layout

OffsetsIn = Literal["file", "extracted"]

LAYOUTS: dict[str, Layout] = {
    ".txt": "text",
    ".md": "markdown",
    ".rst": "rest",
    ".py": "python",
    ".html": "html",
}

BLOCK_CHARS = 1 << 18
_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 1 << 12
"""Where a byte order mark or a page's declaration of its encoding stands; enough to guess from."""


class Unreadable(RetrievalError):
    """A file whose text cannot be had; `reason` completes "… cannot be indexed: "."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(_("{path} cannot be indexed: {reason}.", path=_shown(path), reason=reason))
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file or folder that was passed over."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive text of a document that ends where a paragraph does, if that is possible."""

    text: str
    start: int
    """Bytes before it: in the file, byte order mark included, or in the extracted UTF-8 text."""
    headings: tuple[Heading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that is text."""

    path: Path
    layout: Layout
    encoding: str
    """How the file's bytes become text."""
    bom_bytes: int = 0
    """Length of the byte order mark that the text comes after."""
    digest: bytes
    """SHA-256 of the file's bytes."""
    size_bytes: int

    @property
    def source(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def offsets_in(self) -> OffsetsIn:
        """What the blocks' offsets count: bytes of the file, or of its extracted text."""
        return "extracted" if self.layout == "html" else "file"

    @property
    def offset_encoding(self) -> str:
        """The encoding of the bytes that offsets count."""
        return "utf-8" if self.offsets_in == "extracted" else self.encoding

    def blocks(self) -> Iterator[Block]:
        """The text, in order and complete.

        Raises:
            Unreadable: the file is not what it was when it was surveyed.
        """
        if self.layout == "html":
            return _extracted(self._pieces())
        return self._plain()

    def _plain(self) -> Iterator[Block]:
        finder = HeadingFinder(self.layout)
        start = self.bom_bytes
        for text in paragraphs(self._pieces(), BLOCK_CHARS):
            yield Block(text=text, start=start, headings=finder.find(text))
            start += width(text, self.encoding)

    def _pieces(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                digest.update(file.read(self.bom_bytes))
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
                    yield decoder.decode(piece)
                yield decoder.decode(b"", final=True)
        except OSError as error:
            raise _unopened(self.path, error) from None
        except UnicodeDecodeError:
            raise _changed(self.path) from None
        if digest.digest() != self.digest:
            raise _changed(self.path)


def survey(path: Path) -> Document:
    """What kind of text the file at `path` (absolute) is.

    Raises:
        Unreadable: it is missing, empty, binary, of an unknown type, or cannot be opened.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise Unreadable(path, _("its name is not valid Unicode; rename it")) from None
    layout = LAYOUTS.get(path.suffix.lower())
    if layout is None:
        reason = _n("a name without a type is not one of {known}")
        if path.suffix:
            reason = _n("its type {type} is not one of {known}")
        raise Unreadable(path, _(reason, type=path.suffix, known=" ".join(LAYOUTS)))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable(path, _("it is not a regular file"))
        with path.open("rb") as file:
            return _surveyed(path, layout, file)
    except OSError as error:
        raise _unopened(path, error) from None


def width(text: str, encoding: str) -> int:
    """Bytes of `text` in `encoding`."""
    return len(text) if text.isascii() and encoding[:6] != "utf-16" else len(text.encode(encoding))


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _changed(path: Path) -> Unreadable:
    return Unreadable(path, _("it changed while it was being read"))


def _unopened(path: Path, error: OSError) -> Unreadable:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return Unreadable(path, _("it is a link that leads nowhere"))
        return Unreadable(path, _("there is no such file"))
    return Unreadable(path, _("it cannot be opened ({reason})", reason=reason_of(error)))


def _surveyed(path: Path, layout: Layout, file: BinaryIO) -> Document:
    head = file.read(_HEAD_BYTES)
    if not head:
        raise Unreadable(path, _("it is empty"))
    candidates = encodings.candidates(head, is_page=layout == "html")
    digest = hashlib.sha256()
    size = 0
    piece = head
    while piece:
        digest.update(piece)
        size += len(piece)
        candidates = [candidate for candidate in candidates if candidate.accepts(piece)]
        if not candidates:
            break  # Nothing can read it: the rest of a large binary file need not be seen.
        piece = file.read(_PIECE_BYTES)
    found = next((candidate for candidate in candidates if candidate.holds()), None)
    if found is None:
        raise Unreadable(path, _("it is binary, or text that is not UTF-8, UTF-16 or Windows-1252"))
    return Document(
        path=path,
        layout=layout,
        encoding=found.encoding,
        bom_bytes=len(found.bom),
        digest=digest.digest(),
        size_bytes=size,
    )


# --- blocks ---------------------------------------------------------------------------------


def paragraphs(pieces: Iterable[str], size: int) -> Iterator[str]:
    """The same text in blocks of about `size` characters that end where a paragraph does."""
    held = ""
    for piece in pieces:
        held += piece
        while len(held) >= 2 * size:
            cut = _last_gap(held, size)
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


# A carriage return at the very end may be half of a line's end.
_GAPS = tuple(map(re.compile, (r"\n[^\S\n]*\n", r"\r\n|\n|\r(?!\Z)", r"[^\S\r]")))


def _last_gap(text: str, earliest: int) -> int:
    """Where to cut after `earliest`: past a blank line, else a line, else a word, else at once."""
    for gap in _GAPS:
        if match := gap.search(text, earliest):
            return match.end()
    return earliest


def _extracted(pieces: Iterable[str]) -> Iterator[Block]:
    extraction = Extraction(BLOCK_CHARS)
    start = 0
    for text, headings in extraction.blocks(pieces):
        yield Block(text=text, start=start, headings=headings)
        start += width(text, "utf-8")
