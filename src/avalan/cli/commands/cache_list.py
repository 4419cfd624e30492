"""`avalan cache list`: what the cache holds, the largest models first."""

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import age, bytes_text
from avalan.cli.parser import Parser
from avalan.errors import ModelError
from avalan.locale import _, ngettext

_WEIGHTS = (".safetensors", ".onnx", ".gguf", ".bin", ".pt", ".pth", ".h5", ".msgpack")


def configure(parser: Parser) -> None:
    """All models, or some in detail."""
    parser.epilog = _(
        "With --json a list of objects: name, folder, size_bytes, partial_bytes, used, revisions, "
        "each with commit, refs, size_bytes, modified, and files with name, size_bytes, blob. "
        "Files of one content have one blob, which is stored once. With --quiet the names alone."
    )
    parser.examples = (
        "avalan cache list",
        "avalan cache list --model Qwen/Qwen3-0.6B",
        "avalan cache list --summary",
    )
    parser.add_argument(
        "--model",
        "-m",
        metavar="NAME",
        action="append",
        default=[],
        help=_("show the revisions and files of this model; may be given again"),
    )
    parser.add_argument(
        "--summary", action="store_true", help=_("totals only, or with --model no files")
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
            headers = [_("model"), _("size"), _("revisions"), _("files"), _("last used")]
            console.table(headers, map(_row, models))
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
                "The cache at {folder} holds no model {name!r}; "
                "`avalan cache list` shows what it holds.",
                folder=listing.folder,
                name=name,
            )
    return [model for model in listing.models if not names or model.name in names]


def _row(model: Any) -> list[str]:
    state = age(time.time() - model.used) if model.used else ""
    files = [file for revision in model.revisions for file in revision.files]
    if model.partial_bytes:
        state = _("unfinished")
    elif not any(file.path.endswith(_WEIGHTS) for file in files):
        state = _("no weights")
    return [
        model.name,
        bytes_text(model.size_bytes),
        str(len(model.revisions)),
        str(model.num_files),
        state,
    ]


def _print_totals(console: Console, listing: Any) -> None:
    if not listing.models:
        console.print(_("There are no models in {folder}.", folder=listing.folder))
    else:
        count = ngettext("{n:,} model", "{n:,} models", len(listing.models))
        place = _("in {folder}", folder=listing.folder)
        console.print((f"{count}, {bytes_text(listing.size_bytes)}", "bold"), f" {place}")
    partial = sum(model.partial_bytes for model in listing.models)
    if partial:
        text = _("{size} of unfinished downloads, which go on with:", size=bytes_text(partial))
        console.print((text, "dim"))
        console.print((f"  avalan cache download --model {_('NAME')}", "dim"), wrap=False)
    if listing.num_others:
        text = ngettext(
            "{n:,} dataset or the like of other programs, {size}",
            "{n:,} datasets and the like of other programs, {size}",
            listing.num_others,
            size=bytes_text(listing.other_bytes),
        )
        console.print((text, "dim"))


def _print_model(console: Console, model: Any, *, with_files: bool) -> None:
    place = _("{size} in {folder}", size=bytes_text(model.size_bytes), folder=model.folder)
    console.print((model.name, "bold"), f"  {place}")
    if model.partial_bytes:
        size = bytes_text(model.partial_bytes)
        console.print("  " + _("unfinished: {size} have arrived", size=size))
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
                    _("shared") if counts[file.blob] > 1 else "",
                )
                for file in revision.files
            ]
            console.table(["    " + _("file"), _("size"), ""], rows)


def _print_revision(console: Console, revision: Any) -> None:
    refs = f" ({', '.join(revision.refs)})" if revision.refs else ""
    text = ngettext(
        "{n:,} file, {size}, downloaded {when}",
        "{n:,} files, {size}, downloaded {when}",
        len(revision.files),
        size=bytes_text(revision.size_bytes),
        when=age(time.time() - revision.modified),
    )
    console.print()
    console.print(("  " + revision.commit[:7], "cyan"), f"{refs}  {text}")


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
