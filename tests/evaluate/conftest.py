"""Judges that say what a test wants, and a small set of pages for them."""

from collections.abc import Callable
from typing import Any

import pytest

from avalan.data import textbook
from avalan.data.textbook import Claim, Inquiry, Textbook
from avalan.evaluate.examples import Page, Prompt, Question, QuestionSet
from avalan.model.entities import Usage
from avalan.reflection.judge import Draft, Reading, Shares, certain
from avalan.reflection.panel import PARTS, Panel, Thresholds
from avalan.retrieval.entities import Passage

PAGES = (
    Page(name="tea.md", text="# Tea\n\nGreen tea brews for two minutes. It is drunk warm — été.\n"),
    Page(name="boat.txt", text="The mail boat leaves at nine. Tickets cost four crowns.\n"),
)
QUESTIONS = (
    Question(
        id="q1", text="How long does green tea brew?", answers=("two minutes",), page="tea.md"
    ),
    Question(id="q2", text="What do boat tickets cost?", answers=("four crowns",), page="boat.txt"),
    Question(id="q3", text="Who is captain of the mail boat?", answers=(), page="boat.txt"),
)
SET = QuestionSet(pages=PAGES, questions=QUESTIONS)
PROMPTS = tuple(
    Prompt(id=f"p{number}", text=text, retrieve=text.startswith("news"), kind="fact")
    for number, text in enumerate(("news of today", "seven times six", "news of Kiel", "hello"))
)

Span = Callable[[str, str], tuple[int, int] | None]


class ScriptedJudge:
    """Quotes what `span` finds in (question, passage); the confidence is one for all."""

    def __init__(
        self,
        span: Span = lambda question, text: None,
        *,
        name: str = "scripted",
        need: Callable[[str], float] = lambda question: 0.5,
        draft: Callable[[str], Draft | None] = lambda question: None,
        confidence: float = 0.9,
    ) -> None:
        self.name, self.way = name, "told"
        self.span, self.needs, self.draft, self.confidence = span, need, draft, confidence

    def need(self, question: str, said: str = "") -> float:
        return self.needs(question)

    def remember(self, question: str) -> Draft | None:
        return self.draft(question)

    def read(self, question: str, passage: Passage) -> Reading:
        span = self.span(question, passage.text)
        sure = self.confidence if span else 0.0
        features = {"found": sure, "passage_bm25": passage.score}
        return Reading(relevance=sure, span=span, confidence=sure, features=features)

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        return certain("full" if answer in passage.text else "none")

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        return None

    def usage(self) -> Usage:
        return Usage()


BOOK = Textbook(
    pages=tuple(
        textbook.Page(id=page.name, title="", register="note", split="validation", text=page.text)
        for page in PAGES
    ),
    inquiries=tuple(
        Inquiry(
            id=each.id,
            passage=each.page,
            split="validation",
            question=each.text,
            answers=each.answers,
            kind="thing",
        )
        for each in QUESTIONS
    ),
    claims=tuple(
        Claim(id=f"c{n}", passage=PAGES[0].name, split="validation", claim=claim, support=support)
        for n, (claim, support) in enumerate((("two minutes", "full"), ("three miles", "none")))
    ),
    prompts=(),
)


class Stage:
    """A set of three questions, prompts, and judges to put before them."""

    book = BOOK
    questions = SET
    prompts = PROMPTS
    judge = ScriptedJudge

    def panel(self, judge: Any, **thresholds: float) -> Panel:
        """A panel of one judge."""
        return Panel(judge.name, dict.fromkeys(PARTS, judge), Thresholds(**thresholds))

    def oracle(self, question: str, text: str) -> tuple[int, int] | None:
        """The gold answer, where it stands in the text."""
        golds = next(each.answers for each in QUESTIONS if each.text == question)
        found = [(text.index(gold), gold) for gold in golds if gold in text]
        return (found[0][0], found[0][0] + len(found[0][1])) if found else None

    def everything(self, question: str, text: str) -> tuple[int, int]:
        """The whole passage."""
        return 0, len(text)


@pytest.fixture
def stage() -> Stage:
    return Stage()
