"""Fit a model's gate on validation prompts: which signs, how much each, and from where on.

Pure functions over features. A combination is compared with each of its signs by cross-fitting;
the threshold is for an aim: the best accuracy, a budget of look-ups, or a target accuracy with as
few look-ups as that takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from avalan.evaluate.decision import Decided
from avalan.evaluate.examples import Prompt
from avalan.evaluate.fitting import NUM_FOLDS
from avalan.evaluate.metrics import accuracy, auroc
from avalan.locale import _n
from avalan.reflection.calibrate import Calibrator, best_threshold, fit, logit
from avalan.reflection.gates import FittedGate, Sign
from avalan.reflection.language import language_of

LEAST_OF_A_LANGUAGE = 40
"""Prompts, of both kinds together, from which on a language is calibrated by itself."""
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt with what every sign says of it, by sign and feature."""

    retrieve: bool
    """Its label."""
    language: str
    signs: Mapping[str, Mapping[str, float]]

    def features(self, names: Sequence[str]) -> dict[str, float]:
        """Of the signs called `names`."""
        return {key: value for name in names for key, value in self.signs[name].items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What the threshold is for; at most one of the two."""

    budget: float | None = None
    """The share of prompts that may be looked up."""
    accuracy: float | None = None
    """The share of right decisions to reach."""


def asked_of(prompts: Sequence[Prompt], signs: Mapping[str, Sign]) -> Iterator[Asked]:
    """What each sign says of each prompt, in order."""
    for prompt in prompts:
        said = {name: sign(prompt.text) for name, sign in signs.items()}
        yield Asked(retrieve=prompt.retrieve, language=language_of(prompt.text), signs=said)


def fit_gate(model: str, asked: Sequence[Asked], aim: Aim, *, seed: int = 0) -> FittedGate:
    """The signs, or all of them together, that tell best what needs a look-up.

    Raises:
        ConfigurationError: the prompts are all of one kind.
    """
    names = tuple(asked[0].signs) if asked else ()
    candidates = [names, *((name,) for name in names if len(names) > 1)]
    scores = {signs: cross_fitted(asked, signs, seed=seed) for signs in candidates}
    labels = [each.retrieve for each in asked]
    # max takes the first of equals: all of them together.
    chosen = max(candidates, key=lambda signs: auroc(labels, scores[signs]))
    threshold = threshold_for(scores[chosen], labels, aim)
    looked_up = [score >= threshold for score in scores[chosen]]
    return replace(
        fitted(asked, chosen),
        model=model,
        threshold=threshold,
        fitted_on={
            "split": "validation",
            "n": len(asked),
            "seed": seed,
            "looked_up": sum(looked_up) / len(labels),
            "accuracy": accuracy(labels, looked_up),
            "aim": {"budget": aim.budget, "accuracy": aim.accuracy},
            "cross_fitted_auroc": {
                " + ".join(signs): auroc(labels, said) for signs, said in scores.items()
            },
        },
    )


def fitted(asked: Sequence[Asked], signs: Sequence[str]) -> FittedGate:
    """The weights of certain signs and the scales of languages, with a threshold of one half."""
    labels = [each.retrieve for each in asked]
    calibrator = fit([each.features(signs) for each in asked], labels)
    return FittedGate(
        model="",
        signs=tuple(signs),
        calibrator=calibrator,
        languages=fit_languages(asked, [calibrator(each.features(signs)) for each in asked]),
        threshold=0.5,
    )


def cross_fitted(asked: Sequence[Asked], signs: Sequence[str], *, seed: int = 0) -> list[float]:
    """P(look-up) of each prompt, with what was fitted on the folds that it is not in."""
    order = list(range(len(asked)))
    Random(seed).shuffle(order)
    fold = {number: place % NUM_FOLDS for place, number in enumerate(order)}
    found = [0.0] * len(asked)
    for held_out in range(min(NUM_FOLDS, len(asked))):
        gate = fitted(
            [each for number, each in enumerate(asked) if fold[number] != held_out], signs
        )
        for number, each in enumerate(asked):
            if fold[number] == held_out:
                found[number] = gate.probability(each.features(signs), each.language)
    return found


def fit_languages(asked: Sequence[Asked], combined: Sequence[float]) -> dict[str, Calibrator]:
    """Platt scaling of the combined probability in each language that has prompts enough."""
    found = {}
    for language in sorted({each.language for each in asked} - {""}):
        rows = [
            ({"combined_logit": logit(said)}, each.retrieve)
            for each, said in zip(asked, combined, strict=True)
            if each.language == language
        ]
        labels = [label for _row, label in rows]
        if len(rows) >= LEAST_OF_A_LANGUAGE and len(set(labels)) == 2:
            found[language] = fit([row for row, _label in rows], labels)
    return found


def threshold_for(scores: Sequence[float], labels: Sequence[bool], aim: Aim) -> float:
    """From where on to look up, for an aim.

    An accuracy that no threshold reaches gives the most accurate one.
    """
    best = best_threshold(scores, labels, otherwise=[not label for label in labels])
    ranked = np.sort(np.asarray(scores, np.float64))[::-1]
    if aim.budget is not None:
        num_calls = int(aim.budget * len(ranked) + _EPSILON)
        if num_calls >= len(ranked):
            return 0.0
        # Above the first that is not looked up any more, with all that equal it.
        return float(np.nextafter(ranked[num_calls], 2.0))
    if aim.accuracy is None:
        return best
    said, truth = np.asarray(scores, np.float64), np.asarray(labels, bool)
    for threshold in (np.nextafter(1.0, 2.0), *np.unique(said)[::-1]):
        if ((said >= threshold) == truth).mean() >= aim.accuracy - _EPSILON:
            return float(threshold)
    return best


# --- side by side ------------------------------------------------------------------------------

ALWAYS, NEVER, AT_RANDOM, ALL_SIGNS = _n("always"), _n("never"), _n("at random"), _n("combined")


def compared(
    prompts: Sequence[Prompt],
    asked: Sequence[Asked],
    fitted_on: Sequence[Asked] | None,
    *,
    seed: int = 0,
) -> dict[str, tuple[float, list[Decided]]]:
    """Each sign alone, all of them combined, and what decides nothing, on the same prompts.

    Args:
        prompts, asked: of one level.
        fitted_on: validation prompts; None where `asked` are these, which then are cross-fitted.

    Returns:
        the threshold and the decisions, by column; "at random" looks as many up as the combination.
    """
    signs = tuple(asked[0].signs)
    known = asked if fitted_on is None else fitted_on
    labels = [each.retrieve for each in known]
    columns = {}
    for column, names in ({name: (name,) for name in signs} | {ALL_SIGNS: signs}).items():
        crossed = said = cross_fitted(known, names, seed=seed)
        if fitted_on is not None:
            gate = fitted(known, names)
            said = [gate.probability(each.features(names), each.language) for each in asked]
        threshold = threshold_for(crossed, labels, Aim())
        columns[column] = threshold, _decided(prompts, said, threshold)
    share = sum(each.retrieve for each in columns[ALL_SIGNS][1]) / len(prompts)
    random = Random(seed)
    nothing = {ALWAYS: [1.0] * len(prompts), NEVER: [0.0] * len(prompts)}
    nothing[AT_RANDOM] = [float(random.random() < share) for _ in prompts]
    return columns | {name: (0.5, _decided(prompts, said, 0.5)) for name, said in nothing.items()}


def _decided(prompts: Sequence[Prompt], said: Sequence[float], threshold: float) -> list[Decided]:
    return [
        Decided(
            id=prompt.id,
            probability=probability,
            retrieve=probability >= threshold,
            score=float((probability >= threshold) == prompt.retrieve),
        )
        for prompt, probability in zip(prompts, said, strict=True)
    ]
