"""`avalan data synthesize`: records for training, as Parquet files with a manifest and a card."""

import argparse
import re
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import as_usage
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _, _n


def configure(parser: Parser) -> None:
    """What is made, how much of it, and where it goes."""
    parser.epilog = _(
        "The same recipe and seed give the same bytes, also after a kill: the same command goes "
        "on. With --shard 2/8 a machine draws its eighth; gather the folders' blocks in one "
        "folder, and the command without --shard finishes it. With --json the manifest."
    )
    parser.examples = (
        "avalan data synthesize avalon --n 201000 --mix selfrag=0.8,general=0.2 --out data",
        "avalan data synthesize avalon --shard 2/8 --out data",
        "avalan data synthesize ./mine.toml --out data --tests tests/data",
    )
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        default="avalon",
        help=_("a TOML file, or a recipe of the package: avalon or grown"),
    )
    parser.add_argument("--n", type=int, metavar="N", help=_("records, all splits together"))
    parser.add_argument("--mix", metavar="PART=SHARE,…", help=_("the share of each part"))
    parser.add_argument("--seed", type=int, metavar="N", help=_("seed of every record"))
    parser.add_argument("--out", metavar="DIR", help=_("where it goes [data/RECIPE]"))
    parser.add_argument("--shard", metavar="I/N", help=_("draw one of N equal shares of it"))
    parser.add_argument(
        "--textbook", metavar="DIR", help=_("folder of the textbook [the checkout's]")
    )
    parser.add_argument(
        "--tests",
        metavar="PATH",
        action="append",
        help=_("leave out what shares a run of words with these tests [the checkout's]"),
    )
    documents = parser.add_argument_group(_("Documents"))
    documents.add_argument(
        "--docs",
        metavar="PATH",
        action="append",
        help=_("make records of these documents instead; may be repeated"),
    )
    documents.add_argument(
        "--generator", metavar="MODEL", help=_("who asks a question of each passage and quotes")
    )
    documents.add_argument("--reviewer", metavar="MODEL", help=_("who looks whether that holds"))
    documents.add_argument(
        "--adjudicator", metavar="MODEL", help=_("who decides where the reviewer is of two minds")
    )
    documents.add_argument(
        "--student",
        metavar="MODEL",
        help=_("whose answers without and with the passage say whether a look-up is needed"),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Draw, clean, write; or go on with that."""
    if args.docs:
        return _from_documents(args, console)
    synthesis = extras.load("avalan.data.synthesis")
    shards = extras.load("avalan.data.shards", extra="data")
    with as_usage():
        recipe = synthesis.load_recipe(
            args.recipe,
            num=args.n,
            seed=args.seed,
            mix=None if args.mix is None else synthesis.read_mix(args.mix),
        )
    share = _share(args.shard, shards)
    folder = Path(args.out).expanduser() if args.out else Path("data") / recipe.name
    made_by = synthesis.makers(recipe, _book(args))
    shards.open_folder(recipe, folder)

    def tell(step: Any) -> None:
        words = {
            "drawn": _("drawn: {done:,} of {total:,}", done=step.done, total=step.total),
            "written": _("written: {done:,} of {total:,}", done=step.done, total=step.total),
        }
        console.progress(words[step.what])

    if shards.manifest(folder) is None:
        shards.draw(recipe, folder, made_by, share=share, tell=tell)
    if share.of > 1:
        text = _(
            "Share {number} of {of} lies in {folder}; when every share's files are there, finish "
            "with the same command without --shard.",
            number=share.number,
            of=share.of,
            folder=folder / shards.BLOCKS,
        )
        console.note(text)
        return 0
    told = shards.finish(recipe, folder, made_by, _tests(args), tell=tell)
    if console.as_json:
        console.json(told)
    else:
        _show(told, folder, console)
    return 0


def _from_documents(args: argparse.Namespace, console: Console) -> int:
    if not args.generator:
        raise UsageError("Records of documents are written by a model; add: --generator MODEL")
    if args.shard or args.mix:
        raise UsageError("--shard and --mix are for recipes; leave them out with --docs.")
    if args.n is not None and args.n < 1:
        raise UsageError("--n {n} is no number of passages; give one from 1 on.", n=args.n)
    authored = extras.load("avalan.data.authored_files", extra="data")
    cast = authored.Cast(
        generator=args.generator,
        reviewer=args.reviewer,
        adjudicator=args.adjudicator,
        student=args.student,
    )
    folder = Path(args.out or "data/documents").expanduser()
    told = authored.write(
        args.docs,
        cast,
        folder,
        num=args.n,
        seed=7 if args.seed is None else args.seed,
        tested=_tests(args),
        tell=lambda done, total: console.progress(
            _("{done:,} of {total:,} passages", done=done, total=total)
        ),
    )
    if console.as_json:
        console.json(told)
        return 0
    for reason, num in told["without_record"].items():
        console.print(_("Left out {num:,}: {why}.", num=num, why=_(_REASONS[reason])))
    _show_dropped(told, console)
    console.print(_("{num:,} records are in {folder}.", num=told["num_kept"], folder=folder))
    return 0


_REASONS = {
    "short": _n("the passage is too short"),
    "unreadable": _n("the generator did not write what it was asked for"),
    "empty": _n("question or answer is empty"),
    "not in the passage": _n("the answer is not in the passage"),
    "told by its question": _n("the question tells the answer"),
    "the reviewer says no": _n("the reviewer says no"),
    "doubtful": _n("the reviewer is of two minds"),
    "the adjudicator says no": _n("the adjudicator says no"),
}


def _share(text: str | None, shards: Any) -> Any:
    if text is None:
        return shards.Share(1, 1)
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError("--shard {text} is no share; write it as: 2/8", text=text)
    return shards.Share(int(found[1]), int(found[2]))


def _book(args: argparse.Namespace) -> Any:
    if args.textbook is not None:
        folder = Path(args.textbook).expanduser()
    else:
        folder = extras.load("avalan.evaluate.examples").default_textbook()
    return None if folder is None else extras.load("avalan.data.textbook").read(folder)


def _tests(args: argparse.Namespace) -> list[Path]:
    if args.tests is not None:
        return [Path(each).expanduser() for each in args.tests]
    found = extras.load("avalan.evaluate.examples").default_data()
    return [] if found is None else [found]


def _show(told: dict[str, Any], folder: Path, console: Console) -> None:
    rows = [[row["split"], row["part"], row["kind"], f"{row['num']:,}"] for row in told["kept"]]
    console.table([_("split"), _("part"), _("kind"), _("records")], rows)
    _show_dropped(told, console)
    console.print(
        _(
            "{num:,} records of {drawn:,} drawn are in {folder}.",
            num=told["num_kept"],
            drawn=told["num_drawn"],
            folder=folder,
        )
    )


def _show_dropped(told: dict[str, Any], console: Console) -> None:
    reasons = {
        "repeated": _("the same as an earlier one"),
        "alike": _("nearly the same as an earlier one"),
        "tested": _("a test has it"),
    }
    for reason, num in told["dropped"].items():
        console.print(_("Left out {num:,}: {why}.", num=num, why=reasons[reason]))
