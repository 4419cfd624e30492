"""`avalan model search`: which models the hub has."""

import argparse
import dataclasses
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import count_text
from avalan.cli.login import add_login, find_token
from avalan.cli.options import whole_number
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.locale import _

LIMIT = 10
_WIDE = 100
"""Columns from which on everything is shown."""


def configure(parser: Parser) -> None:
    """Words, and what else must fit."""
    parser.epilog = _(
        "The most downloaded come first. With --json a list of objects: name, num_parameters, "
        "task, library, licence, gated, downloads, likes, modified."
    )
    parser.examples = (
        "avalan model search 'deepseek r1' --filter transformers --limit 2",
        "avalan model search qwen --filter text-generation --filter license:apache-2.0",
    )
    parser.add_argument(
        "query", nargs="*", metavar="QUERY", help=_("words of the name; left out, any")
    )
    parser.add_argument(
        "--filter",
        metavar="TAG",
        action="append",
        default=[],
        help=_("a tag that must fit, such as a library, a task or license:mit; may be given again"),
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=whole_number,
        default=LIMIT,
        help=_("at most so many [{default}]", default=LIMIT),
    )
    add_login(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Search and print."""
    if args.limit < 1:
        raise UsageError("--limit is {limit}, but it must be at least 1.", limit=args.limit)
    token = find_token(args, console)
    found = extras.load("avalan.hub.remote").search(
        " ".join(args.query), filters=args.filter, limit=args.limit, token=token
    )
    if console.as_json:
        console.json([_document(model) for model in found])
    elif console.quiet:
        for model in found:
            console.print(model.name)
    elif not found:
        console.print(_("The hub has no model that fits; try fewer words or filters."))
    else:
        _print(console, found)
    return 0


def _document(model: Any) -> dict[str, Any]:
    modified = model.modified and model.modified.isoformat()
    return dataclasses.asdict(model) | {"modified": modified}


def _print(console: Console, found: list[Any]) -> None:
    columns = [_("model"), _("parameters"), _("downloads"), _("likes")]
    columns += [_("task"), _("licence"), _("updated")]
    rows = [_row(model) for model in found]
    if console.interactive and console.width < _WIDE:
        columns, rows = columns[:4], [row[:4] for row in rows]
    console.table(columns, rows)
    if any(model.gated for model in found):
        variable = extras.load("avalan.hub.failure").token_variable()
        text = _("* gated: accept its licence on the hub, then set {variable}", variable=variable)
        console.print(text)


def _row(model: Any) -> list[str]:
    return [
        model.name + ("*" if model.gated else ""),
        count_text(model.num_parameters) if model.num_parameters else "–",
        count_text(model.downloads),
        count_text(model.likes),
        model.task or "",
        model.licence or "",
        f"{model.modified:%Y-%m-%d}" if model.modified else "",
    ]
