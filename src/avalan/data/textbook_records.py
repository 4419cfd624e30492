"""The textbook as records: its questions over its pages, its claims, and its prompts."""

from collections.abc import Callable, Sequence
from random import Random

from avalan.data.reading import ABSTENTION
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook
from avalan.data.worlds import Level
from avalan.model.entities import Message
from avalan.reflection.record import (
    LossWeights,
    Record,
    RecordPassage,
    Segment,
    Split,
    Support,
)

_PROMPTS = 0.3
"""Share of the records that are decisions alone."""


def textbook_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records: a question over its page and up to two others, or a prompt's decision."""
    pages = {page.id: page for page in book.pages}

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        if book.prompts and rng.random() < _PROMPTS:
            return _decided(rng.choice(book.prompts), identifier, split)
        return _read(rng.choice(book.inquiries), pages, rng, identifier, split)

    return make


def prompts_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records of the decision alone, one of the textbook's prompts each."""

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        return _decided(rng.choice(book.prompts), identifier, split)

    return make


def claims_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records of how far a page supports a claim, which is an answer to itself."""
    pages = {page.id: page for page in book.pages}

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        claim = rng.choice(book.claims)
        return _supported(claim, pages[claim.passage], identifier, split)

    return make


def _supported(claim: Claim, page: Page, identifier: str, split: Split) -> Record:
    # The tokens have one grade for what a page denies and what it does not mention.
    support: Support = "none" if claim.support == "contradicted" else claim.support
    segment = Segment(
        decision="retrieve",
        passages=(_passage(page, relevant=True),),
        text=claim.claim,
        support=support,
        cite=(page.id,),
    )
    return Record(
        id=identifier,
        messages=(Message(role="user", content=claim.claim),),
        segments=(segment,),
        split=split,
        source={"dataset": "textbook", "id": claim.id},
        # The claim is given; nobody is to learn to make claims.
        loss=LossWeights(text=0.0),
    )


def _decided(prompt: Prompt, identifier: str, split: Split) -> Record:
    return Record(
        id=identifier,
        messages=(Message(role="user", content=prompt.prompt),),
        segments=(Segment(decision=prompt.need),),
        lang=prompt.language,
        split=split,
        source={"dataset": "textbook", "id": prompt.id},
    )


def _read(
    inquiry: Inquiry, pages: dict[str, Page], rng: Random, identifier: str, split: Split
) -> Record:
    own = pages[inquiry.passage]
    kin = {own.id, own.version_of, *(name for name, _piece in inquiry.elsewhere)}
    others = [page for page in pages.values() if page.id not in kin and page.version_of != own.id]
    shown = rng.sample(others, min(len(others), rng.choice((0, 0, 0, 1, 1, 2))))
    answerable = bool(inquiry.answers)
    if answerable:
        shown.append(own)  # The answer is copied from the last.
    else:
        shown.insert(rng.randint(0, len(shown)), own)
    segment = Segment(
        decision="retrieve",
        passages=tuple(_passage(page, answerable and page is own) for page in shown),
        text=inquiry.answers[0] if answerable else ABSTENTION,
        support="full" if answerable else None,
        cite=(own.id,) if answerable else (),
        span=_place(own.text, inquiry.answers) if answerable else None,
    )
    return Record(
        id=identifier,
        messages=(Message(role="user", content=inquiry.question),),
        segments=(segment,),
        utility=5 if answerable else 2,
        answers=inquiry.answers,
        split=split,
        source={"dataset": "textbook", "id": inquiry.id},
    )


def _passage(page: Page, relevant: bool) -> RecordPassage:
    return RecordPassage(pid=page.id, title=page.title, text=page.text, relevant=relevant)


def _place(text: str, answers: Sequence[str]) -> tuple[int, int]:
    start = text.index(answers[0])
    return start, start + len(answers[0])
