"""What a judge makes of the textbook without a search, each part of its judgement by itself.

Every question is read beside its own page and beside the stranger that shares most words with it;
every claim is held against its page.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from avalan.data.pairs import strangers
from avalan.data.textbook import Inquiry, Page, Textbook
from avalan.model.entities import GRADES
from avalan.reflection.judge import Judge
from avalan.reflection.matching import best, exact_match, token_f1
from avalan.retrieval.entities import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """A question beside a page, and what the judge made of it."""

    group: str
    """The page that the question is about."""
    own: bool
    """Whether it is the page that was read."""
    answerable: bool
    """Whether the page that was read answers."""
    f1: float
    exact: float
    """Against the best gold answer; 0 where there is none."""
    confidence: float
    relevance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upheld:
    """A claim held against its page; grades are indexes into `GRADES`."""

    group: str
    grade: int
    said: int


def pointed(judge: Judge, book: Textbook) -> Iterator[Pointed]:
    """Each question beside its own page, then beside a stranger."""
    pages = {page.id: page for page in book.pages}
    beside = strangers(book, 1)
    for each in book.inquiries:
        yield _pointed(judge, each, pages[each.passage])
        for page in beside[each.id]:
            yield _pointed(judge, each, page)


def upheld(judge: Judge, book: Textbook) -> Iterator[Upheld]:
    """Each claim."""
    pages = {page.id: page for page in book.pages}
    for each in book.claims:
        shares = judge.support(each.claim, as_passage(pages[each.passage]))
        said = shares.index(max(shares))
        yield Upheld(group=each.passage, grade=GRADES.index(each.support), said=said)


def as_passage(page: Page) -> Passage:
    """A whole page as one passage."""
    size = len(page.text.encode())
    return Passage(
        source=page.id, start=0, end=size, text=page.text, heading=page.title, offsets_in="file"
    )


def _pointed(judge: Judge, inquiry: Inquiry, page: Page) -> Pointed:
    own = inquiry.passage == page.id
    golds = inquiry.answers if own else ()
    reading = judge.read(inquiry.question, as_passage(page))
    answer = page.text[slice(*reading.span)] if reading.span else ""
    return Pointed(
        group=inquiry.passage,
        own=own,
        answerable=bool(golds),
        f1=best(token_f1, answer, golds),
        exact=best(exact_match, answer, golds),
        confidence=reading.confidence,
        relevance=reading.relevance,
    )
