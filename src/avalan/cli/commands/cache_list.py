"""`avalan cache list`: what the cache holds, the largest models first."""

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.parser import Parser
from avalan.errors import ModelError

_DAY_S = 86400

EXAMPLES = """\
With --json a list of objects: name, folder, size_bytes, partial_bytes, used, revisions, each with
commit, refs, size_bytes, modified, and files with name, size_bytes, blob. Files of one content
have one blob, which is stored once. With --quiet the names alone.

Try:
  avalan cache list
  avalan cache list --model Qwen/Qwen3-0.6B
  avalan cache list --summary"""


def configure(parser: Parser) -> None:
    """All models, or some in detail."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--model",
        "-m",
        metavar="NAME",
        action="append",
        default=[],
        help="show the revisions and files of this model; may be given again",
    )
    parser.add_argument(
        "--summary", action="store_true", help="totals only, or with --model no files"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Scan and print."""
    cache = extras.load("avalan.hub.cache")
    listing = cache.scan(args.cache_dir)
    models = _chosen(listing, args.model)
    if console.as_json:
        console.json([_document(model) for model in models])
    elif console.quiet:
        for model in models:
            console.print(model.name)
    elif args.model:
        for number, model in enumerate(models):
            if number:
                console.print()
            _print_model(console, model, with_files=not args.summary)
    else:
        if models and not args.summary:
            console.table(
                ["model", "size", "revisions", "files", "last used", ""], map(_row, models)
            )
            console.print()
        _print_totals(console, listing)
    return 0


def _chosen(listing: Any, names: list[str]) -> list[Any]:
    """The models called `names`, or all; the largest first.

    Raises:
        ModelError: one of them is not there.
    """
    held = {model.name: model for model in listing.models}
    for name in names:
        if name not in held:
            raise ModelError(
                f"The cache at {listing.folder} holds no model {name!r}; "
                "`avalan cache list` shows what it holds."
            )
    return [model for model in listing.models if not names or model.name in names]


def _row(model: Any) -> list[str]:
    return [
        model.name,
        bytes_text(model.size_bytes),
        str(len(model.revisions)),
        str(model.num_files),
        age(time.time() - model.used) if model.used else "",
        "unfinished" if model.partial_bytes else "",
    ]


def _print_totals(console: Console, listing: Any) -> None:
    if not listing.models:
        console.print(f"There are no models in {listing.folder}.")
    else:
        count = _plural(len(listing.models), "model")
        size = bytes_text(listing.size_bytes)
        console.print((f"{count}, {size}", "bold"), f" in {listing.folder}")
    partial = sum(model.partial_bytes for model in listing.models)
    if partial:
        console.print((f"{bytes_text(partial)} of unfinished downloads, which go on with:", "dim"))
        console.print(("  avalan cache download --model NAME", "dim"), wrap=False)
    if listing.num_others:
        others = _plural(listing.num_others, "dataset or the like", "datasets and the like")
        console.print((f"{others} of other programs, {bytes_text(listing.other_bytes)}", "dim"))


def _print_model(console: Console, model: Any, *, with_files: bool) -> None:
    console.print((model.name, "bold"), f"  {bytes_text(model.size_bytes)} in {model.folder}")
    if model.partial_bytes:
        console.print(f"  unfinished: {bytes_text(model.partial_bytes)} have arrived")
    counts: dict[str, int] = {}
    for revision in model.revisions:
        for blob in {file.blob for file in revision.files}:
            counts[blob] = counts.get(blob, 0) + 1
    for revision in model.revisions:
        _print_revision(console, revision)
        if with_files:
            rows = [
                (
                    f"    {file.path}",
                    bytes_text(file.size_bytes),
                    "shared" if counts[file.blob] > 1 else "",
                )
                for file in revision.files
            ]
            console.table(["    file", "size", ""], rows)


def _print_revision(console: Console, revision: Any) -> None:
    refs = f" ({', '.join(revision.refs)})" if revision.refs else ""
    files = _plural(len(revision.files), "file")
    when = age(time.time() - revision.modified)
    console.print()
    console.print(
        ("  " + revision.commit[:7], "cyan"),
        f"{refs}  {files}, {bytes_text(revision.size_bytes)}, downloaded {when}",
    )


def age(seconds: float) -> str:
    """`today`, `yesterday`, `12 days ago`, `5 months ago`."""
    days = int(max(seconds, 0) // _DAY_S)
    if days < 2:
        return ("today", "yesterday")[days]
    for unit, size in (("year", 365), ("month", 30), ("week", 7)):
        if days >= 2 * size:
            return f"{days // size} {unit}s ago"
    return f"{days} days ago"


def _plural(count: int, noun: str, nouns: str | None = None) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {nouns or noun + 's'}"


def _document(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "folder": str(model.folder),
        "size_bytes": model.size_bytes,
        "partial_bytes": model.partial_bytes,
        "used": _time(model.used),
        "revisions": [
            {
                "commit": revision.commit,
                "refs": list(revision.refs),
                "size_bytes": revision.size_bytes,
                "modified": _time(revision.modified),
                "files": [
                    {"name": file.path, "size_bytes": file.size_bytes, "blob": file.blob}
                    for file in revision.files
                ],
            }
            for revision in model.revisions
        ],
    }


def _time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
