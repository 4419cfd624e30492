"""`avalan model evaluate`: panels side by side on a task, or calibration on validation data."""

import argparse
import json
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.arrival import arriving
from avalan.cli.console import Console
from avalan.cli.display.units import seconds_text
from avalan.cli.options import add_fields, as_usage, from_args, number, whole_number
from avalan.cli.parser import Parser
from avalan.errors import StateError, UsageError
from avalan.locale import _, _n, ngettext
from avalan.model.entities import EngineSettings

DEFAULT = "default"
SHIPPED = ("bundled", "reader")
JUDGES = (*SHIPPED, "rules")
PANELS = (*JUDGES, DEFAULT)
TASKS = ("grounded-qa", "retrieval-decision", "adaptive-qa", "reflection-tokens")
_NAMED = ", ".join(TASKS)
_PARTS = {
    "need": _n("need"), "memory": _n("memory"), "relevance": _n("relevance"), "span": _n("span"),
    "abstention": _n("abstention"), "support": _n("support"), "reference": _n("reference"),
}  # fmt: skip


def configure(parser: Parser) -> None:
    """Models, a task, and what to measure it on."""
    parser.examples = (
        "avalan model evaluate --task grounded-qa --num 50",
        "avalan model evaluate rules --task retrieval-decision --level G3",
        "avalan model evaluate bundled --calibrate --out calibration.json",
        "avalan model evaluate ./model --task retrieval-decision --calibrate --budget 0.4",
    )
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help=_(
            "bundled, reader, rules, default (the judges that `avalan ask` uses), or any other "
            "model; rules always takes part  [bundled reader rules default]"
        ),
    )
    task = parser.add_argument_group(_("Task"))
    task.add_argument("--task", metavar="TASK", help=_("one of: {names}", names=_NAMED))
    task.add_argument(
        "--level",
        metavar="LEVELS",
        help=_(
            "some of G0,G1,G2,G3, from seen wordings to written [all]; T: the textbook; "
            "H: invented papers; P: Python's reference text"
        ),
    )
    task.add_argument(
        "--split",
        metavar="SPLIT",
        default="validation",
        help=_("validation, or test: once per release [validation]"),
    )
    _add_number(task, "--num", 200, _("examples of each level made from a seed; G3 is whole"))
    _add_number(task, "--seed", 0, _("seed of the made examples and of the intervals"))
    _add_number(task, "--top-k", 5, _("passages that are read for each question"))
    task.add_argument("--data", metavar="DIR", help=_("folder of the G3 files [the checkout's]"))
    task.add_argument(
        "--textbook", metavar="DIR", help=_("folder of the textbook [the checkout's]")
    )
    task.add_argument(
        "--report",
        metavar="DIR",
        help=_("a folder for the report as Markdown and JSON, with its pictures"),
    )
    task.add_argument(
        "--signs",
        action="store_true",
        help=_("of retrieval-decision: each sign of one model alone, and all of them combined"),
    )
    fit = parser.add_argument_group(_("Calibration"))
    fit.add_argument(
        "--calibrate", action="store_true", help=_("fit thresholds and defaults on validation data")
    )
    fit.add_argument("--out", metavar="FILE", help=_("the calibration file to write"))
    for option, text in (
        ("--budget", _n("with --task retrieval-decision: of all questions, look up so many")),
        ("--target-accuracy", _n("or as few as this share of right decisions takes")),
        ("--target-precision", _n("with --task grounded-qa: answer where so many are right")),
    ):
        fit.add_argument(option, type=number, metavar="SHARE", help=_(text))
    loading = parser.add_argument_group(_("Model"))
    add_fields(loading, EngineSettings, ["engine", "weight_type", "num_threads"])
    parser.set_defaults(run=run)


def _add_number(group: Any, option: str, default: int, text: str) -> None:
    group.add_argument(
        option, type=whole_number, default=default, metavar="N", help=f"{text} [{default}]"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Measure, or calibrate."""
    if args.task == TASKS[1] and (args.calibrate or args.signs):
        gate = extras.load("avalan.cli.commands.evaluate_gate")
        code: int = (gate.run if args.calibrate else gate.compare)(args, console)
        return code
    if args.task == TASKS[0] and args.calibrate:
        reserve: int = extras.load("avalan.cli.commands.evaluate_reserve").run(args, console)
        return reserve
    if args.calibrate:
        return _calibrate(args, console)
    if args.task is None:
        raise UsageError("Name what to measure with --task: {names}", names=_NAMED)
    if args.out is not None:
        raise UsageError("--out goes with --calibrate; a report is saved with: --json > FILE")
    aims = (args.budget, args.target_accuracy, args.target_precision)
    if aims != (None, None, None):
        raise UsageError("--budget, --target-accuracy and --target-precision go with --calibrate.")
    if args.signs:
        raise UsageError(
            "--signs compares what one model tells of a prompt; name it, as in: "
            "avalan model evaluate MODEL --task retrieval-decision --signs"
        )
    return _measure(args, console)


# --- measuring -----------------------------------------------------------------------------------


def _measure(args: argparse.Namespace, console: Console) -> int:
    tasks = extras.load("avalan.evaluate.tasks")
    plan = planned(args, tasks, console)
    settings = from_args(EngineSettings, args)
    names = _names(args.models, PANELS)
    if args.task == TASKS[3]:  # Rules have no tokens.
        names = list(dict.fromkeys(args.models)) or ["bundled"]
    find(names, settings, console)
    panels = {name: partial(_open_panel, name, settings, console) for name in names}
    report = tasks.run(plan, panels, tell=lambda step: show_step(step, console))
    tell(report, args, console)
    return 0


def tell(report: Any, args: argparse.Namespace, console: Console) -> None:
    """Show a report, and write it where it is to be written."""
    reports = extras.load("avalan.evaluate.report")
    if console.as_json:
        console.json(reports.document(report))
    else:
        _show(report, reports, console)
    if args.report is not None:
        _write_report(report, args, console)


def _write_report(report: Any, args: argparse.Namespace, console: Console) -> None:
    command = f"avalan model evaluate {' '.join(_names(args.models, PANELS))} --task {args.task}"
    levels = ",".join(section.level for section in report.sections)
    command += f" --level {levels} --split {args.split} --num {args.num} --seed {args.seed}"
    files = extras.load("avalan.evaluate.report_files", extra="report")
    paths = files.write(report, Path(args.report).expanduser(), command=command)
    console.note(_("Wrote {path}.", path=paths[0]))


def planned(args: argparse.Namespace, tasks: Any, console: Console) -> Any:
    """What to measure, checked before anything is opened."""
    wanted = None if args.level is None else [level.strip() for level in args.level.split(",")]
    with as_usage():
        levels = tasks.levels_of(tasks.USUAL if wanted is None else wanted)
    data = _data(args)
    if data is None and "G3" in levels and wanted is None:
        console.note(
            _(
                "G3 is skipped: its files are in the source checkout, in tests/data; "
                "name that folder with --data DIR."
            )
        )
        levels = tuple(level for level in levels if level != "G3")
    plan = tasks.Plan(
        task=args.task,
        levels=levels,
        split=args.split,
        num=args.num,
        seed=args.seed,
        top_k=args.top_k,
        data=data,
        textbook=_textbook(args),
    )
    with as_usage():
        tasks.check_values(plan)
    tasks.check(plan)
    return plan


def _data(args: argparse.Namespace) -> Path | None:
    if args.data is not None:
        return Path(args.data).expanduser()
    found: Path | None = extras.load("avalan.evaluate.examples").default_data()
    return found


def _textbook(args: argparse.Namespace) -> Path | None:
    if args.textbook is not None:
        return Path(args.textbook).expanduser()
    found: Path | None = extras.load("avalan.evaluate.examples").default_textbook()
    return found


def _names(models: list[str], otherwise: tuple[str, ...]) -> list[str]:
    """Each panel once; `rules` is what everything is compared with."""
    return list(dict.fromkeys([*models, "rules"] if models else otherwise))


def find(names: list[str], settings: EngineSettings, console: Console) -> None:
    """Every model is found before the first is measured."""
    load = extras.load("avalan.model.load")
    bundled = extras.load("avalan.model.bundled")
    with as_usage():
        for name in names:
            if name in SHIPPED:
                bundled.find(name)
            elif name not in PANELS:
                with arriving(name, console):
                    load.find_folder(name, settings)


def _open_panel(name: str, settings: EngineSettings, console: Console) -> Any:
    open_panel = extras.load("avalan.reflection.panel").open_panel
    panel = open_panel(None if name == DEFAULT else name, settings)
    for remark in panel.remarks:
        console.note((_("note"), "yellow"), " ", remark)
    return panel


def _show(report: Any, reports: Any, console: Console) -> None:
    seed = _("seed {seed}", seed=report.seed)
    console.print((report.task, "bold"), f" · {report.split} · {seed} · top-k {report.top_k}")
    for section in report.sections:
        headers, rows = reports.table(section, seed=report.seed)
        console.print()
        console.print((section.level, "bold"), f"  {_size(section)}")
        console.table(headers, rows)
    console.print()
    for note in reports.notes(report):
        console.note((note, "dim"))
    console.note((_("Measured in {time}.", time=seconds_text(report.wall_s)), "dim"))


def _size(section: Any) -> str:
    num = len(section.examples)
    could = [getattr(example, "answerable", None) for example in section.examples]
    if None in could:
        return ngettext("{n} example", "{n} examples", num)
    return ngettext(
        "{n} example, {known} of them answerable",
        "{n} examples, {known} of them answerable",
        num,
        known=could.count(True),
    )


def show_step(step: Any, console: Console) -> None:
    done = _("{done} of {total}", done=step.done, total=step.num)
    console.progress(f"{step.who} · {step.what} · {done}")


# --- calibrating ---------------------------------------------------------------------------------


def _calibrate(args: argparse.Namespace, console: Console) -> int:
    out = _checked(args)
    data, book = needed(args)
    calibration = extras.load("avalan.evaluate.calibration")
    settings = from_args(EngineSettings, args)
    names = _names(args.models, JUDGES)
    find(names, settings, console)
    validation = calibration.validation(data, book, seed=args.seed)
    with ExitStack() as stack:
        judges = {name: _open_judge(name, settings, stack) for name in names}
        found = calibration.calibrate(
            judges, validation, top_k=args.top_k, tell=lambda step: show_step(step, console)
        )
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if console.as_json:
        console.json(found)
    else:
        _show_choices(found["fitted_on"], console)
        console.print(_("Wrote {path}.", path=out))
    return 0


def needed(args: argparse.Namespace) -> tuple[Path, Path]:
    """The folders of the validation data and of the textbook."""
    data, book = _data(args), _textbook(args)
    if data is None:
        raise UsageError(
            "Calibration needs the validation data; name the tests/data of a checkout with: "
            "--data DIR"
        )
    if book is None:
        raise UsageError(
            "Calibration needs the textbook; name the data/textbook of a checkout with: "
            "--textbook DIR"
        )
    return data, book


def _checked(args: argparse.Namespace) -> Path:
    """The file to write; whatever forbids calibrating is said before an hour is spent."""
    with as_usage():
        extras.load("avalan.evaluate.tasks").check_numbers(args.num, args.seed, args.top_k)
    if args.task is not None or args.level is not None:
        raise UsageError("--calibrate fits on all validation data; leave --task and --level out.")
    if args.budget is not None or args.target_accuracy is not None:
        raise UsageError(
            "--budget and --target-accuracy are for a model's gate; add --task retrieval-decision."
        )
    if args.target_precision is not None:
        raise UsageError("--target-precision is for a model's answers; add --task grounded-qa.")
    if args.split != "validation":
        raise UsageError(
            "--calibrate with --split {split} would fit on the data that must stay unseen; "
            "leave --split out.",
            split=args.split,
        )
    if DEFAULT in args.models:
        raise UsageError("'default' is what --calibrate chooses; name a model, or leave it out.")
    if not args.out:
        raise UsageError("Calibration needs a file to write; name it with: --out FILE")
    out = Path(args.out).expanduser()
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise StateError(
            "{path} cannot be written, because it is a folder, or lies in none that can be "
            "written to; name another file with --out.",
            path=out,
        )
    return out


def _open_judge(name: str, settings: EngineSettings, stack: Any) -> Any:
    """A judge without calibrators."""
    open_panel = extras.load("avalan.reflection.panel").open_panel
    return stack.enter_context(open_panel(name, settings, calibrated=False)).need


def _show_choices(fitted_on: dict[str, Any], console: Console) -> None:
    rows = [
        [_(_PARTS[part]), fitted_on["n"][part], choice["chosen"], _reason(choice)]
        for part, choice in fitted_on["choices"].items()
    ]
    headers = [_("part"), _("examples"), _("served by"), _("because, cross-fitted")]
    console.table(headers, rows)


def _reason(choice: dict[str, Any]) -> str:
    if "scores" not in choice:
        right, given = choice["num_right"], choice["num_given"]
        return _("{right} of {given} given are right", right=right, given=given)
    scores = ", ".join(f"{name} {score:.3f}" for name, score in choice["scores"].items())
    if "better_by" not in choice:
        return scores
    return scores + " ({:+.3f} [{:+.2f}, {:+.2f}])".format(*choice["better_by"])
