"""A report as files: Markdown for people, JSON for programs, and a picture for each level."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from avalan.errors import StateError, reason_of
from avalan.evaluate import plots
from avalan.evaluate.decision import Decided
from avalan.evaluate.examples import Prompt
from avalan.evaluate.grounded import Answered
from avalan.evaluate.report import Column, Report, Section, document, notes, table
from avalan.locale import _

Draw = Callable[[Path], None]


def write(report: Report, folder: Path, *, command: str) -> list[Path]:
    """Write `report.md`, `report.json` and the pictures into `folder`, made if absent.

    Args:
        command: what makes the report again.

    Raises:
        MissingExtra: matplotlib is not installed.
        StateError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = {name: draw for each in report.sections for name, draw in _pictures(each).items()}
        for name, draw in drawn.items():
            draw(folder / name)
        text = markdown(report, command=command, pictures=list(drawn))
        (folder / "report.md").write_text(text, encoding="utf-8")
        content = json.dumps(document(report), indent=1, ensure_ascii=False) + "\n"
        (folder / "report.json").write_text(content, encoding="utf-8")
    except OSError as error:
        raise StateError(
            "The report cannot be written to {folder} ({reason}); name another folder with "
            "--report DIR.",
            folder=folder,
            reason=reason_of(error),
        ) from None
    return [folder / name for name in ("report.md", "report.json", *drawn)]


def markdown(report: Report, *, command: str, pictures: list[str]) -> str:
    """The tables, what they were measured on, and how to measure them again."""
    lines = [
        f"# {report.task}",
        "",
        f"`{command}`",
        "",
        f"Split {report.split}, seed {report.seed}, top-k {report.top_k}.",
    ]
    for section in report.sections:
        headers, rows = table(section, seed=report.seed)
        lines += ["", f"## {section.level}: {len(section.examples):,} examples", ""]
        lines += [_row(headers), _row(["---"] * len(headers)), *map(_row, rows)]
        lines += [
            line
            for name in pictures
            if name.endswith(f"-{section.level}.png")
            for line in ("", f"![{name.removesuffix('.png')}]({name})")
        ]
    lines += ["", *notes(report)]
    if report.data:
        lines += ["", "Data (SHA-256):", ""]
        lines += [f"* `{name}` {digest}" for name, digest in report.data.items()]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _pictures(section: Section) -> Mapping[str, Draw]:
    """What is drawn of a level, by the file's name."""
    decisions = {each.name: _decided(section, each) for each in section.columns}
    answers = {each.name: _answered(each) for each in section.columns}
    found: dict[str, Draw] = {}
    if kept := {name: pairs for name, pairs in decisions.items() if pairs is not None}:
        title = _("Reliability, {level}", level=section.level)
        found[f"reliability-{section.level}.png"] = lambda path: plots.reliability(
            kept, path, title=title
        )
    if given := {name: pairs for name, pairs in answers.items() if pairs is not None}:
        heading = _("Risk and coverage, {level}", level=section.level)
        found[f"risk-coverage-{section.level}.png"] = lambda path: plots.risk_coverages(
            given, path, title=heading
        )
    return found


def _decided(section: Section, column: Column) -> plots.Pairs | None:
    outcomes = [each for each in column.outcomes if isinstance(each, Decided)]
    labels = [each.retrieve for each in section.examples if isinstance(each, Prompt)]
    return (labels, [each.probability for each in outcomes]) if outcomes else None


def _answered(column: Column) -> plots.Pairs | None:
    outcomes = [each for each in column.outcomes if isinstance(each, Answered)]
    if not outcomes:
        return None
    return (
        [each.score == 1 for each in outcomes],
        [0.0 if each.answer is None else each.confidence for each in outcomes],
    )
