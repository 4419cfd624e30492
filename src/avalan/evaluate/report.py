"""Panels side by side: what each did on the same examples, and how sure their difference is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from avalan.evaluate.examples import Prompt, Question, Split
from avalan.evaluate.statistics import Estimate, PairedTest, mcnemar, paired_difference
from avalan.locale import _, _n
from avalan.reflection.panel import RULES, Panel

BASELINE = RULES
NAME_WIDTH = 18
Example = Prompt | Question

_INTERVALS = _n(
    "Brackets: 95% intervals, Wilson's for proportions, else bootstrapped over pages or prompts."
)
_TESTED = _n(
    "The last two rows are a column's mean score less that of {name!r}, and McNemar's exact test "
    "(won:lost)."
)


class Outcome(Protocol):
    """What a panel made of one example; a dataclass."""

    @property
    def id(self) -> str: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A panel's results on the examples of one level."""

    name: str
    judges: Mapping[str, str]
    """Which judge serves each part."""
    thresholds: Mapping[str, float]
    figures: Mapping[str, Estimate | None]
    outcomes: tuple[Outcome, ...]
    """One for each example, in their order."""
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One level: its examples, and a column for each panel."""

    level: str
    examples: tuple[Example, ...]
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured, and what it takes to measure it again."""

    task: str
    split: Split
    seed: int
    top_k: int
    data: Mapping[str, str]
    """SHA-256 of each data file; empty when none was read."""
    sections: tuple[Section, ...]
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A column against the baseline, on the same examples."""

    test: PairedTest
    difference: Estimate | None
    """Of the mean scores."""


def column(
    name: str,
    panel: Panel,
    figures: Mapping[str, Estimate | None],
    outcomes: Sequence[Outcome],
    wall_s: float,
) -> Column:
    """The column of `panel`, headed `name`."""
    return Column(
        name=name,
        judges=panel.served,
        thresholds=asdict(panel.thresholds),
        figures=figures,
        outcomes=tuple(outcomes),
        wall_s=wall_s,
    )


def baseline(names: Sequence[str]) -> str | None:
    """Whom the others are compared with: the rules, or the first where they take no part."""
    if BASELINE in names:
        return BASELINE
    return names[0] if len(names) > 1 else None


def compare(section: Section, *, seed: int = 0) -> dict[str, Comparison]:
    """Each column but the baseline against it, by name; empty without a baseline."""
    scores = {each.name: [one.score for one in each.outcomes] for each in section.columns}
    if (name := baseline(list(scores))) is None:
        return {}
    groups = [example.group for example in section.examples]
    against = scores.pop(name)
    right = [score == 1 for score in against]
    return {
        name: Comparison(
            test=mcnemar([score == 1 for score in found], right),
            difference=paired_difference(found, against, groups=groups, seed=seed),
        )
        for name, found in scores.items()
    }


# --- for people --------------------------------------------------------------------------------


def table(section: Section, *, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of a section: a row for each figure, then the paired test."""
    names = [each.name for each in section.columns]
    rows = [
        [_(figure), *(estimate_text(each.figures[figure]) for each in section.columns)]
        for figure in section.columns[0].figures
    ]
    found = compare(section, seed=seed)
    if found:
        compared = [found.get(name) for name in names]
        rows.append([_("difference"), *(_difference_text(each) for each in compared)])
        rows.append([_("paired test"), *(_test_text(each) for each in compared)])
    return ["", *headings(names)], rows


def notes(report: Report) -> list[str]:
    """What the tables' brackets and last rows mean."""
    found = [_(_INTERVALS)]
    names = [each.name for each in report.sections[0].columns] if report.sections else []
    against = baseline(names)
    if against is not None and len(names) > 1:
        found.append(_(_TESTED, name=headings(names)[names.index(against)]))
    return found


def headings(names: Sequence[str]) -> list[str]:
    """Names that fit above their columns; of long paths with the same last parts, what differs.

    `/home/me/runs/one/model` and `/home/me/runs/two/model` are `one` and `two`.
    """
    short = [shortened(name) for name in names]
    alike = [name for name, text in zip(names, short, strict=True) if short.count(text) > 1]
    told = dict(zip(alike, _apart(alike), strict=True))
    return [told.get(name, text) for name, text in zip(names, short, strict=True)]


def _apart(names: Sequence[str]) -> Sequence[str]:
    """Of each path the last part that no other one has in that place; whole names without one."""
    parts = [Path(name).parts[::-1] for name in names]
    for column in zip(*parts, strict=False):
        if len(set(column)) == len(names):
            return [shortened(part) for part in column]
    return names


def estimate_text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """`0.710 [0.64, 0.77]`, or a dash."""
    if estimate is None:
        return "–"
    sign = "+" if signed else ""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"


def shortened(name: str) -> str:
    """A panel's name that fits above its column; of a path, the last part."""
    last = name if len(name) <= NAME_WIDTH else Path(name).name
    return last if len(last) <= NAME_WIDTH else f"…{last[1 - NAME_WIDTH :]}"


def _difference_text(found: Comparison | None) -> str:
    return estimate_text(found.difference, signed=True) if found else _("(baseline)")


def _test_text(found: Comparison | None) -> str:
    if found is None:
        return ""
    test = found.test
    p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return f"{p} ({test.wins}:{test.losses})"


# --- for programs ------------------------------------------------------------------------------


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values, with every example and outcome, so that it can be re-tested."""
    return {
        "task": report.task,
        "split": report.split,
        "seed": report.seed,
        "top_k": report.top_k,
        "data": dict(report.data),
        "levels": [_section(section, report.seed) for section in report.sections],
        "wall_s": report.wall_s,
    }


def _section(section: Section, seed: int) -> dict[str, Any]:
    return {
        "level": section.level,
        "n": len(section.examples),
        "panels": {each.name: _column(each) for each in section.columns},
        "against": baseline([each.name for each in section.columns]),
        "comparisons": {name: asdict(each) for name, each in compare(section, seed=seed).items()},
        "examples": [
            asdict(example) | {"results": _results(section, number)}
            for number, example in enumerate(section.examples)
        ],
    }


def _column(column: Column) -> dict[str, Any]:
    figures = {name: each and asdict(each) for name, each in column.figures.items()}
    return {
        "judges": dict(column.judges),
        "thresholds": dict(column.thresholds),
        "figures": figures,
        "wall_s": column.wall_s,
    }


def _results(section: Section, number: int) -> dict[str, Any]:
    """Each panel's outcome of one example."""
    results = {}
    for each in section.columns:
        outcome: Any = each.outcomes[number]
        values = asdict(outcome)
        values.pop("id")
        results[each.name] = values
    return results
