"""`avalan cache download`: a model from the hub to this disk; what is there already stays."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.arrival import RESERVED
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text, count_text
from avalan.cli.login import add_login, find_token
from avalan.cli.parser import Parser
from avalan.errors import ConfigurationError, ModelError, UsageError
from avalan.hub.formats import split_format
from avalan.locale import _, _n, ngettext


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = _(
        "Before it begins, it says whether the model fits on the disk and into memory, and "
        "estimates how fast it may run here. A download that was broken off goes on where it "
        "ended, and every file is checked against the hub's hash. With --quiet it prints the "
        "model's folder and nothing else; with --json one object: model, revision, commit, folder, "
        "size_bytes, downloaded_bytes, files, preflight."
    )
    parser.examples = (
        "avalan cache download --model Qwen/Qwen3-0.6B",
        "avalan cache download --model Qwen/Qwen3-0.6B --revision main --json",
        "avalan cache download --model unsloth/Qwen3-0.6B-GGUF:Q8_0",
    )
    parser.add_argument(
        "--model", "-m", metavar="NAME", required=True, help=_("the model's owner/name on the hub")
    )
    add_download_options(parser)
    parser.set_defaults(run=run)


def add_download_options(parser: Parser) -> None:
    """What a download may be told besides the model's name."""
    parser.add_argument(
        "--revision", metavar="TEXT", help=_("branch, tag or commit of the model on the hub [main]")
    )
    add_login(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Download, and say what is there now."""
    plan, folder, document = download(args, console, pickled=True)
    if console.as_json:
        console.json(document)
    elif console.quiet:
        console.print(str(folder))
    else:
        text = (
            _n("Downloaded {model} ({size}), which is in {folder}.")
            if document["downloaded_bytes"]
            else _n("Nothing is missing of {model} ({size}), which is in {folder}.")
        )
        size = bytes_text(plan.size_bytes)
        console.print(_(text, model=plan.model.name, size=size, folder=folder))
    return 0


def download(
    args: argparse.Namespace,
    console: Console,
    *,
    pickled: bool,
    code: bool = False,
    check: Callable[[Any], None] | None = None,
) -> tuple[Any, Path, dict[str, Any]]:
    """Download `args.model`, showing what it needs and how it comes.

    Args:
        pickled: take pickled weights, too, where a model has no others.
        code: take the Python files that came with it.
        check: called with the plan before the weights come; what it raises ends it.

    Returns:
        The plan, the model's folder, and the document for `--json`.
    """
    _require_hub_name(args.model)
    token = find_token(args, console)
    plan = _plan(args, token, console, pickled=pickled, code=code)
    if check is not None:
        check(plan)
    missing = plan.missing_bytes
    preflight = _preflight(plan, args, console) if missing else None
    with extras.load("avalan.cli.display.download").shown(console):
        folder: Path = extras.load("avalan.hub.download").run(plan)
    _check_weights(plan, folder, console, is_final=check is not None)
    document = {
        "model": plan.model.name,
        "revision": plan.revision,
        "commit": plan.model.commit,
        "folder": str(folder),
        "size_bytes": plan.size_bytes,
        "downloaded_bytes": missing,
        "files": [{"name": file.path, "size_bytes": file.size_bytes} for file in plan.files],
        "preflight": preflight,
    }
    return plan, folder, document


def _check_weights(plan: Any, folder: Path, console: Console, *, is_final: bool) -> None:
    """What arrived is what the hub has, by its hash; that itself may be broken.

    Raises:
        ModelError: it is, and `is_final` says that the model is to run.
    """
    try:
        extras.load("avalan.hub.headers").read_headers(folder)
    except ModelError:
        broken = _n(
            "The weights of {name!r} are broken on the hub itself, since they arrived whole; take "
            "another revision, or tell whoever published them."
        )
        if is_final:
            raise ModelError(broken, name=plan.model.name) from None
        console.note(_(broken, name=plan.model.name))


def _require_hub_name(name: str) -> None:
    if name in RESERVED:
        raise ConfigurationError(
            "The model {name!r} ships with avalan, so there is nothing to download; "
            "name a model of the hub, such as Qwen/Qwen3-0.6B.",
            name=name,
        )
    if not name:
        raise UsageError("The name of the model is empty; name one, such as Qwen/Qwen3-0.6B.")
    if name.startswith((".", "/", "~")):
        raise ConfigurationError(
            "{name!r} is a folder, and only models of the hub are downloaded; "
            "name one as owner/name.",
            name=name,
        )


def _plan(
    args: argparse.Namespace, token: str | None, console: Console, *, pickled: bool, code: bool
) -> Any:
    hub = extras.load("avalan.hub.download")
    remote = extras.load("avalan.hub.remote")
    name, wanted = split_format(args.model)
    where = {"cache_dir": args.cache_dir, "revision": args.revision}
    try:
        plan = hub.plan(name, **where, token=token, files=["*"])
    except extras.load("avalan.hub.failure").Unreachable:
        plan = hub.plan_on_disk(name, **where, wanted=wanted, pickled=pickled)
        if plan is None:
            raise
        console.note(_("The hub cannot be reached, so it may have a newer version."))
    patterns = remote.patterns_for(plan.model, wanted, code=code, any_weights=pickled)
    plan = hub.only(plan, patterns)
    if not pickled or wanted or remote.has_weights(plan.model):
        return plan
    console.note(
        _(
            "This model has only pickled weights, which can run any code when they are loaded; "
            "avalan does not load them."
        )
        if remote.pickled_weights(plan.model)
        else _("This model has no weights that avalan reads.")
    )
    return plan


def _preflight(plan: Any, args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """What it needs beside what there is, told before the first byte of the weights."""
    config = extras.load("avalan.hub.download").read_config(plan)
    readiness = extras.load("avalan.cli.display.readiness")
    preflight = readiness.survey_for(plan, config, device=args.device)
    if not console.as_json:
        console.note((plan.model.name, "bold"), "  ", _heading(plan))
        hang = extras.load("avalan.cli.display.layout").hang
        rows = dict(readiness.rows(preflight))
        room = max(map(len, rows)) + 2
        width = console.width if console.interactive else 10_000
        for label, text in rows.items():
            for line in hang(f"  {label:<{room}}", [text], width, indent=room + 2):
                console.note(*line)
    document: dict[str, Any] = readiness.document(preflight)
    return document


def _heading(plan: Any) -> str:
    model = plan.model
    count = sum(model.parameters.values())
    parts = [
        ngettext(
            "{size} in {n} file",
            "{size} in {n} files",
            len(plan.files),
            size=bytes_text(plan.size_bytes),
        ),
        _("{count} parameters", count=count_text(count)) if count else None,
        model.licence,
        _("{revision} at {commit}", revision=plan.revision, commit=model.commit[:7]),
    ]
    return " · ".join(part for part in parts if part)
