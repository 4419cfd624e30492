"""Calibration on validation data: what is fitted for each judge, and which serves which part.

The gate is fitted on the written prompts; the memory on what the model was taught by heart, beside
prompts to which it was taught no answer; the reading on written questions (G3), its weights on as
many made ones (G1) too. Judges are compared by cross-fitting: each example is scored with what was
fitted on the folds that it is not in. The test split is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from avalan.evaluate import cases, fitting
from avalan.evaluate.cases import Recalled
from avalan.evaluate.examples import (
    Prompt,
    QuestionSet,
    data_hashes,
    generated_questions,
    taught_answers,
    written_prompts,
    written_questions,
)
from avalan.evaluate.fitting import PRECISION, Fitted
from avalan.evaluate.progress import Reporter, Tell, unheard
from avalan.evaluate.statistics import mcnemar, wilson
from avalan.reflection.judge import Judge
from avalan.reflection.panel import PARTS, RULES

NUM_TAUGHT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The examples of the validation split that everything is fitted on."""

    prompts: tuple[Prompt, ...]
    recalled: tuple[Recalled, ...]
    sets: tuple[QuestionSet, ...]
    data: Mapping[str, str]
    """SHA-256 of each data file."""
    seed: int
    """Of what was made, and of the folds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a judge: what was fitted, and its cross-fitted scores, one for each case."""

    fitted: Fitted
    scores: tuple[float, ...]


Parts = Mapping[str, Part]
"""By part; a judge without a memory has no such part."""


def validation(folder: Path, *, seed: int = 0) -> Validation:
    """The validation data of a data folder, and what is made to go with it.

    Raises:
        ConfigurationError: a file is missing or broken.
    """
    prompts = written_prompts(folder, "validation")
    written = written_questions(folder, "validation")
    made = generated_questions("G1", len(written.questions), split="validation", seed=seed)
    taught = taught_answers(NUM_TAUGHT, split="validation", seed=seed)
    known = (Recalled(text=question, answer=answer) for question, answer in taught)
    return Validation(
        prompts=prompts,
        recalled=(*known, *cases.untaught(prompts)),
        sets=(written, made),
        data=data_hashes(folder),
        seed=seed,
    )


def calibrate(
    judges: Mapping[str, Judge], data: Validation, *, top_k: int = 5, tell: Tell = unheard
) -> dict[str, Any]:
    """Fit every part of every judge and choose the defaults: the content of `calibration.json`.

    Args:
        judges: uncalibrated, by the names under which panels open them. For the defaults, the
            first that is not `rules` competes with `rules`.
        top_k: how many passages are read for each question.
    """
    parts = {name: _parts(name, judge, data, top_k, tell) for name, judge in judges.items()}
    choices = {part: _choice(part, parts) for part in PARTS}
    return {
        "default": {part: choice["chosen"] for part, choice in choices.items()},
        "judges": {
            name: {part: found.fitted.to_json() for part, found in each.items()}
            for name, each in parts.items()
        },
        "fitted_on": {
            "split": "validation",
            "seed": data.seed,
            "top_k": top_k,
            "n": {
                "need": len(data.prompts),
                "memory": len(data.recalled),
                "reading": len(data.sets[0].questions),
            },
            "data": dict(data.data),
            "choices": choices,
        },
    }


def _parts(name: str, judge: Judge, data: Validation, top_k: int, tell: Tell) -> Parts:
    said = partial(Reporter, tell=tell, who=name)
    parts = {
        # The rules' gate has no calibrator in a panel, only a threshold.
        "need": _need(judge, data, said(what="need"), scaled=name != RULES),
        "memory": _memory(judge, data, said(what="memory")),
        "reading": _reading(judge, data, top_k, said(what="reading")),
    }
    return {part: found for part, found in parts.items() if found is not None}


def _need(judge: Judge, data: Validation, reporter: Reporter, *, scaled: bool) -> Part:
    asked = cases.need_cases(judge, data.prompts)
    found = list(reporter.following(asked, len(data.prompts)))
    fit = partial(fitting.fit_need, scaled=scaled)
    scores = fitting.cross_fitted(found, fit, fitting.score_need, seed=data.seed)
    return Part(fitted=fit(found), scores=scores)


def _memory(judge: Judge, data: Validation, reporter: Reporter) -> Part | None:
    asked = cases.memory_cases(judge, data.recalled)
    drafts = list(reporter.following(asked, len(data.recalled)))
    found = [draft for draft in drafts if draft is not None]
    if not found:
        return None
    scores = fitting.cross_fitted(found, fitting.fit_memory, fitting.score_memory, seed=data.seed)
    return Part(fitted=fitting.fit_memory(found), scores=scores)


def _reading(judge: Judge, data: Validation, top_k: int, reporter: Reporter) -> Part:
    """Weights from all sets; the threshold and the choice from the written questions alone."""
    read = (cases.reading_cases(judge, each, top_k=top_k) for each in data.sets)
    num = sum(len(each.questions) for each in data.sets)
    found = list(reporter.following((case for each in read for case in each), num))
    written, made = found[: len(data.sets[0].questions)], found[len(data.sets[0].questions) :]
    fit = partial(fitting.fit_reading, more=made)
    scores = fitting.cross_fitted(written, fit, fitting.score_reading, seed=data.seed)
    return Part(fitted=fit(written), scores=scores)


# --- the choice --------------------------------------------------------------------------------


def _choice(part: str, parts: Mapping[str, Parts]) -> dict[str, Any]:
    """Which judge serves `part`, and why."""
    model = next((name for name in parts if name != RULES), RULES)
    found = {
        name: parts[name][part].scores for name in (model, RULES) if part in parts.get(name, {})
    }
    if part == "memory":
        return _memory_choice(model, found.get(model, ()))
    scores = {name: fmean(each) for name, each in found.items()}
    chosen = model if scores[model] > scores.get(RULES, 0.0) else RULES
    choice: dict[str, Any] = {"chosen": chosen, "scores": scores}
    if len(found) == 2:
        first, second = ([score == 1 for score in each] for each in found.values())
        test = mcnemar(first, second)
        choice |= {"wins": test.wins, "losses": test.losses, "p_value": test.p_value}
    return choice


def _memory_choice(model: str, scores: tuple[float, ...]) -> dict[str, Any]:
    """The model, if what it gives may well be as precise as it should be; rules know nothing."""
    num_right, num_wrong = scores.count(1.0), scores.count(-1.0)
    precision = wilson(num_right, num_right + num_wrong)
    is_precise = precision is not None and (precision.high or 0.0) >= PRECISION
    return {
        "chosen": model if is_precise else RULES,
        "num_given": num_right + num_wrong,
        "num_right": num_right,
    }
