"""`avalan model evaluate MODEL --task grounded-qa --calibrate`: how sure its answers are."""

import argparse
from random import Random
from typing import Any

from avalan import extras
from avalan.cli.commands.evaluate import DEFAULT, find, needed, show_step
from avalan.cli.console import Console
from avalan.cli.options import as_usage, from_args
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings


def run(args: argparse.Namespace, console: Console) -> int:
    """Fit when an answer is given, and when without reserve; keep that for `avalan ask`."""
    _check(args)
    (name,) = args.models
    settings = from_args(EngineSettings, args)
    find([name], settings, console)
    panel, _signs = extras.load("avalan.reflection.panel").open_signs(name, settings)
    with panel:
        given, num_asked = _answered(panel, args, console)
    fitted = extras.load("avalan.evaluate.reserves").fit_reserve(
        name, given, num_asked=num_asked, precision=args.target_precision, seed=args.seed
    )
    path = extras.load("avalan.reflection.reserves").save(fitted)
    if console.as_json:
        console.json(fitted.to_json())
        return 0
    found = fitted.fitted_on
    console.print(
        _(
            "Answered {num_answered} of {num_asked} questions, {right:.1%} of them rightly. "
            "Confidence tells right from wrong with AUROC {after:.3f}, cross-fitted ({before:.3f} "
            "before).",
            **{key: found[key] for key in ("num_answered", "num_asked", "right")},
            before=found["auroc"]["before"],
            after=found["auroc"]["cross_fitted"],
        )
    )
    console.print(
        _(
            "Answers from {least:.3f} on ({num_given}), and without reserve from {sure:.3f} on "
            "({num_sure}).",
            least=fitted.least,
            sure=fitted.sure,
            num_given=found["num_given"],
            num_sure=found["num_sure"],
        )
    )
    console.print(_("Wrote {path}.", path=path))
    return 0


def _check(args: argparse.Namespace) -> None:
    if len(args.models) != 1 or args.models[0] == DEFAULT:
        raise UsageError(
            "A reserve is fitted for one model; name it, as in: "
            "avalan model evaluate MODEL --task grounded-qa --calibrate"
        )
    if args.out is not None or args.level is not None or args.split != "validation":
        raise UsageError(
            "A reserve is fitted on validation questions and kept in the state folder; leave "
            "--out, --level and --split out."
        )
    if args.budget is not None or args.target_accuracy is not None:
        raise UsageError(
            "--budget and --target-accuracy are for decisions; of answers, give --target-precision."
        )
    with as_usage():
        extras.load("avalan.evaluate.tasks").check_numbers(args.num, args.seed, args.top_k)
        check = extras.load("avalan.reflection.panel").check_probability
        check("--target-precision", args.target_precision)


def _answered(panel: Any, args: argparse.Namespace, console: Console) -> tuple[Any, int]:
    """What the model answers to `--num` validation questions of the textbook and of papers."""
    data, book = needed(args)
    examples = extras.load("avalan.evaluate.examples")
    grounded = extras.load("avalan.evaluate.grounded")
    progress = extras.load("avalan.evaluate.progress")
    read = extras.load("avalan.data.textbook").read(book).part("validation")
    sets = (examples.textbook_questions(read), examples.house_questions(data, "validation"))
    every = [(made, question) for made in sets for question in made.questions]
    chosen = Random(args.seed).sample(every, min(args.num, len(every)))
    reporter = progress.Reporter(
        tell=lambda step: show_step(step, console), who=panel.name, what="answers"
    )
    found: list[Any] = []
    asked: list[Any] = []
    for made in sets:
        questions = [question for of, question in chosen if of is made]
        with grounded.indexed(made) as index:
            told = grounded.answer(panel, index, questions, top_k=args.top_k)
            found += reporter.following(told, len(questions))
        asked += questions
    return extras.load("avalan.evaluate.reserves").given_of(asked, found), len(asked)
