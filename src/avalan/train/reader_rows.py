"""The reader's lessons: pairs of texts with what is right about them, and the rows of a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import tokenizers
import torch
from torch import Tensor

from avalan.data import claims, mixture
from avalan.data.cloze import gap
from avalan.data.mixture import rng_for
from avalan.data.pairs import shown, strangers
from avalan.data.textbook import Inquiry, Textbook
from avalan.model.nlp.judge import SUPPORTS, Window, windows
from avalan.model.nlp.sentence import padded
from avalan.train.reader_losses import IGNORED
from avalan.train.reader_recipe import SHARES, ReaderRecipe

_NUM_STRANGE = 8
"""Pages of other matters, those that share most words with a question, among which one is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A text, alone or beside a page; a target that is None is not asked for."""

    text: str
    page: str = ""
    spans: tuple[tuple[int, int], ...] | None = None
    """Characters of the page, each a right answer; empty where it is not there."""
    relevant: bool | None = None
    support: int | None = None
    """Index into `SUPPORTS`."""
    retrieve: bool | None = None


def written_lessons(book: Textbook) -> dict[str, list[Lesson]]:
    """The lessons of the textbook, by the share that they are drawn for."""
    pages = {page.id: shown(page) for page in book.pages}
    asked = [
        Lesson(
            text=each.question,
            page=pages[each.passage],
            spans=occurrences(each.answers, pages[each.passage]),
            relevant=bool(each.answers),
        )
        for each in book.inquiries
    ]
    claimed = [
        Lesson(text=each.claim, page=pages[each.passage], support=SUPPORTS.index(each.support))
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


def occurrences(answers: Sequence[str], page: str) -> tuple[tuple[int, int], ...]:
    """Where the first answer stands in a page, in characters, each time."""
    found, start = [], -1
    while answers and (start := page.find(answers[0], start + 1)) >= 0:
        found.append((start, start + len(answers[0])))
    return tuple(found)


def _stated(book: Textbook, pages: Mapping[str, str]) -> list[Lesson]:
    """Questions with an answer: their own, that of another question of the page, one of no page."""
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
                    text=f"{each.question} {answer}",
                    page=pages[passage],
                    support=SUPPORTS.index(support),
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


class Maker:
    """Lessons by program, some of them of the textbook's pages."""

    def __init__(self, book: Textbook) -> None:
        self._pages = [shown(page) for page in book.pages]
        answers: dict[str, list[str]] = {page.id: [] for page in book.pages}
        for each in book.inquiries:
            answers[each.passage] += each.answers[:1]
        self._answers = [
            [span for answer in answers[page.id] for span in occurrences((answer,), text)]
            for page, text in zip(book.pages, self._pages, strict=True)
        ]

    def lesson(self, kind: str, rng: Random) -> Lesson:
        """One of a kind: `gaps`, `changed`, `worlds` or `phrases`."""
        if kind == "phrases":
            record = mixture.one("decisions", rng, "train", identifier="phrase", split="train")
            retrieve = record.segments[0].decision == "retrieve"
            return Lesson(text=record.messages[-1].content, retrieve=retrieve)
        if kind == "gaps":
            return self._gap(rng)
        return self._claim(rng) if kind == "changed" else _of_world(rng)

    def _gap(self, rng: Random) -> Lesson:
        number = rng.randrange(len(self._pages))
        page = self._pages[number]
        found = gap(page, self._answers[number], rng)
        if found is None:  # All its sentences are too short, or alike.
            return _of_world(rng)
        return Lesson(text=found.question, page=page, spans=(found.span,), relevant=True)

    def _claim(self, rng: Random) -> Lesson:
        support = rng.choice(SUPPORTS)
        page, other = rng.choice(self._pages), rng.choice(self._pages)
        text = claims.claim(page, other, support, rng) if page != other else None
        if text is None:
            return _of_world(rng)
        return Lesson(text=text, page=page, support=SUPPORTS.index(support))


def _of_world(rng: Random) -> Lesson:
    record = mixture.one("reading", rng, "train", identifier="world", split="train")
    passage = rng.choice(record.segments[0].passages)
    page = f"{passage.title}\n\n{passage.text}"
    spans = occurrences(record.answers, page) if passage.relevant else ()
    return Lesson(
        text=record.messages[-1].content,
        page=page,
        spans=None if passage.relevant and not spans else spans,
        relevant=passage.relevant,
    )


class Steps(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Item `i` is everything of step `i`, from the seed and `i` alone."""

    def __init__(
        self, recipe: ReaderRecipe, book: Textbook, tokenizer: tokenizers.Tokenizer
    ) -> None:
        self._recipe, self._tokenizer = recipe, tokenizer
        self._lessons, self._maker = written_lessons(book), Maker(book)

    def __len__(self) -> int:
        return self._recipe.run.num_steps

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = rng_for(self._recipe.run.seed, index)
        shares = [getattr(self._recipe.lessons, share) for share in SHARES]
        kinds = rng.choices(SHARES, weights=shares, k=self._recipe.run.rows_per_step)
        drawn = [self._draw(kind, rng) for kind in kinds]
        return batch([row(each, self._tokenizer, self.room(each, rng), rng) for each in drawn])

    def _draw(self, kind: str, rng: Random) -> Lesson:
        if kind in self._lessons:
            return rng.choice(self._lessons[kind])
        return self._maker.lesson(kind, rng)

    def room(self, lesson: Lesson, rng: Random) -> int:
        """Tokens of the row: a claim is about a whole page, an answer stands somewhere in it."""
        longest = self._recipe.lessons.max_tokens
        if lesson.spans is None:
            return longest
        return rng.randint(min(self._recipe.lessons.shortest, longest), longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A lesson in token ids; a target that is not asked for is `IGNORED`."""

    window: Window
    start: int = IGNORED
    end: int = IGNORED
    relevant: int = IGNORED
    support: int = IGNORED
    retrieve: int = IGNORED


def row(lesson: Lesson, tokenizer: tokenizers.Tokenizer, longest: int, rng: Random) -> Row:
    """The lesson with one window of its page: one that has the answer, where there is one."""
    found = windows(tokenizer, lesson.text, lesson.page, longest)
    held = [
        (window, span)
        for window in found
        for span in (_tokens_of(each, window) for each in lesson.spans or ())
        if span
    ]
    targets = Row(
        window=rng.choice(found),
        relevant=_or_ignored(lesson.relevant),
        support=_or_ignored(lesson.support),
        retrieve=_or_ignored(lesson.retrieve),
    )
    if lesson.spans is None:
        return targets
    if not lesson.spans:
        return replace(targets, start=0, end=0)
    if not held:  # It is divided between windows.
        return replace(targets, relevant=IGNORED)
    window, (start, end) = rng.choice(held)
    return replace(targets, window=window, start=start, end=end)


def _or_ignored(value: int | None) -> int:
    return IGNORED if value is None else int(value)


def _tokens_of(span: tuple[int, int], window: Window) -> tuple[int, int] | None:
    """The first and the last token of a span of characters; None where the window lacks a part."""
    inside = [
        i
        for i, place in enumerate(window.places)
        if place is not None and place[0] < span[1] and place[1] > span[0]
    ]
    if not inside:
        return None
    first, last = window.places[inside[0]], window.places[inside[-1]]
    whole = first is not None and last is not None and first[0] <= span[0] and last[1] >= span[1]
    return (inside[0], inside[-1]) if whole else None


def batch(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows of like kind as tensors, padded to the longest.

    Returns:
        input_ids, mask, kinds and allowed, (num_rows, length); start, end, relevant, support and
        retrieve, (num_rows,).
    """
    ids, mask = padded([each.window.token_ids for each in rows])
    kinds, _mask = padded([each.window.kinds for each in rows])
    allowed = np.zeros(ids.shape, np.bool_)
    allowed[:, 0] = True
    for index, each in enumerate(rows):
        inside = [i for i, place in enumerate(each.window.places) if place is not None]
        allowed[index, inside] = True
    tensors = {"input_ids": ids, "mask": mask, "kinds": kinds, "allowed": allowed}
    found = {name: torch.from_numpy(values) for name, values in tensors.items()}
    for name in ("start", "end", "relevant", "support", "retrieve"):
        found[name] = torch.tensor([getattr(each, name) for each in rows])
    return found
