"""The task `adaptive-qa`: is it worth deciding whether to look something up?

Half of the questions are about documents, as in `grounded-qa`, and half are of the kind that the
bundled model knows by heart. Each is answered three ways: without looking up, looking up first (and
saying what is remembered where the documents are silent), and as the panel decides. What deciding
gains and saves follows; see `adaptive`. The same answers are then given to other gates, so that
what is compared is the decision alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avalan.evaluate.adaptive import calls_spared, oracle_gap, savings_at_parity
from avalan.evaluate.examples import Question, QuestionSet, Split, taught_answers
from avalan.evaluate.grounded import score
from avalan.evaluate.statistics import Estimate, bootstrap, bootstrap_mean, proportion
from avalan.locale import _n
from avalan.reflection.events import Answer
from avalan.reflection.loop import AskSettings, ask
from avalan.reflection.panel import Panel
from avalan.reflection.router import router
from avalan.reflection.rules import retrieval_rule
from avalan.reflection.settings import Retrieve
from avalan.retrieval.index import SyncIndex

FIGURES = (
    _n("score"),
    _n("never"),
    _n("always"),
    _n("at random"),
    _n("oracle"),
    _n("looked up"),
    _n("savings"),
    _n("above rules"),
    _n("above router"),
    _n("spared, rules"),
    _n("spared, router"),
    _n("oracle gap"),
)
_BY_HEART = "by-heart"
"""Instead of the page of a question that no page is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One question, answered each way."""

    id: str
    probability: float
    """Of needing a look-up."""
    retrieved: bool
    """Whether it was looked up where the panel decided."""
    never: float
    always: float
    score: float
    """How right each way is, 0 or 1; see `grounded.score`. The last is the panel's own."""
    rules: float
    router: float
    """What other gates think of the need, on whatever scale."""


def mixed(questions: QuestionSet, *, split: Split, seed: int) -> QuestionSet:
    """The questions, and as many that are known by heart."""
    known = taught_answers(len(questions.questions), split=split, seed=seed)
    return QuestionSet(
        pages=questions.pages,
        questions=(
            *questions.questions,
            *(
                Question(
                    id=f"heart-{number:04}",
                    text=text,
                    answers=(answer,),
                    page=f"{_BY_HEART}-{number}",  # Each has its own luck.
                )
                for number, (text, answer) in enumerate(known)
            ),
        ),
    )


def answer(
    panel: Panel, index: SyncIndex, questions: Sequence[Question], *, top_k: int
) -> Iterator[Weighed]:
    """Ask each question each way, in order."""

    def told(question: Question, retrieve: Retrieve) -> Answer:
        settings = AskSettings(retrieve=retrieve, top_k=top_k)
        *_, end = ask(question.text, panel=panel, index=index, settings=settings)
        assert isinstance(end, Answer)
        return end

    for question in questions:
        never, always, own = (told(question, way) for way in ("never", "always", "adaptive"))
        yield Weighed(
            id=question.id,
            probability=own.decision.probability,
            retrieved=own.retrieved,
            never=score(question, never.text),
            always=score(question, never.text if always.abstained else always.text),
            score=score(question, own.text),
            rules=retrieval_rule(question.text),
            router=router().logit(question.text),
        )


def summarise(
    questions: Sequence[Question], weighed: Sequence[Weighed], *, seed: int = 0
) -> dict[str, Estimate | None]:
    """The `FIGURES`; all are None of no questions, and the gap where there is nothing to gain.

    `at random` looks as many questions up as the panel does, whichever they are; `oracle` takes the
    better way for each. `savings` are by the threshold of the panel's probability that is as good
    as always looking up, and need no threshold of ours; `above rules` and `above router` are how
    many more these are than by the rules' and the router's scores, with the same answers;
    `spared` is how many look-ups fewer do as well as theirs at their best, see `calls_spared`.
    """
    if not weighed:
        return dict.fromkeys(FIGURES)
    groups = [question.group for question in questions]
    own, never, always, said, rules, routed = (
        np.array([getattr(each, name) for each in weighed])
        for name in ("score", "never", "always", "probability", "rules", "router")
    )
    looked = np.array([each.retrieved for each in weighed])
    share = float(looked.mean())

    def mean(values: NDArray[np.float64]) -> Estimate | None:
        return bootstrap_mean(values.tolist(), groups=groups, seed=seed)

    def above(other: NDArray[np.float64]) -> Estimate | None:
        return bootstrap(_more_saved, said, other, never, always, groups=groups, seed=seed)

    def spared(other: NDArray[np.float64]) -> Estimate | None:
        return bootstrap(calls_spared, said, other, never, always, groups=groups, seed=seed)

    gap = oracle_gap(float(own.mean()), never, always)
    found = (
        mean(own),
        mean(never),
        mean(always),
        mean(share * always + (1 - share) * never),
        mean(np.maximum(never, always)),
        proportion(looked.tolist()),
        bootstrap(savings_at_parity, said, never, always, groups=groups, seed=seed),
        above(rules),
        above(routed),
        spared(rules),
        spared(routed),
        None if gap is None else Estimate(value=gap, low=None, high=None, n=len(weighed)),
    )
    return dict(zip(FIGURES, found, strict=True))


def _more_saved(
    scores: NDArray[np.float64],
    others: NDArray[np.float64],
    never: NDArray[np.float64],
    always: NDArray[np.float64],
) -> float:
    saved = (savings_at_parity(each, never, always) for each in (scores, others))
    return next(saved) - next(saved)
