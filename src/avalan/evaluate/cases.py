"""What calibration is fitted on: each judge's raw scores, beside what was right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from avalan.data.decisions import known_questions
from avalan.evaluate.examples import Prompt, Question, QuestionSet
from avalan.evaluate.grounded import indexed, score, tells
from avalan.reflection.calibrate import beta
from avalan.reflection.extent import are_reference, are_technical, widened
from avalan.reflection.judge import Judge, Reading
from avalan.reflection.loop import NUM_LISTED
from avalan.reflection.matching import best, exact_match, token_f1
from avalan.retrieval import query
from avalan.retrieval.entities import Passage
from avalan.retrieval.sentences import around


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedCase:
    """A prompt's P(look-up) and its label."""

    group: str
    raw: float
    retrieve: bool

    @property
    def features(self) -> Mapping[str, float]:
        """What beta calibration weighs."""
        return beta(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCase:
    """A draft from memory."""

    group: str
    raw: float
    """The judge's own confidence."""
    features: Mapping[str, float]
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a judge would quote from one passage."""

    rank: int
    """Of the passage, 0 for the best."""
    raw: float
    """The judge's own confidence."""
    features: Mapping[str, float]
    signs: Mapping[str, float]
    """What else its judge says for it."""
    right: bool
    """Whether it, or the sentence that it stands in, holds a gold answer from the right page."""
    score: float
    """What it would score as the answer; see `grounded.score`."""
    f1: float = 0.0
    """The words that it shares with a gold answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingCase:
    """A question, and what a judge would quote from each passage that was found, by rank."""

    group: str
    answerable: bool
    is_technical: bool = False
    """Whether what was found documents a program, …"""
    is_reference: bool = False
    """… and is its reference text."""
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A question for the memory."""

    text: str
    answer: str | None
    """None where the model was not taught one, so that any draft is a guess."""


def need_cases(judge: Judge, prompts: Sequence[Prompt]) -> Iterator[NeedCase]:
    """The judge's verdict on each prompt."""
    for prompt in prompts:
        yield NeedCase(group=prompt.id, raw=judge.need(prompt.text), retrieve=prompt.retrieve)


def untaught(prompts: Sequence[Prompt]) -> list[Recalled]:
    """The prompts as questions for the memory, mostly without an answer that was taught.

    A prompt that has all the words of a question that is taught by heart has its answer, unless
    it asks for a source. Small talk is left out: it has no one right answer.
    """
    taught = [(set(query.terms(question)), answer) for question, answer in known_questions()]
    return [
        Recalled(text=prompt.text, answer=None if prompt.retrieve else _taught(prompt, taught))
        for prompt in prompts
        if prompt.kind != "talk"
    ]


def memory_cases(judge: Judge, questions: Sequence[Recalled]) -> Iterator[MemoryCase | None]:
    """The judge's draft for each question; None where it drafts nothing."""
    for number, question in enumerate(questions):
        draft = judge.remember(question.text)
        if draft is None:
            yield None
            continue
        known = question.answer is not None
        right = known and exact_match(draft.text, question.answer or "") == 1
        yield MemoryCase(
            group=str(number), raw=draft.confidence, features=draft.features, right=right
        )


def reading_cases(judge: Judge, questions: QuestionSet, *, top_k: int) -> Iterator[ReadingCase]:
    """What the judge quotes from the `top_k` passages that the loop would read."""
    with indexed(questions) as index:
        for question in questions.questions:
            passages = index.search(question.text, max(NUM_LISTED, top_k))[:top_k]
            is_technical = are_technical(passages)
            read = [(passage, judge.read(question.text, passage)) for passage in passages]
            if is_technical:
                read = [(passage, widened(reading, passage)) for passage, reading in read]
            yield ReadingCase(
                group=question.group,
                answerable=question.answerable,
                is_technical=is_technical,
                is_reference=are_reference(passages),
                quotes=tuple(
                    _quote(question, rank, passage, reading, reading.span)
                    for rank, (passage, reading) in enumerate(read)
                    if reading.span is not None
                ),
            )


def _quote(
    question: Question, rank: int, passage: Passage, reading: Reading, span: tuple[int, int]
) -> Quote:
    quoted, sentence = (passage.text[slice(*each)] for each in (span, around(passage.text, span)))
    return Quote(
        rank=rank,
        raw=reading.confidence,
        features=reading.features,
        signs=reading.signs,
        right=tells(question, passage.source, quoted, sentence),
        score=score(question, quoted),
        f1=best(token_f1, quoted, question.answers),
    )


def _taught(prompt: Prompt, taught: Sequence[tuple[set[str], str]]) -> str | None:
    words = set(query.terms(prompt.text))
    return next((answer for terms, answer in taught if terms <= words), None)
