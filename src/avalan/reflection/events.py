"""What the loop tells while it answers. Whoever shows it is a consumer and never changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from avalan.model.entities import Grade, Usage
from avalan.reflection.judge import Reading, Shares, Support
from avalan.retrieval.entities import OffsetsIn, Passage
from avalan.retrieval.sentences import around


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's verdict; whether a look-up was done is another matter."""

    retrieve: bool
    probability: float
    threshold: float
    judge: str
    way: str = "rules"
    """How the judge was asked; see `judge.Judge`."""
    after: str = ""
    """What was answered before it was asked: nothing, at the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """An answer from memory was tried."""

    text: str
    confidence: float
    threshold: float
    judge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the retriever found, in rank order, and how many of them will be read."""

    passages: tuple[Passage, ...]
    num_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A passage was judged; `rank` counts from 0."""

    rank: int
    passage: Passage
    reading: Reading
    threshold: float
    judge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where an answer stands: offsets are bytes, and `text` is exactly what stands there."""

    source: str
    start: int
    end: int
    text: str
    offsets_in: OffsetsIn
    locator: str = ""
    """Where a person finds it, as in "line 120" or "page 12"; may be empty."""
    before: str = ""
    """What stands before it in its sentence, …"""
    after: str = ""
    """… and after it."""
    dated: str = ""
    """When its document says that it is from, as in 2025-03-20; may be empty."""

    @classmethod
    def of(cls, passage: Passage, span: tuple[int, int], *, dated: str = "") -> Self:
        """A span of a passage's text, in characters."""
        start, end = passage.locate(*span)
        first, last = around(passage.text, span)
        return cls(
            source=passage.source,
            start=start,
            end=end,
            text=passage.text[slice(*span)],
            offsets_in=passage.offsets_in,
            locator=passage.place(span[0]),
            before=passage.text[first : span[0]],
            after=passage.text[span[1] : last],
            dated=dated,
        )

    @property
    def sentence(self) -> str:
        """The sentence, or the sentences, that it stands in."""
        return f"{self.before}{self.text}{self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reworded:
    """Nothing relevant was found, so other words are searched for."""

    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A sentence of a written answer."""

    text: str
    """With the white space before it."""
    mean_logprob: float | None
    """Of its tokens, natural; None where a server does not tell."""
    citation: Citation | None = None
    """Where it stands; None where no passage was shown."""
    support: Grade | None = None
    """How far that bears it out."""
    shares: Shares | None = None
    """The probability of each grade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of the loop."""

    question: str
    text: str | None
    """None for an abstention."""
    reason: str | None = None
    """Why there is no answer, in plain words, and what would help."""
    confidence: float = 0.0
    sure: bool = True
    """Whether that is enough to say it without reserve; see `panel.Thresholds`."""
    signs: Mapping[str, float] = field(default_factory=dict)
    """What speaks for it; see `trust`."""
    decision: Decision
    retrieved: bool
    passages: tuple[Passage, ...] = ()
    readings: tuple[Reading, ...] = ()
    citations: tuple[Citation, ...] = ()
    superseded: tuple[Citation, ...] = ()
    """What older versions of the cited document say instead."""
    stated: tuple[Stated, ...] = ()
    """The sentences, where the answer was written and not quoted."""
    support: Support | None = None
    utility: int | None = None
    graded_by: str = ""
    """The judges of support and utility."""
    model: str
    usage: Usage = field(default_factory=Usage)
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each step, by name."""

    @property
    def abstained(self) -> bool:
        """Whether no answer was given."""
        return self.text is None


Event = Decision | Drafted | Found | Reworded | Read | Stated | Citation | Answer
