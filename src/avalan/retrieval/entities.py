"""What an index gives: passages, and what it knows of a document."""

from dataclasses import dataclass
from typing import Literal

OffsetsIn = Literal["file", "extracted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk of a document, as found."""

    source: str
    """The file's path."""
    start: int
    end: int
    """Bytes of the file, or of the extracted text, as `offsets_in` says."""
    text: str
    """Exactly those bytes, decoded."""
    heading: str
    """The headings it stands under, outermost first, as in "Sequences > Lists"; may be empty."""
    offsets_in: OffsetsIn
    encoding: str = "utf-8"
    """Of the bytes that the offsets count."""
    locator: str = ""
    """Where a person finds it, as in "line 120", "page 12", or the title above it; may be empty."""
    score: float = 0.0
    """What it is ranked by, higher is better; 0 where nothing was searched for."""
    lexical: float = 0.0
    """BM25 of the words that it shares with the question."""
    dense: float | None = None
    """Cosine similarity to the question, -1 to 1; None where there are no vectors."""
    also: tuple["Passage", ...] = ()
    """Passages that say the same, folded into this one."""

    @property
    def page(self) -> str:
        """The locator of a document that is no text file, whose offsets nobody can go to."""
        return self.locator if self.offsets_in == "extracted" else ""

    def place(self, start_char: int) -> str:
        """The locator of `text[start_char:]`."""
        kind, _space, number = self.locator.partition(" ")
        if kind != "line" or self.offsets_in != "file":
            return self.locator
        lines_above = self.text.count("\n", 0, start_char)
        return f"line {int(number) + lines_above}"

    def locate(self, start_char: int, end_char: int) -> tuple[int, int]:
        """The byte offsets of `text[start_char:end_char]`, counted as `start` and `end` are."""
        start = self.start + width(self.text[:start_char], self.encoding)
        return start, start + width(self.text[start_char:end_char], self.encoding)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentInfo:
    """What an index knows of a document."""

    source: str
    num_passages: int
    size_bytes: int
    offsets_in: OffsetsIn


def width(text: str, encoding: str) -> int:
    """Bytes of `text` in `encoding`."""
    return len(text) if text.isascii() and encoding[:6] != "utf-16" else len(text.encode(encoding))
