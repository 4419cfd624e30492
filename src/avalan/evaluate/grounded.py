"""The task `grounded-qa`: answers from documents, and silence where the documents say nothing.

The pages of a set become files in one temporary index, and every question takes the way of
`avalan ask --retrieve always`: search, read, quote or abstain.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from avalan.evaluate.examples import Question, QuestionSet
from avalan.evaluate.metrics import abstention
from avalan.evaluate.selective import aurc, coverage_at
from avalan.evaluate.statistics import Estimate, bootstrap, bootstrap_mean, proportion
from avalan.locale import _n
from avalan.reflection.events import Answer, Citation
from avalan.reflection.loop import AskSettings, ask
from avalan.reflection.matching import best, contains, exact_match, standing, token_f1
from avalan.reflection.panel import Panel
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex

MAX_WORDS = 60
"""A longer answer scores nothing: quoting a whole page is no answer."""
FEW_WORDS = 25
"""What one can take in at a glance."""
FIGURES = (
    _n("score"),
    _n("exact match"),
    _n("token F1"),
    _n("containment"),
    _n("in 25 words"),
    _n("over-refusal"),
    _n("rejection"),
    _n("abstain prec."),
    _n("citation real"),
    _n("right page"),
    _n("sure"),
    _n("right if sure"),
    _n("cite precision"),
    _n("cite recall"),
    "AURC",
    _n("cover at 90%"),
    _n("recall"),
    _n("median s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How one question was answered."""

    id: str
    answer: str | None
    """None for an abstention."""
    confidence: float
    score: float
    """1 if a gold answer stands in an answer of at most `MAX_WORDS` words, or if an unanswerable
    question was not answered; else 0."""
    exact: float
    f1: float
    contained: float
    """Against the best gold answer; 0 where there is none."""
    recalled: bool | None
    """Whether a passage that was read holds a gold answer on the right page; None if none can."""
    citation_real: bool | None
    """Whether the cited bytes of the file are the answer; None for an abstention."""
    citation_right: bool | None
    """Whether the citation lies in the right page; None for an abstention or without one."""
    sure: bool
    """Whether it was given without reserve."""
    signs: Mapping[str, float]
    """What spoke for it; see `reflection.trust`."""
    told: bool
    """Whether the quotation, or the sentence that it stands in, answers from the right page."""
    num_citations: int
    num_telling: int
    """Citations that, with their sentence, answer from the right page."""
    seconds: float


@contextmanager
def indexed(questions: QuestionSet) -> Iterator[SyncIndex]:
    """A temporary index of the set's pages, as files of a folder that lasts as long."""
    with tempfile.TemporaryDirectory(prefix="avalan-") as name, SyncIndex.temporary() as index:
        for page in questions.pages:
            # Bytes, because a text file would turn line ends into the platform's.
            (Path(name) / page.name).write_bytes(page.text.encode())
        for _event in (*index.add([name]), *index.embed()):
            pass
        yield index


def answer(
    panel: Panel, index: SyncIndex, questions: Sequence[Question], *, top_k: int
) -> Iterator[Answered]:
    """Ask each question, in order; `top_k` passages are read for each."""
    settings = AskSettings(retrieve="always", top_k=top_k)
    for question in questions:
        began = perf_counter()
        *_, end = ask(question.text, panel=panel, index=index, settings=settings)
        seconds = perf_counter() - began
        assert isinstance(end, Answer)
        yield _graded(question, end, end.passages[:top_k], seconds)


def score(question: Question, text: str | None) -> float:
    """1 for a right answer of bearable length or a right abstention, else 0."""
    if text is None or not question.answerable:
        return float(text is None and not question.answerable)
    return best(contains, text, question.answers) * (len(text.split()) <= MAX_WORDS)


def holds(passage: Passage, question: Question) -> bool:
    """Whether the passage lies in the right page and has a gold answer in it, word for word."""
    return question.is_on(passage.source) and any(
        standing(gold, passage.text) for gold in question.answers
    )


def tells(question: Question, source: str, *texts: str) -> bool:
    """Whether one of `texts`, of bearable length, answers and comes from the right page."""
    on_page = question.answerable and question.is_on(source)
    return on_page and any(score(question, text) == 1 for text in texts)


def _graded(question: Question, end: Answer, read: Sequence[Passage], seconds: float) -> Answered:
    text = end.text or ""
    citation = end.citations[0] if end.citations else None
    return Answered(
        id=question.id,
        answer=end.text,
        confidence=end.confidence,
        score=score(question, end.text),
        exact=best(exact_match, text, question.answers),
        f1=best(token_f1, text, question.answers),
        contained=best(contains, text, question.answers),
        recalled=any(holds(each, question) for each in read) if question.answerable else None,
        citation_real=None if end.abstained else citation is not None and is_real(citation, text),
        citation_right=_is_right(question, citation),
        sure=end.sure and not end.abstained,
        signs=end.signs,
        told=citation is not None and _tells(question, citation),
        num_citations=len(end.citations),
        num_telling=sum(_tells(question, each) for each in end.citations),
        seconds=seconds,
    )


def _tells(question: Question, citation: Citation) -> bool:
    return tells(question, citation.source, citation.text, citation.sentence)


def is_real(citation: Citation, text: str) -> bool:
    """Whether `text` is what stands at the cited bytes of the cited file."""
    content = Path(citation.source).read_bytes()
    return content[citation.start : citation.end] == citation.text.encode() == text.encode()


def _is_right(question: Question, citation: Citation | None) -> bool | None:
    if citation is None or not question.answerable:
        return None
    return question.is_on(citation.source)


def summarise(
    questions: Sequence[Question], answered: Sequence[Answered], *, seed: int = 0
) -> dict[str, Estimate | None]:
    """The `FIGURES`; None where no question counts for one.

    `exact match`, `token F1`, `containment`, `in 25 words` (contained, and as short as that),
    `over-refusal`, `right page` and `recall` are over answerable questions (`right page`: those
    answered), as is `sure` (answered without reserve); `right if sure` is over all answers so
    given, and takes the quotation with its sentence. Of all citations, `cite precision` is the
    share that so answers, and `cite recall` is over answerable questions with such a citation: gold
    answers stand in for ALCE's entailment (Gao et al., 2023, arXiv:2305.14627). `AURC` and
    `cover at 90%` are over all questions, silence being no coverage; see `selective`. `rejection`
    is over unanswerable questions, `abstain prec.` over abstentions, `citation real` over answers,
    the rest over all. `median s` is wall time, on which the machine's other work tells: it has no
    interval.
    """
    pairs = zip(questions, answered, strict=True)
    could = [each for question, each in pairs if question.answerable]
    groups = [question.group for question in questions if question.answerable]
    silence = abstention(
        [question.answerable for question in questions],
        [each.answer is None for each in answered],
    )
    found = (
        proportion([each.score == 1 for each in answered]),
        proportion([each.exact == 1 for each in could]),
        bootstrap_mean([each.f1 for each in could], groups=groups, seed=seed),
        proportion([each.contained == 1 for each in could]),
        proportion([each.contained == 1 and _is_short(each) for each in could]),
        proportion(silence.over_refusal),
        proportion(silence.rejection),
        proportion(silence.precision),
        proportion([each.citation_real for each in answered if each.citation_real is not None]),
        proportion([each.citation_right for each in could if each.citation_right is not None]),
        proportion([each.sure for each in could]),
        proportion([each.told for each in answered if each.sure]),
        _precision(answered),
        proportion([each.num_telling > 0 for each in could]),
        *_selective(questions, answered, seed),
        proportion([each.recalled for each in could if each.recalled is not None]),
        _median([each.seconds for each in answered]),
    )
    return dict(zip(FIGURES, found, strict=True))


def _precision(answered: Sequence[Answered]) -> Estimate | None:
    """Of all citations; those of one answer share its luck."""
    flags = [
        (number, place < each.num_telling)
        for number, each in enumerate(answered)
        for place in range(each.num_citations)
    ]
    groups = [number for number, _flag in flags]
    return bootstrap_mean([float(flag) for _number, flag in flags], groups=groups)


def _selective(
    questions: Sequence[Question], answered: Sequence[Answered], seed: int
) -> tuple[Estimate | None, Estimate | None]:
    """AURC of the answers that were given, and the share of questions answered at 90% accuracy."""
    given = [
        (question.group, each.score == 1, each.confidence)
        for question, each in zip(questions, answered, strict=True)
        if each.answer is not None
    ]
    if not given:
        return None, None
    groups, right, said = (list(column) for column in zip(*given, strict=True))
    columns = np.array(right), np.array(said)
    share = len(given) / len(answered)

    def covered(flags: NDArray[np.bool_], confidences: NDArray[np.float64]) -> float:
        return share * coverage_at(flags, confidences)

    return (
        bootstrap(aurc, *columns, groups=groups, seed=seed),
        bootstrap(covered, *columns, groups=groups, seed=seed),
    )


def _is_short(answered: Answered) -> bool:
    return len((answered.answer or "").split()) <= FEW_WORDS


def _median(seconds: Sequence[float]) -> Estimate | None:
    if not seconds:
        return None
    return Estimate(value=median(seconds), low=None, high=None, n=len(seconds))
