"""`avalan model evaluate MODEL --task retrieval-decision --calibrate`: a gate for one model."""

import argparse
from time import perf_counter
from typing import Any

from avalan import extras
from avalan.cli.commands.evaluate import DEFAULT, find, needed, planned, show_step, tell
from avalan.cli.console import Console
from avalan.cli.options import as_usage, from_args
from avalan.errors import UsageError
from avalan.locale import _, _n
from avalan.model.entities import EngineSettings

_SIGNS = (
    *(_n("token"), _n("draft"), _n("similarity")),
    *(_n("reader"), _n("router"), _n("rules")),
)
"""As they are called in `reflection.signs`."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Fit when one model looks something up, and keep that for whenever it is asked."""
    aim = _aim(args)
    (name,) = args.models
    fit = extras.load("avalan.evaluate.gates")
    gates = extras.load("avalan.reflection.gates")
    settings = from_args(EngineSettings, args)
    find([name], settings, console)
    prompts = _prompts(args)
    panel, signs = extras.load("avalan.reflection.panel").open_signs(name, settings)
    with panel:
        asked = _asked(name, prompts, signs, args.task, console)
    fitted = fit.fit_gate(name, asked, aim, seed=args.seed)
    path = gates.save(fitted)
    if console.as_json:
        console.json(fitted.to_json())
        return 0
    found = fitted.fitted_on["cross_fitted_auroc"]
    rows = [[_shown(signs), f"{score:.3f}"] for signs, score in found.items()]
    console.table([_("signs"), _("AUROC, cross-fitted")], rows)
    shares = {key: fitted.fitted_on[key] for key in ("looked_up", "accuracy")}
    console.print(
        _(
            "Looks up from {threshold:.3f} on: {looked_up:.0%} of {n} prompts, of which "
            "{accuracy:.1%} are decided rightly.",
            threshold=fitted.threshold,
            n=len(prompts),
            **shares,
        )
    )
    console.print(_("Wrote {path}.", path=path))
    return 0


def compare(args: argparse.Namespace, console: Console) -> int:
    """Each sign of one model, all of them combined, and what decides nothing, side by side."""
    if len(args.models) != 1 or args.models[0] == DEFAULT:
        raise UsageError(
            "--signs compares what one model tells of a prompt; name it, as in: "
            "avalan model evaluate MODEL --task retrieval-decision --signs"
        )
    began = perf_counter()
    (name,) = args.models
    fit, tasks = extras.load("avalan.evaluate.gates"), extras.load("avalan.evaluate.tasks")
    settings = from_args(EngineSettings, args)
    plan = planned(args, tasks, console)
    find([name], settings, console)
    sections = []
    panel, signs = extras.load("avalan.reflection.panel").open_signs(name, settings)
    with panel:
        known = None
        if plan.split != "validation":
            known = _asked(name, _prompts(args), signs, "validation", console)
        for level in plan.levels:
            prompts = tasks.make(plan, level)
            asked = _asked(name, prompts, signs, level, console)
            columns = fit.compared(prompts, asked, known, seed=plan.seed)
            sections.append(_section(level, prompts, columns, plan.seed))
    report = extras.load("avalan.evaluate.report").Report(
        task=f"{plan.task}: {name}",
        split=plan.split,
        seed=plan.seed,
        top_k=plan.top_k,
        data=tasks.hashes(plan),
        sections=tuple(sections),
        wall_s=perf_counter() - began,
    )
    tell(report, args, console)
    return 0


def _section(level: str, prompts: Any, columns: dict[str, Any], seed: int) -> Any:
    reports = extras.load("avalan.evaluate.report")
    decision = extras.load("avalan.evaluate.decision")
    return reports.Section(
        level=level,
        examples=tuple(prompts),
        columns=tuple(
            reports.Column(
                name=column,
                judges={},
                thresholds={"need": threshold},
                figures=decision.summarise(prompts, decided, seed=seed),
                outcomes=tuple(decided),
                wall_s=0.0,
            )
            for column, (threshold, decided) in columns.items()
        ),
    )


def _asked(name: str, prompts: Any, signs: Any, what: str, console: Console) -> list[Any]:
    """What each sign says of each prompt, with a line that tells how far it is."""
    progress = extras.load("avalan.evaluate.progress")
    reporter = progress.Reporter(tell=lambda step: show_step(step, console), who=name, what=what)
    told = extras.load("avalan.evaluate.gates").asked_of(prompts, signs)
    return list(reporter.following(told, len(prompts)))


def _shown(signs: str) -> str:
    return " + ".join(_(sign) if sign in _SIGNS else sign for sign in signs.split(" + "))


def _aim(args: argparse.Namespace) -> Any:
    if len(args.models) != 1 or args.models[0] == DEFAULT:
        raise UsageError(
            "A gate is fitted for one model; name it, as in: "
            "avalan model evaluate MODEL --task retrieval-decision --calibrate"
        )
    if args.out is not None or args.level is not None or args.split != "validation":
        raise UsageError(
            "A gate is fitted on all validation prompts and kept in the state folder; leave --out, "
            "--level and --split out."
        )
    if args.budget is not None and args.target_accuracy is not None:
        raise UsageError("--budget and --target-accuracy are two aims; give one of them.")
    check = extras.load("avalan.reflection.panel").check_probability
    with as_usage():
        check("--budget", args.budget)
        check("--target-accuracy", args.target_accuracy)
    made = extras.load("avalan.evaluate.gates").Aim
    return made(budget=args.budget, accuracy=args.target_accuracy)


def _prompts(args: argparse.Namespace) -> Any:
    """The validation prompts that were written one by one."""
    data, book = needed(args)
    examples = extras.load("avalan.evaluate.examples")
    read = extras.load("avalan.data.textbook").read(book).part("validation")
    return (*examples.written_prompts(data, "validation"), *examples.textbook_prompts(read))
