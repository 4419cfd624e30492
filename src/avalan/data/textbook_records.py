"""The textbook as records: its questions over its pages, its claims, and its prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from avalan.data.noise import as_keyed, as_typed
from avalan.data.reading import ABSTENTION
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook, words_of
from avalan.data.worlds import Level
from avalan.model.entities import Message
from avalan.reflection.judge import Support
from avalan.reflection.record import (
    LossWeights,
    Record,
    RecordPassage,
    Segment,
    Split,
)

_PROMPTS = 0.3
"""Share of the records that are decisions alone."""
_OTHER = 0.4
"""Share of the questions over one page that is not theirs."""
_LIKENED = 20
"""Pages of which the likest is taken."""


def textbook_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records: a question over its page and up to two others, or a prompt's decision."""
    pages = {page.id: page for page in book.pages}

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        if book.prompts and rng.random() < _PROMPTS:
            return _decided(rng.choice(book.prompts), identifier, split)
        return _read(rng.choice(book.inquiries), pages, rng, identifier, split)

    return make


def prompts_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records of the decision alone: one of the textbook's prompts, as somebody types it."""

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        prompt = rng.choice(book.prompts)
        # Courtesies are English.
        typed = as_typed if prompt.language == "en" else as_keyed
        return _decided(replace(prompt, prompt=typed(prompt.prompt, rng)), identifier, split)

    return make


def single_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records of a question over one page, as a judge reads: its own, or one that is like it.

    What another page says of the question is not looked at, so that it is nothing.
    """
    pages = {page.id: page for page in book.pages}
    words = {page.id: set(words_of(f"{page.title} {page.text}")) for page in book.pages}

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        inquiry = rng.choice(book.inquiries)
        if rng.random() >= _OTHER:
            return _answered(inquiry, (pages[inquiry.passage],), identifier, split)
        others = _strangers(inquiry, pages)
        asked = set(words_of(inquiry.question))
        likest = max(
            rng.sample(others, min(len(others), _LIKENED)),
            key=lambda page: len(words[page.id] & asked),
        )
        elsewhere = replace(inquiry, answers=(), passage=likest.id)
        return _answered(elsewhere, (likest,), identifier, split)

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
    inquiry: Inquiry, pages: Mapping[str, Page], rng: Random, identifier: str, split: Split
) -> Record:
    own, others = pages[inquiry.passage], _strangers(inquiry, pages)
    shown = rng.sample(others, min(len(others), rng.choice((0, 0, 0, 1, 1, 2))))
    if inquiry.answers:
        shown.append(own)  # The answer is copied from the last.
    else:
        shown.insert(rng.randint(0, len(shown)), own)
    return _answered(inquiry, shown, identifier, split)


def _strangers(inquiry: Inquiry, pages: Mapping[str, Page]) -> list[Page]:
    """Pages that cannot answer: neither the question's own, nor another version, nor needed too."""
    own = pages[inquiry.passage]
    kin = {own.id, own.version_of, *(name for name, _piece in inquiry.elsewhere)}
    return [page for page in pages.values() if page.id not in kin and page.version_of != own.id]


def _answered(inquiry: Inquiry, shown: Sequence[Page], identifier: str, split: Split) -> Record:
    """The answer of the last page shown, or that there is none."""
    answerable = bool(inquiry.answers)
    own = next(page for page in shown if page.id == inquiry.passage)
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
