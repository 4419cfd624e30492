"""The textbook as records: its questions over its pages, its claims, and its prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from avalan.data.cloze import gap, gap_record, sentences, shares_words
from avalan.data.noise import as_keyed, as_typed
from avalan.data.reading import ABSTENTION
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook, words_of
from avalan.data.worlds import Level
from avalan.errors import ConfigurationError
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
_ABSENT = 0.25
"""Share of the cloze questions that their page does not answer."""
_ATTEMPTS = 1_000
"""Sentences that are looked at for one cloze question; every textbook of ours needs fewer."""
_MOST_BESIDE = 4
"""Sentences that are shown before the answer's at most, and after it."""
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


def near_maker(book: Textbook) -> Callable[..., Record]:
    """Makes records of a question over a few sentences of one page: those around its answer, or
    some of a page that is like it.

    They cost a fraction of a whole page's tokens, and no two of them are the same.
    """
    whole = single_maker(book)

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        record = whole(rng, level, identifier=identifier, split=split)
        (segment,) = record.segments
        (page,) = segment.passages
        start, end = _excerpt(page.text, segment.span, rng)
        span = segment.span and (segment.span[0] - start, segment.span[1] - start)
        shown = replace(page, text=page.text[start:end])
        return replace(record, segments=(replace(segment, passages=(shown,), span=span),))

    return make


def blanks_maker(book: Textbook) -> Callable[..., Record]:
    """Makes cloze records over a few sentences of a page; a quarter asks for another page's."""

    def make(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
        absent = rng.random() < _ABSENT
        for _attempt in range(_ATTEMPTS):
            page, other = rng.choice(book.pages), rng.choice(book.pages)
            text = page.text[slice(*_excerpt(page.text, None, rng))]
            found = gap(other.text if absent else text, (), rng)
            if found is None or (absent and shares_words(found.question, text)):
                continue
            return gap_record(
                found.question,
                RecordPassage(pid=page.id, title=page.title, text=text, relevant=not absent),
                None if absent else found.span,
                identifier=identifier,
                split=split,
                source={"dataset": "textbook", "id": page.id},
                rng=rng,
            )
        raise ConfigurationError(
            "The textbook's training pages have no sentences of which parts can be asked for; "
            "leave the kind blanks out, or add pages."
        )

    return make


def _excerpt(text: str, span: tuple[int, int] | None, rng: Random) -> tuple[int, int]:
    """Some sentences of `text` that follow each other, those that `span` lies in among them."""
    places = list(sentences(text))
    within = [
        i for i, (start, end) in enumerate(places) if span and start < span[1] and end > span[0]
    ]
    if not within:
        within = [rng.randrange(len(places))]
    first = max(0, within[0] - rng.randrange(_MOST_BESIDE + 1))
    last = min(len(places) - 1, within[-1] + rng.randrange(_MOST_BESIDE + 1))
    return places[first][0], places[last][1]


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
