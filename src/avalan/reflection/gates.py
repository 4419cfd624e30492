"""The gate of a model: several signs that a question needs a look-up, weighed together.

No sign is enough: a token's probability is as good as the training behind it, a model hesitates
over what it knows well, and a router has never met the model. A logistic combination of them,
calibrated for each language (Platt, 1999), is fitted on validation data and kept in the state
folder; see `evaluate.gates`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from avalan.model.entities import Usage
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Judge
from avalan.reflection.kept import keep, kept
from avalan.reflection.language import language_of

Sign = Callable[[str], Mapping[str, float]]
"""From a question to features by name."""

COMBINED = "combined"
_FOLDER = "gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedGate:
    """What was fitted for one model."""

    model: str
    signs: tuple[str, ...]
    """The names of the signs that count."""
    calibrator: Calibrator
    """Of their features."""
    languages: Mapping[str, Calibrator] = field(default_factory=dict)
    """Of `combined_logit`, by language; a question in another one keeps the first probability."""
    threshold: float
    """Look up from this probability on."""
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    """Of what, for which aim, and how well."""

    def probability(self, features: Mapping[str, float], language: str) -> float:
        """P(the question needs a look-up)."""
        combined = self.calibrator(features)
        scaled = self.languages.get(language)
        return combined if scaled is None else scaled({"combined_logit": logit(combined)})

    def to_json(self) -> dict[str, Any]:
        """As in its file."""
        return {
            "model": self.model,
            "signs": list(self.signs),
            **self.calibrator.to_json(),
            "languages": {name: each.to_json() for name, each in self.languages.items()},
            "threshold": self.threshold,
            "fitted_on": dict(self.fitted_on),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError: it is no gate."""
        return cls(
            model=str(found["model"]),
            signs=tuple(map(str, found["signs"])),
            calibrator=Calibrator.from_json(found),
            languages={
                name: Calibrator.from_json(each) for name, each in found["languages"].items()
            },
            threshold=float(found["threshold"]),
            fitted_on=dict(found["fitted_on"]),
        )


class CombinedGate:
    """Decides for a judge, by all the signs that were fitted; only the first decision is its own.

    In the middle of an answer the judge is asked, whose state has read what was said.
    """

    way = COMBINED

    def __init__(self, judge: Judge, fitted: FittedGate, signs: Mapping[str, Sign]) -> None:
        """
        Args:
            signs: at least those that were fitted.
        """
        self.threshold = fitted.threshold
        self.name = f"{judge.name} ({' + '.join(fitted.signs)})"
        self._judge, self._fitted = judge, fitted
        self._signs = [signs[name] for name in fitted.signs]
        self.features: Mapping[str, float] = {}
        """Of the last question, for the trace."""

    def need(self, question: str, said: str = "") -> float:
        """P(the question, or what is still to say, needs a look-up)."""
        if said:
            return self._judge.need(question, said)
        self.features = features_of(question, self._signs)
        return self._fitted.probability(self.features, language_of(question))

    def usage(self) -> Usage:
        """What its judge has read is the judge's to tell; drafts for the signs are not counted."""
        return Usage()


def features_of(question: str, signs: Sequence[Sign]) -> dict[str, float]:
    """The features of all signs."""
    return {name: value for sign in signs for name, value in sign(question).items()}


def save(fitted: FittedGate) -> Path:
    """Raises StateError: the state folder cannot be written."""
    return keep(_FOLDER, fitted.model, fitted.to_json())


def saved(model: str) -> FittedGate | None:
    """The gate that is kept for a model; None where there is none.

    Raises:
        StateError: its file is broken.
    """
    return kept(_FOLDER, model, FittedGate.from_json, task="retrieval-decision")
