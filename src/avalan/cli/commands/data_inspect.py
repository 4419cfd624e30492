"""`avalan data inspect`: records as a model is shown them, with the weight of each piece."""

import argparse
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import load_changed
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings

_POOL = 2_000
"""Records that samples are drawn from; the first ones, so that a large set is not read whole."""
_STYLES = {
    "prompt": "dim", "passage": "dim", "markup": "dim", "text": "bold", "reflection": "green",
    "eos": "cyan",
}  # fmt: skip


def configure(parser: Parser) -> None:
    """Which records, and by whose tokenizer."""
    parser.epilog = _(
        "A pipe gets a line for each piece: its kind, its weight in the loss, its text. With "
        "--json an object for each record: id, split, source, pieces; each with kind, weight, "
        "num_tokens, text."
    )
    parser.examples = (
        "avalan data inspect data --num 3",
        "avalan data inspect data --kind decisions --split validation",
        "avalan data inspect data --recipe avalon-better --set loss.reflection=5",
    )
    parser.add_argument("folder", metavar="DIR", help=_("a data set of 'avalan data synthesize'"))
    parser.add_argument(
        "--split",
        choices=["train", "validation", "test"],
        default="train",
        help=_("which part of it [train]"),
    )
    parser.add_argument("--kind", metavar="KIND", help=_("records of this kind alone"))
    parser.add_argument("--num", type=int, default=3, metavar="N", help=_("how many records [3]"))
    parser.add_argument("--seed", type=int, default=0, metavar="N", help=_("which ones [0]"))
    parser.add_argument(
        "--model", default="bundled", metavar="MODEL", help=_("whose tokenizer [bundled]")
    )
    parser.add_argument(
        "--recipe",
        metavar="RECIPE",
        help=_("show what counts in this training; left out, all that a model says, alike"),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=_("change a value of the recipe, as loss.reflection=5; may be repeated"),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Draw some records, and show them."""
    if args.num < 1:
        raise UsageError("--num is {num}, but it must be at least {least}.", num=args.num, least=1)
    weights = _weights(args)
    shards = extras.load("avalan.data.shards", extra="data")
    load = extras.load("avalan.model.load")
    folder = load.find_tokenizer_folder(args.model, EngineSettings())
    tokenizer = extras.load("avalan.model.prompt").load_tokenizer(folder)
    grader = extras.load("avalan.data.grading").Grader(tokenizer, weights)
    found = shards.records(Path(args.folder).expanduser(), args.split)
    pool = list(islice((r for r in found if args.kind in (None, r.source.get("kind"))), _POOL))
    if not pool and args.kind is None:
        raise UsageError(
            "{folder} has no records in {split}; choose another with --split.",
            folder=args.folder,
            split=args.split,
        )
    if not pool:
        raise UsageError(
            "{folder} has no records of kind {kind!r} in {split}; leave --kind out to see others.",
            folder=args.folder,
            kind=args.kind,
            split=args.split,
        )
    for number, record in enumerate(Random(args.seed).sample(pool, min(args.num, len(pool)))):
        pieces = grader.pieces(record)
        if console.as_json:
            console.json(_document(record, pieces))
        elif console.interactive:
            console.print("" if number == 0 else "\n", (record.id, "cyan"), " ", _source(record))
            console.print(
                *((piece.text, _STYLES[piece.kind] if piece.weight else "dim") for piece in pieces)
            )
        else:
            console.print(record.id)
            for piece in pieces:
                console.print(f"{piece.kind}\t{piece.weight:g}\t{piece.text!r}")
    return 0


def _weights(args: argparse.Namespace) -> dict[str, float] | None:
    """What each kind of piece counts in the training that was named; None for none."""
    if args.recipe is None:
        if args.set:
            raise UsageError("--set changes a recipe; name one with --recipe.")
        return None
    recipe = load_changed(extras.load("avalan.train.kinds").load_any, args.recipe, args.set)
    weights = asdict(recipe.loss)
    if not _STYLES.keys() <= weights.keys():
        raise UsageError(
            "The recipe {name!r} trains no language model; name one that does, such as avalon.",
            name=recipe.name,
        )
    return {kind: weights[kind] for kind in _STYLES}


def _source(record: Any) -> str:
    named = ("part", "kind", "level")
    return " · ".join(record.source[name] for name in named if name in record.source)


def _document(record: Any, pieces: Any) -> dict[str, Any]:
    return {
        "id": record.id,
        "split": record.split,
        "source": dict(record.source),
        "pieces": [
            {
                "kind": piece.kind,
                "weight": piece.weight,
                "num_tokens": piece.num_tokens,
                "text": piece.text,
            }
            for piece in pieces
        ],
    }
