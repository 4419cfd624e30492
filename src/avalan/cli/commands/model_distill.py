"""`avalan model distill`: a student learns from a teacher, and is compared with itself without."""

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
from avalan.locale import _

METHODS = ("auto", "sequence", "logits", "on-policy")


def configure(parser: Parser) -> None:
    """Two models, data, a method."""
    parser.examples = (
        "avalan model distill --teacher large --student small --data sets/avalon",
        "avalan model distill --teacher large --student small --data sets/avalon --method sequence",
    )
    parser.add_argument("--teacher", metavar="MODEL", help=_("who is learned from; any model"))
    parser.add_argument(
        "--student", metavar="MODEL", help=_("who learns: a folder with safetensors, or a hub's id")
    )
    parser.add_argument(
        "--data",
        metavar="PLACE",
        help=_("a folder of `avalan data synthesize`, or a file of records, one JSON a line"),
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="auto",
        help=_(
            "logits: what the teacher gives each token; sequence: what it writes; on-policy: what "
            "it thinks of what the student writes; auto: logits where both read texts alike, else "
            "sequence  [auto]"
        ),
    )
    parser.add_argument(
        "--out", metavar="DIR", help=_("the folder of both runs; they go on  [runs/distill]")
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=_("change a value of the recipe `distill`, as run.num_steps=400; may be repeated"),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Distil, and show the three models side by side."""
    for name in ("teacher", "student", "data"):
        if not getattr(args, name):
            raise UsageError(
                "Distillation needs a teacher, a student and data; add: --{name}", name=name
            )
    changes = [
        *args.set,
        f"base.model={_quoted(args.student)}",
        f"lessons.data={_quoted(args.data)}",
    ]
    load = extras.load("avalan.train.kinds").load_any
    recipe = load_changed(load, "distill", changes)
    out = Path(args.out or "runs/distill").expanduser()
    screen = extras.load("avalan.cli.display.training").Screen(console)
    distillation = extras.load("avalan.train.distill", extra="train")

    def show(event: Any) -> None:
        if hasattr(event, "step"):
            screen.step_report(event)
        else:
            screen.phase(event.text)

    try:
        found = distillation.distill(
            recipe, args.teacher, args.method, out, show, device=args.device
        )
    except KeyboardInterrupt:
        screen.leave()
        console.note(_("Interrupted. To go on, run the same again."))
        return 130
    finally:
        screen.leave()
    _tell(found, console)
    return 0


def _share(estimate: Any) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tell(found: Any, console: Console) -> None:
    if console.as_json:
        console.json({"event": "done", **asdict(found)})
        return
    if console.quiet:
        console.print(found.folder)
        return
    console.print(
        _(
            "Of {num:,} held-out records, answered word for word (method: {method}):",
            num=found.num,
            method=found.method,
        )
    )
    rows = (
        (_("teacher"), found.teacher),
        (_("student on the records alone"), found.alone),
        (_("student with its teacher"), found.distilled),
        (_("… gained by the teacher, paired"), found.gain),
    )
    width = max(len(label) for label, _estimate in rows)
    for label, estimate in rows:
        console.print((f"  {label.ljust(width)}  ", "dim"), _share(estimate))
    console.print(_("The model is in {folder}; try it with:", folder=found.folder))
    console.print((f'  avalan model run {shlex.quote(found.folder)} "…"', "bold"), wrap=False)
