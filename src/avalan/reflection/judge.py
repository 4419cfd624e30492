"""What a judge says: of a question, of its own memory, of a passage. Policy is in the loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from avalan.model.entities import GRADES, Grade, Usage
from avalan.retrieval.entities import Passage

Support = Literal["full", "partial", "none"]
"""How far a passage bears out what is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An answer from memory."""

    text: str
    confidence: float
    """0 to 1; calibrated when the judge is."""
    utility: int | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    """The raw scores behind `confidence`, for calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a judge makes of one passage for one question."""

    relevance: float
    """P(the passage holds the answer), 0 to 1."""
    span: tuple[int, int] | None
    """Characters of the passage's text that answer; None when there is nothing to quote."""
    confidence: float
    """P(the span is right), 0 to 1; calibrated when the judge is."""
    support: Support | None = None
    utility: int | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    """The raw scores behind `confidence`, for calibration and the trace."""
    signs: Mapping[str, float] = field(default_factory=dict)
    """What else speaks for the span, if it is the one that is quoted; see `trust`."""


def above(heading: str) -> str:
    """A heading as it is read before its passage."""
    return f"{heading}\n\n" if heading else ""


Shares = tuple[float, float, float, float]
"""The probability of each of `GRADES`; they sum to one."""


def certain(grade: Grade) -> Shares:
    """All probability on one grade."""
    full, partial, contradicted, none = (float(each == grade) for each in GRADES)
    return full, partial, contradicted, none


def likeliest(shares: Shares) -> Grade:
    """The grade of the highest probability; the better one of equals."""
    return GRADES[shares.index(max(shares))]


def as_claim(question: str, answer: str) -> str:
    """A question with its answer, to be borne out together."""
    return f"{question} {answer}".strip()


def as_support(grade: Grade) -> Support:
    """A grade in the words of reflection tokens, which have none for `contradicted`."""
    return "none" if grade == "contradicted" else grade


Way = Literal["logits", "logprobs", "grammar"]
"""How a model that has no reflection tokens is asked; see `choice`."""


class Gate(Protocol):
    """What decides whether something is looked up."""

    @property
    def name(self) -> str: ...

    @property
    def way(self) -> str:
        """How it is asked: `rules`, a reader's `heads`, reflection `tokens`, or a `Way`."""

    def need(self, question: str, said: str = "") -> float:
        """P(the question, or what is still to say after `said`, needs a look-up), 0 to 1.

        Who judges questions alone says 0 in the middle of an answer.
        """

    def usage(self) -> Usage:
        """Tokens read and written since it was made."""


class Memory(Protocol):
    """What answers by heart."""

    @property
    def name(self) -> str: ...

    def remember(self, question: str) -> Draft | None:
        """An answer from memory, or None where there is none."""

    def usage(self) -> Usage:
        """Tokens read and written since it was made."""


class Judge(Gate, Memory, Protocol):
    """A source of judgements: a model's reflection tokens, the reader, rules."""

    def read(self, question: str, passage: Passage) -> Reading:
        """Judge a passage and quote the answer from it."""

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        """How probably, and how far, a passage bears out an answer, or a claim by itself."""

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        """The expected grade of an answer, 1 to 5; None for a judge that has no opinion."""
