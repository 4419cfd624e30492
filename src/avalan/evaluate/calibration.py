"""Calibration on validation data: what is fitted for each judge, and which serves which part.

The gate is fitted on the written prompts; the memory on what the model was taught by heart, beside
prompts and questions about documents to which it was taught no answer; the reading on written
questions (G3, the textbook and the invented papers), its weights on made ones (G1) too, as many as
G3 has; the trust in an answer also on questions about a program's documentation (P). What is said
without reserve should hold on a user's pages, so that threshold is fitted on all but the textbook:
on pages whose like no judge was taught. Judges are compared by
cross-fitting: each example is scored with what was fitted on the folds that it is not in. What
nothing is fitted for (relevance, quotations, support) is compared on the textbook, and who reads a
program's reference text on P. The test split is never read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.data import textbook
from avalan.data.textbook import Textbook
from avalan.evaluate import cases, fitting, judging
from avalan.evaluate.cases import MemoryCase, NeedCase, ReadingCase, Recalled
from avalan.evaluate.examples import (
    Prompt,
    QuestionSet,
    data_hashes,
    generated_questions,
    house_hashes,
    house_questions,
    python_hashes,
    python_questions,
    taught_answers,
    textbook_hashes,
    textbook_prompts,
    textbook_questions,
    written_prompts,
    written_questions,
)
from avalan.evaluate.fitting import PRECISION, Fitted
from avalan.evaluate.judging import Pointed, Upheld
from avalan.evaluate.metrics import auroc, macro_f1
from avalan.evaluate.progress import Reporter, Tell, unheard
from avalan.evaluate.statistics import bootstrap, wilson
from avalan.reflection.judge import Judge
from avalan.reflection.panel import ANSWER, PARTS, REFERENCE, RULES

NUM_TAUGHT = 400
_SPARSE = 4
"""Of so many questions about documents, one is put to the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The examples of the validation split that everything is fitted on."""

    prompts: tuple[Prompt, ...]
    recalled: tuple[Recalled, ...]
    written: tuple[QuestionSet, ...]
    """About pages whose like no judge was taught."""
    taught: QuestionSet
    """About the textbook's, of which the reader was taught others."""
    made: QuestionSet
    technical: QuestionSet
    book: Textbook
    data: Mapping[str, str]
    """SHA-256 of each data file."""
    seed: int
    """Of what was made, and of the folds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a judge: what was fitted, and its cross-fitted scores, one for each case."""

    fitted: Fitted
    scores: tuple[float, ...]
    groups: tuple[str, ...]
    """What each case shares its luck with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """All about one judge."""

    need: Part
    memory: Part | None
    """None for a judge that has none."""
    reading: Part
    reference: Part
    """Answers from a program's reference text: their words' F1."""
    answer: Fitted
    pointed: tuple[Pointed, ...]
    upheld: tuple[Upheld, ...]

    def fitted(self) -> dict[str, Any]:
        """As in `calibration.json`."""
        parts = {"need": self.need, "memory": self.memory, "reading": self.reading}
        fitted = {name: part.fitted for name, part in parts.items() if part is not None}
        return {name: each.to_json() for name, each in (*fitted.items(), (ANSWER, self.answer))}


def validation(folder: Path, book: Path, *, seed: int = 0) -> Validation:
    """The validation data of a data folder and of a textbook, and what is made to go with it.

    Raises:
        ConfigurationError: a file is missing or broken.
    """
    read = textbook.read(book).part("validation")
    prompts = written_prompts(folder, "validation")
    written = written_questions(folder, "validation")
    made = generated_questions("G1", len(written.questions), split="validation", seed=seed)
    taught = taught_answers(NUM_TAUGHT, split="validation", seed=seed)
    known = (Recalled(text=question, answer=answer) for question, answer in taught)
    # Few of them reach the memory: nearly all are looked up.
    unknown = (Recalled(text=each.question, answer=None) for each in read.inquiries[::_SPARSE])
    return Validation(
        prompts=(*prompts, *textbook_prompts(read)),
        recalled=(*known, *cases.untaught(prompts), *unknown),
        written=(written, house_questions(folder, "validation")),
        taught=textbook_questions(read),
        made=made,
        technical=python_questions(folder, "validation"),
        book=read,
        data=data_hashes(folder)
        | house_hashes(folder)
        | python_hashes(folder)
        | textbook_hashes(book),
        seed=seed,
    )


def calibrate(
    judges: Mapping[str, Judge], data: Validation, *, top_k: int = 5, tell: Tell = unheard
) -> dict[str, Any]:
    """Fit every part of every judge and choose the defaults: the content of `calibration.json`.

    Args:
        judges: uncalibrated, by the names under which panels open them.
        top_k: how many passages are read for each question.
    """
    found = {name: _judged(name, judge, data, top_k, tell) for name, judge in judges.items()}
    choices = {part: _choice(part, found, seed=data.seed) for part in (*PARTS, REFERENCE)}
    return {
        "default": {part: choice.pop("ranked") for part, choice in choices.items()},
        "judges": {name: each.fitted() for name, each in found.items()},
        "fitted_on": {
            "split": "validation",
            "seed": data.seed,
            "top_k": top_k,
            "n": {
                "need": len(data.prompts),
                "memory": len(data.recalled),
                "relevance": 2 * len(data.book.inquiries),
                "span": sum(bool(each.answers) for each in data.book.inquiries),
                "abstention": sum(len(each.questions) for each in (*data.written, data.taught)),
                REFERENCE: max(len(each.reference.scores) for each in found.values()),
                "answer": sum(
                    len(each.questions) for each in (*data.written, data.taught, data.technical)
                ),
                "sure": sum(len(each.questions) for each in (*data.written, data.technical)),
                "support": len(data.book.claims),
            },
            "data": dict(data.data),
            "choices": choices,
        },
    }


def _judged(name: str, judge: Judge, data: Validation, top_k: int, tell: Tell) -> Judged:
    def following(what: str, items: Any, num: int) -> tuple[Any, ...]:
        return tuple(Reporter(tell=tell, who=name, what=what).following(items, num))

    said = partial(Reporter, tell=tell, who=name)
    num_asked, num_claims = 2 * len(data.book.inquiries), len(data.book.claims)
    # The rules' gate has no calibrator in a panel, only a threshold.
    need = _need(judge, data, said(what="need"), scaled=name != RULES)
    memory = _memory(judge, data, said(what="memory"))
    reading, reference, answer = _reading(judge, data, top_k, said(what="reading"))
    return Judged(
        need=need,
        memory=memory,
        reading=reading,
        reference=reference,
        answer=answer,
        pointed=following("span", judging.pointed(judge, data.book), num_asked),
        upheld=following("support", judging.upheld(judge, data.book), num_claims),
    )


def _need(judge: Judge, data: Validation, reporter: Reporter, *, scaled: bool) -> Part:
    asked = cases.need_cases(judge, data.prompts)
    found = list(reporter.following(asked, len(data.prompts)))
    fit = partial(fitting.fit_need, scaled=scaled)
    scores = fitting.cross_fitted(found, fit, fitting.score_need, seed=data.seed)
    return Part(fitted=fit(found), scores=scores, groups=_groups(found))


def _memory(judge: Judge, data: Validation, reporter: Reporter) -> Part | None:
    asked = cases.memory_cases(judge, data.recalled)
    drafts = list(reporter.following(asked, len(data.recalled)))
    found = [draft for draft in drafts if draft is not None]
    if not found:
        return None
    scores = fitting.cross_fitted(found, fitting.fit_memory, fitting.score_memory, seed=data.seed)
    return Part(fitted=fitting.fit_memory(found), scores=scores, groups=_groups(found))


def _reading(
    judge: Judge, data: Validation, top_k: int, reporter: Reporter
) -> tuple[Part, Part, Fitted]:
    """Quotes, those from a program's reference text, and answers in view of all of them.

    The weights of quotes are from written and made questions, those of the trust in answers from
    written and technical ones, whose threshold leaves out the textbook's; all else is from the
    written questions alone.
    """
    sets = (*data.written, data.taught, data.made, data.technical)
    num_asked = sum(len(each.questions) for each in sets)
    read = (cases.reading_cases(judge, each, top_k=top_k) for each in sets)
    following = reporter.following((case for each in read for case in each), num_asked)
    *unlike, taught, made, technical = (list(islice(following, len(e.questions))) for e in sets)
    written = [case for each in (*unlike, taught) for case in each]
    fit = partial(fitting.fit_reading, more=made)
    scores = fitting.cross_fitted(written, fit, fitting.score_reading, seed=data.seed)
    fitted = fit(written)
    part = Part(fitted=fitted, scores=scores, groups=_groups(written))
    # Nothing of this text was fitted on, but for a few pages of the textbook.
    asked = [case for case in (*written, *technical) if case.is_reference and case.answerable]
    reference = Part(
        fitted=fitted,
        scores=tuple(fitting.f1_of(fitted, case) for case in asked),
        groups=_groups(asked),
    )
    like_a_users = [case for each in (*unlike, technical) for case in each]
    return part, reference, fitting.fit_answer(like_a_users, fitted, more=taught)


def _groups(found: Iterable[NeedCase | MemoryCase | ReadingCase]) -> tuple[str, ...]:
    return tuple(case.group for case in found)


# --- the choice --------------------------------------------------------------------------------


def _choice(part: str, found: Mapping[str, Judged], *, seed: int) -> dict[str, Any]:
    """Who serves `part`, the best first and the rules last, and why."""
    if part == "memory":
        return _memory_choice(found)
    statistic, grouped = _measure(part)
    said = {name: grouped(each)[1] for name, each in found.items()}
    scores = {name: statistic(*each) if len(each[0]) else 0.0 for name, each in said.items()}
    least = scores.get(RULES, 0.0)
    better = [name for name in scores if name != RULES and scores[name] > least]
    ranked = [*sorted(better, key=lambda name: -scores[name]), RULES]
    choice: dict[str, Any] = {"ranked": ranked, "chosen": ranked[0], "scores": scores}
    if better and RULES in said:
        first, rules = said[ranked[0]], said[RULES]

        def difference(*both: NDArray[Any]) -> float:
            return statistic(*both[: len(first)]) - statistic(*both[len(first) :])

        groups, _of_rules = grouped(found[RULES])
        if told := bootstrap(difference, *first, *rules, groups=groups, seed=seed):
            choice["better_by"] = [told.value, told.low, told.high]
    return choice


Grouped = tuple[tuple[str, ...], tuple[NDArray[Any], ...]]
"""What each example shares its luck with, and the columns that a figure is taken of."""


def _measure(part: str) -> tuple[Callable[..., float], Callable[[Judged], Grouped]]:
    """The figure by which judges are compared in a part, and of what it is taken."""

    def mean(values: NDArray[Any]) -> float:
        return float(values.mean())

    match part:
        case "need":
            return mean, lambda each: (each.need.groups, (np.array(each.need.scores),))
        case "reference":
            return mean, lambda each: (each.reference.groups, (np.array(each.reference.scores),))
        case "abstention":
            return mean, lambda each: (each.reading.groups, (np.array(each.reading.scores),))
        case "span":
            return mean, lambda each: _columns([p for p in each.pointed if p.answerable], "f1")
        case "relevance":
            return auroc, lambda each: _columns(each.pointed, "answerable", "relevance")
    return macro_f1, lambda each: _columns(each.upheld, "grade", "said")


def _columns(rows: Sequence[Pointed | Upheld], *names: str) -> Grouped:
    columns = tuple(np.array([getattr(row, name) for row in rows]) for name in names)
    return tuple(row.group for row in rows), columns


def _memory_choice(found: Mapping[str, Judged]) -> dict[str, Any]:
    """A model, if what it gives may well be as precise as it should be; rules know nothing."""
    ranked, right, given = [RULES], 0, 0
    for name, each in found.items():
        if each.memory is None:
            continue
        right, wrong = each.memory.scores.count(1.0), each.memory.scores.count(-1.0)
        given = right + wrong
        precision = wilson(right, given)
        if precision is not None and (precision.high or 0.0) >= PRECISION:
            ranked.insert(0, name)
        break  # Of models that remember, the first competes.
    return {"ranked": ranked, "chosen": ranked[0], "num_given": given, "num_right": right}
