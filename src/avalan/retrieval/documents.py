"""Read documents in blocks, whatever their size, and say exactly where each block stands.

A file is read twice: once to see whether it is text, in which encoding, and to take its hash, and
once to yield its blocks. Neither time is it held whole in memory. Formats that are not text have
readers of their own (`formats/`), whose parts of a text are gathered into blocks here.
"""

import codecs
import gzip
import hashlib
import os
import re
import stat
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedIOBase
from operator import itemgetter
from pathlib import Path

from avalan.errors import MissingExtra, RetrievalError, reason_of
from avalan.extras import install_command
from avalan.locale import _
from avalan.retrieval import encodings
from avalan.retrieval.entities import OffsetsIn, width
from avalan.retrieval.formats import Format, format_of
from avalan.retrieval.headings import Heading, HeadingFinder

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
class Part:
    """What a reader extracts at a time: a page, a cell, some paragraphs; it ends in a gap."""

    text: str
    headings: tuple[Heading, ...] = ()
    locator: str = ""
    """Where a person finds it, as in "page 12"; "" where headings are all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive text of a document that ends where a paragraph does, if that is possible."""

    text: str
    start: int
    """Bytes before it: in the file, byte order mark included, or in the extracted UTF-8 text."""
    headings: tuple[Heading, ...]
    places: tuple[tuple[int, str], ...] = ()
    """(character, locator) of the extracted parts that have a locator, in order."""

    def locator(self, start: int, end: int) -> str:
        """Where a person finds `text[start:end]`, as in "page 12" or "page 12–13"; may be ""."""
        if not self.places or start < self.places[0][0]:
            return ""
        first, last = (
            self.places[bisect_right(self.places, at, key=itemgetter(0)) - 1][1]
            for at in (start, end - 1)
        )
        kind, _space, number = last.rpartition(" ")
        is_next = first != last and number.isdigit() and first.startswith(f"{kind} ")
        return f"{first}–{number}" if is_next else first


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that is text."""

    path: Path
    format: Format
    encoding: str
    """How the file's bytes become text."""
    bom_bytes: int = 0
    """Length of the byte order mark that the text comes after."""
    digest: bytes
    """SHA-256 of the file's bytes; of those that are compressed in it, if it is a .gz."""
    size_bytes: int

    @property
    def source(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def offsets_in(self) -> OffsetsIn:
        """What the blocks' offsets count: bytes of the file, or of its extracted text."""
        return "extracted" if self.format.reader else "file"

    @property
    def offset_encoding(self) -> str:
        """The encoding of the bytes that offsets count."""
        return "utf-8" if self.offsets_in == "extracted" else self.encoding

    def blocks(self) -> Iterator[Block]:
        """The text, in order and complete.

        Raises:
            Unreadable: the file is not what it was when it was surveyed, it is damaged, or
                reading it needs a package that is not installed.
        """
        return self._extracted() if self.format.reader else self._plain()

    def _plain(self) -> Iterator[Block]:
        finder = HeadingFinder(self.format.layout)
        start = self.bom_bytes
        for text in paragraphs(self.pieces(), BLOCK_CHARS):
            yield Block(text=text, start=start, headings=finder.find(text))
            start += width(text, self.encoding)

    def _extracted(self) -> Iterator[Block]:
        try:
            reader = self.format.load_reader()
        except MissingExtra:
            command = install_command(str(self.format.extra))
            reason = _("reading it needs a package that is not installed; run: {x}", x=command)
            raise Unreadable(self.path, reason) from None
        yield from _gathered(reader.read(self), BLOCK_CHARS)
        if self.format.is_binary:
            with _opened(self.path) as file:
                if hashlib.file_digest(file, "sha256").digest() != self.digest:
                    raise _changed(self.path)

    def pieces(self) -> Iterator[str]:
        """The file's text, piece by piece.

        Raises:
            Unreadable: the file is not what it was when it was surveyed.
        """
        decoder = codecs.getincrementaldecoder(self.encoding)()
        digest = hashlib.sha256()
        try:
            with _opened(self.path) as file:
                digest.update(file.read(self.bom_bytes))
                while piece := file.read(_PIECE_BYTES):
                    digest.update(piece)
                    yield decoder.decode(piece)
                yield decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise _changed(self.path) from None
        if digest.digest() != self.digest:
            raise _changed(self.path)


def survey(path: Path) -> Document:
    """What kind of text the file at `path` (absolute) is.

    Raises:
        Unreadable: it is missing, empty, too large, binary, of an unknown type, or cannot be
            opened.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise Unreadable(path, _("its name is not valid Unicode; rename it")) from None
    form = format_of(path)
    if form is None:
        raise Unreadable(path, _("files of its type, {type}, are not read", type=path.suffix))
    try:
        status = path.stat()
    except OSError as error:
        raise _unopened(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable(path, _("it is not a regular file"))
    if status.st_size > form.max_bytes:
        raise too_large(path, form.max_bytes)
    with _opened(path) as file:
        return _surveyed(path, form, file)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    """The file's bytes, unpacked if it is a .gz."""
    try:
        with path.open("rb") as file:
            packed = path.suffix.lower() == ".gz"
            yield gzip.GzipFile(fileobj=file) if packed else file
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path) from None
    except OSError as error:
        raise _unopened(path, error) from None


def damaged(path: Path) -> Unreadable:
    """What is said of a file that does not hold to its format."""
    return Unreadable(path, _("it is damaged, or not what its name says"))


def too_large(path: Path, max_bytes: int) -> Unreadable:
    """What is said of a file of which more than `max_bytes` would have to be read."""
    size = max_bytes >> 20
    return Unreadable(path, _("it is larger than {size:,} MiB; divide it", size=size))


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


def _surveyed(path: Path, form: Format, file: BufferedIOBase) -> Document:
    head = file.read(_HEAD_BYTES)
    if not head:
        raise Unreadable(path, _("it is empty"))
    candidates = encodings.candidates(head, is_page=form.reader == "html")
    if form.is_binary:
        candidates = [encodings.Candidate("latin-1", refused=re.compile(r"(?!)"))]
    digest = hashlib.sha256()
    size = 0
    piece = head
    while piece:
        digest.update(piece)
        size += len(piece)
        if size > form.max_bytes:
            raise too_large(path, form.max_bytes)
        candidates = [candidate for candidate in candidates if candidate.accepts(piece)]
        if not candidates:
            break  # Nothing can read it: the rest of a large binary file need not be seen.
        piece = file.read(_PIECE_BYTES)
    found = next((candidate for candidate in candidates if candidate.holds()), None)
    if found is None:
        raise Unreadable(path, _("it is binary, or text that is not UTF-8, UTF-16 or Windows-1252"))
    return Document(
        path=path,
        format=form,
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


def _gathered(parts: Iterable[Part], size: int) -> Iterator[Block]:
    """Blocks of at least `size` characters, the last excepted, that are whole parts."""
    start, length, held = 0, 0, list[Part]()
    for part in parts:
        if length >= size:
            yield (block := _joined(held, start))
            start, length, held = start + width(block.text, "utf-8"), 0, []
        held.append(part)
        length += len(part.text)
    if held:
        yield _joined(held, start)


def _joined(parts: list[Part], start: int) -> Block:
    headings: list[Heading] = []
    places: list[tuple[int, str]] = []
    position = 0
    for part in parts:
        headings += [
            replace(heading, start=heading.start + position, end=heading.end + position)
            for heading in part.headings
        ]
        if part.locator != (places[-1][1] if places else ""):
            places.append((position, part.locator))
        position += len(part.text)
    text = "".join(part.text for part in parts)
    return Block(text=text, start=start, headings=tuple(headings), places=tuple(places))
