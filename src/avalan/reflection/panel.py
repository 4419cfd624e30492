"""The panel: which judge serves which part, and the thresholds of each.

`calibration.json` records what was fitted on validation data, for every judge, and the default
choice. A model named by the user serves every part by itself.
"""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Self

from avalan import extras
from avalan.errors import ConfigurationError
from avalan.model.entities import EngineSettings, Usage
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.judge import Judge
from avalan.reflection.rules import RulesJudge

RULES, BUNDLED = "rules", "bundled"
PARTS = ("need", "memory", "reading")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From which probability on a judge's word counts."""

    need: float = 0.5
    memory: float = 0.5
    reading: float = 0.5


class Panel(AbstractContextManager["Panel"]):
    """Judges by part: `need` (look up?), `memory` (closed book) and `reading` (passages)."""

    def __init__(self, name: str, judges: Mapping[str, Judge], thresholds: Thresholds) -> None:
        self.name = name
        self.need = judges["need"]
        self.memory = judges["memory"]
        self.reading = judges["reading"]
        self.critic = next((judge for judge in judges.values() if hasattr(judge, "critique")), None)
        """A judge that grades what another has quoted, if there is one."""
        self.thresholds = thresholds
        self._close: list[Any] = []

    def usage(self) -> Usage:
        """Tokens of all judges together."""
        judges = {id(judge): judge for judge in (self.need, self.memory, self.reading)}
        used = [judge.usage() for judge in judges.values()]
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
        )

    def closes(self, resource: Any) -> Self:
        """Close `resource` with the panel."""
        self._close.append(resource)
        return self

    def __exit__(self, *_args: object) -> None:
        for resource in self._close:
            resource.close()


@cache
def calibration() -> dict[str, Any]:
    """The content of `calibration.json`."""
    text = (files("avalan.reflection") / "calibration.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def open_panel(name: str | None = None, settings: EngineSettings | None = None) -> Panel:
    """The panel called `name`.

    Args:
        name: `rules`, `bundled`, any model with reflection tokens, or None for the default: each
            part served by the judge that did best on validation data.

    Raises:
        ModelError: the model cannot be loaded, or has no reflection tokens.
    """
    if name == RULES:
        rules = _rules()
        return Panel(RULES, dict.fromkeys(PARTS, rules), _thresholds(RULES))
    choice = calibration()["default"] if name is None else dict.fromkeys(PARTS, name)
    if set(choice.values()) == {RULES}:
        return open_panel(RULES, settings)
    model = extras.load("avalan.model.load").open_model(name or BUNDLED, settings)
    calibrated = name or BUNDLED
    judge = extras.load("avalan.reflection.token_judge").TokenJudge(
        model, **{part: _calibrator(calibrated, part) for part in PARTS}
    )
    judges = {part: _rules() if choice[part] == RULES else judge for part in PARTS}
    chosen = {part: getattr(_thresholds(choice[part]), part) for part in PARTS}
    mixed = len(set(choice.values())) > 1
    shown = f"{calibrated}+{RULES}" if mixed else calibrated
    return Panel(shown, judges, Thresholds(**chosen)).closes(model)


def _rules() -> RulesJudge:
    return RulesJudge(reading=_calibrator(RULES, "reading"))


def _calibrator(judge: str, part: str) -> Calibrator | None:
    """The fitted calibrator of a judge's part; a model that has none is taken at its word."""
    fitted = calibration()["judges"].get(judge, {}).get(part)
    if not fitted or "weights" not in fitted:
        return None
    return Calibrator(weights=fitted["weights"], bias=fitted["bias"])


def _thresholds(judge: str) -> Thresholds:
    parts = calibration()["judges"].get(judge, {})
    fitted = {part: parts.get(part, {}).get("threshold") for part in PARTS}
    return Thresholds(**{part: value for part, value in fitted.items() if value is not None})


def check_probability(name: str, value: float | None) -> None:
    """Raises ConfigurationError unless `value` is None or lies between 0 and 1."""
    if value is not None and not 0.0 <= value <= 1.0:
        raise ConfigurationError(
            "{name} is {value:g}, but a probability lies between 0 and 1; try {name} 0.5.",
            name=name,
            value=value,
        )
