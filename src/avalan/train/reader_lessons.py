"""The reader's lessons: texts, alone or beside a page, with what is right about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from avalan.data import claims, mixture
from avalan.data.cloze import gap
from avalan.data.pairs import shown, strangers
from avalan.data.textbook import Inquiry, Page, Textbook
from avalan.model.entities import GRADES
from avalan.reflection.judge import above, as_claim
from avalan.reflection.matching import standing
from avalan.train.embedding_texts import lines

_NUM_STRANGE = 8
"""Pages of other matters, those that share most words with a question, among which one is drawn."""
_FEWEST_WORDS = 60
"""Of a text that exercises are made of."""
_ABSENT = 0.2
"""Share of the gaps that are asked for beside another text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A text, alone or beside a page; a target that is None is not asked for."""

    text: str
    page: str = ""
    spans: tuple[tuple[int, int], ...] | None = None
    """Characters of the page, each a right answer; empty where it is not there."""
    relevant: bool | None = None
    support: int | None = None
    """Index into `GRADES`."""
    retrieve: bool | None = None


def written_lessons(book: Textbook) -> dict[str, list[Lesson]]:
    """The lessons of the textbook, by the share that they are drawn for."""
    pages = {page.id: shown(page) for page in book.pages}
    by_id = {page.id: page for page in book.pages}
    asked = [
        Lesson(
            text=each.question,
            page=pages[each.passage],
            spans=_spans(each, by_id[each.passage]),
            relevant=bool(each.answers),
        )
        for each in book.inquiries
    ]
    claimed = [
        Lesson(text=each.claim, page=pages[each.passage], support=GRADES.index(each.support))
        for each in book.claims
    ]
    prompts = [Lesson(text=each.prompt, retrieve=each.need == "retrieve") for each in book.prompts]
    return {
        "asked": asked,
        "strange": _strange(book, pages),
        "claims": claimed,
        "stated": _stated(book, pages),
        "prompts": prompts,
    }


def _spans(inquiry: Inquiry, page: Page) -> tuple[tuple[int, int], ...]:
    """Where the best answer stands, each time; empty where there is none."""
    return _standing(inquiry.answers[0], page.title, page.text) if inquiry.answers else ()


def _standing(answer: str, title: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where an answer stands in a page that is shown below its title, in characters."""
    ahead = len(above(title))
    return tuple((start + ahead, end + ahead) for start, end in standing(answer, text))


def _stated(book: Textbook, pages: Mapping[str, str]) -> list[Lesson]:
    """Questions with an answer: their own, or that of another question of the page."""
    by_page: dict[str, list[Inquiry]] = {}
    for each in book.inquiries:
        by_page.setdefault(each.passage, []).append(each)
    found = []
    for passage, asked in by_page.items():
        for each in asked:
            rivals = [
                other.answers[0]
                for other in asked
                if other.answers
                and other.kind in (each.kind, "date", "number", "name", "place")
                and not set(other.answers) & set(each.answers)
            ]
            said = [(answer, "full") for answer in each.answers[:1]]
            said += [(answer, "contradicted" if each.answers else "none") for answer in rivals]
            found += [
                Lesson(
                    text=as_claim(each.question, answer),
                    page=pages[passage],
                    support=GRADES.index(support),
                )
                # As many wrong ones as right ones.
                for answer, support in said[:2]
            ]
    return found


def _strange(book: Textbook, pages: Mapping[str, str]) -> list[Lesson]:
    """Each question beside other pages that share words with it, none of which answers."""
    beside = strangers(book, _NUM_STRANGE)
    return [
        Lesson(text=each.question, page=pages[page.id], spans=(), relevant=False)
        for each in book.inquiries
        for page in beside[each.id]
    ]


class Exercises:
    """Lessons by program, most of them of real pages: those of the textbook, and other texts."""

    def __init__(self, book: Textbook, texts: Sequence[str] = ()) -> None:
        self._pages = [(page.title, page.text) for page in book.pages]
        answers: dict[str, list[str]] = {page.id: [] for page in book.pages}
        for each in book.inquiries:
            answers[each.passage] += each.answers[:1]
        self._answers = [
            [span for answer in answers[page.id] for span in standing(answer, page.text)]
            for page in book.pages
        ]
        self._pages += [("", text) for text in texts]
        self._answers += [[] for _ in texts]

    def lesson(self, kind: str, rng: Random) -> Lesson:
        """One of the `EXERCISES` of a recipe."""
        if kind == "phrases":
            record = mixture.one("decisions", rng, "train", identifier="phrase", split="train")
            retrieve = record.segments[0].decision == "retrieve"
            return Lesson(text=record.messages[-1].content, retrieve=retrieve)
        if kind == "gaps":
            return self._gap(rng)
        return self._claim(rng) if kind == "changed" else _of_world(rng)

    def _gap(self, rng: Random) -> Lesson:
        number = rng.randrange(len(self._pages))
        title, text = self._pages[number]
        page = above(title) + text
        found = gap(text, self._answers[number], rng)
        if found is None:  # All its sentences are too short, or alike.
            return _of_world(rng)
        if rng.random() < _ABSENT:
            other_title, other = rng.choice(self._pages)
            if other != text:
                strange = above(other_title) + other
                return Lesson(text=found.question, page=strange, spans=(), relevant=False)
        start, end = (place + len(above(title)) for place in found.span)
        return Lesson(text=found.question, page=page, spans=((start, end),), relevant=True)

    def _claim(self, rng: Random) -> Lesson:
        support = rng.choice(GRADES)
        (title, page), (_title, other) = rng.choice(self._pages), rng.choice(self._pages)
        text = claims.claim(page, other, support, rng) if page != other else None
        if text is None:
            return _of_world(rng)
        return Lesson(text=text, page=above(title) + page, support=GRADES.index(support))


def _of_world(rng: Random) -> Lesson:
    record = mixture.one("reading", rng, "train", identifier="world", split="train")
    passage = rng.choice(record.segments[0].passages)
    page = above(passage.title) + passage.text
    asked = record.answers[:1] if passage.relevant else ()
    spans = tuple(
        span for answer in asked for span in _standing(answer, passage.title, passage.text)
    )
    return Lesson(
        text=record.messages[-1].content,
        page=page,
        spans=None if passage.relevant and not spans else spans,
        relevant=passage.relevant,
    )


def long_texts(files: Sequence[str], most: int) -> list[str]:
    """The texts of some length among the first `most` of each file.

    Raises:
        ConfigurationError: a file is absent or cannot be read.
    """
    found = (text for file in files for text in lines(Path(file), most))
    return [text for text in found if len(text.split()) >= _FEWEST_WORDS]
