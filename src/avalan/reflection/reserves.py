"""The reserve of a model: how sure its answers are, and which are better not given.

For the judges in the box this stands in `calibration.json`; for any other model it is fitted on
validation questions by `avalan model evaluate MODEL --task grounded-qa --calibrate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from avalan.reflection.calibrate import Calibrator
from avalan.reflection.kept import keep, kept

_FOLDER = "reserves"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedReserve:
    """What was fitted for one model."""

    model: str
    calibrator: Calibrator
    """Of the signs of an answer; see `trust`."""
    least: float
    """From which confidence on an answer is given at all, …"""
    sure: float
    """… and from which on without reserve."""
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    """Of what, for which aim, and how well."""

    def to_json(self) -> dict[str, Any]:
        """As in its file."""
        return {
            "model": self.model,
            **self.calibrator.to_json(),
            "least": self.least,
            "sure": self.sure,
            "fitted_on": dict(self.fitted_on),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError: it is no reserve."""
        return cls(
            model=str(found["model"]),
            calibrator=Calibrator.from_json(found),
            least=float(found["least"]),
            sure=float(found["sure"]),
            fitted_on=dict(found["fitted_on"]),
        )


def save(fitted: FittedReserve) -> Path:
    """Raises StateError: the state folder cannot be written."""
    return keep(_FOLDER, fitted.model, fitted.to_json())


def saved(model: str) -> FittedReserve | None:
    """The reserve that is kept for a model; None where there is none.

    Raises:
        StateError: its file is broken.
    """
    return kept(_FOLDER, model, FittedReserve.from_json, task="grounded-qa")
