"""`avalan model train`: a recipe becomes a model, step by step, and goes on after a kill."""

import argparse
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import load_changed
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _, _n


def configure(parser: Parser) -> None:
    """One recipe, one folder, and changes to the recipe."""
    parser.examples = (
        "avalan model train bundled --dry-run",
        "avalan model train bundled --out runs/bundled",
        "avalan model train bundled --out runs/other --set run.seed=8 --set loss.eos=1.0",
    )
    parser.add_argument(
        "recipe", metavar="RECIPE", help=_("a TOML file, or the name of one that ships: bundled")
    )
    parser.add_argument(
        "--out", metavar="DIR", help=_("the run's folder; a run in it goes on  [runs/RECIPE]")
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=_("change a value of the recipe, as run.seed=8; may be repeated"),
    )
    parser.add_argument("--dry-run", action="store_true", help=_("show the plan and stop"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Train; 130 when it was interrupted, and the next start goes on."""
    _check_words(args)
    load = extras.load("avalan.train.kinds").load_any
    recipe = load_changed(load, args.recipe, args.set)
    out = Path(args.out).expanduser() if args.out else Path("runs") / recipe.name
    if args.dry_run:
        return _show_plan(recipe, out, console)
    _check_folder(recipe, out)
    screen = extras.load("avalan.cli.display.training").Screen(console)
    try:
        return _train(recipe, out, args, console, screen)
    except KeyboardInterrupt:
        screen.leave()
        return _interrupted(args, out, console, screen)
    finally:
        screen.leave()


def _check_words(args: argparse.Namespace) -> None:
    if not args.recipe.strip():
        raise UsageError("The name of the recipe is empty; give a TOML file, or: bundled.")
    if args.device not in (None, "cpu", "cuda"):
        raise UsageError("Training runs on cpu or cuda, not on {device!r}.", device=args.device)


def _check_folder(recipe: Any, out: Path) -> None:
    """What forbids the run is said before torch is loaded, which takes seconds."""
    size = extras.load("avalan.train.plan").checkpoint_size(recipe)
    extras.load("avalan.train.run_folder").check_writable(recipe, out, size_bytes=size)


def _show_plan(recipe: Any, out: Path, console: Console) -> int:
    display = extras.load("avalan.cli.display.training")
    plan = extras.load("avalan.train.plan").plan(recipe, out)
    if console.as_json:
        console.json(asdict(plan))
    console.print((_("The plan of {recipe}", recipe=plan.recipe), "bold"))
    hang = extras.load("avalan.cli.display.layout").hang
    rows = display.plan_rows(plan)
    indent = max(len(label) for label, text in rows) + 3
    for label, text in rows:
        lead = (f"  {label}".ljust(indent), "dim")
        for line in hang(lead, [text], console.width, indent=indent, margin=4, cut=False):
            console.print(*line, wrap=False)
    return 0


def _train(recipe: Any, out: Path, args: argparse.Namespace, console: Console, screen: Any) -> int:
    screen.phase(_n("Loading torch"))
    module, name = recipe.trainer
    trainer = getattr(extras.load(module, extra="train"), name)
    folder = trainer(recipe, out, lambda event: _show(event, screen), device=args.device)
    screen.drawing(extras.load("avalan.train.run_folder").reports(out))
    if console.as_json:
        console.json({"event": "done", "model": str(folder)})
    elif console.quiet:
        console.print(str(folder))
    else:
        console.print(_("The model is in {folder}; try it with:", folder=folder))
        command = recipe.trial.format(folder=shlex.quote(str(folder)))
        console.print((f"  {command}", "bold"), wrap=False)
    return 0


def _show(event: Any, screen: Any) -> None:
    if hasattr(event, "step"):
        screen.step_report(event)
    else:
        screen.phase(event.text)


def _interrupted(args: argparse.Namespace, out: Path, console: Console, screen: Any) -> int:
    run_folder = extras.load("avalan.train.run_folder")
    checkpoint = run_folder.last_checkpoint(out)
    done = run_folder.step_of(checkpoint) if checkpoint else 0
    if console.as_json:
        console.json({"event": "interrupted", "step": screen.step, "checkpoint_step": done})
    text = _n("Interrupted; no checkpoint was written yet. To go on, run the same again: {command}")
    if done:
        text = _n("Interrupted; step {step:,} is kept. To go on, run the same again: {command}")
    console.note(_(text, step=done, command=_command(args)))
    return 130


def _command(args: argparse.Namespace) -> str:
    words = ["avalan", "model", "train", args.recipe]
    words += ["--out", args.out] if args.out else []
    for change in args.set:
        words += ["--set", change]
    words += ["--device", args.device] if args.device else []
    return shlex.join(words)
