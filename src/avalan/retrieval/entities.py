"""What an index gives: passages, what it knows of a document, and what happened to one."""

from dataclasses import dataclass

from avalan.retrieval.documents import OffsetsIn, Skipped, width


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
    score: float
    """BM25, higher is better; 0 where nothing was searched for."""
    offsets_in: OffsetsIn
    encoding: str = "utf-8"
    """Of the bytes that the offsets count."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A document is new in the index."""

    source: str
    num_passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A document's file had changed, and so have its passages."""

    source: str
    num_passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A document's file is as it was."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A document is no longer in the index, because its folder no longer has it as text."""

    source: str


Event = Added | Replaced | Unchanged | Dropped | Skipped
