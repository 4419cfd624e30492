"""`avalan cache delete`: a model, or the revisions that are named and no others."""

import argparse
from collections.abc import Sequence
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.hub.formats import split_format
from avalan.locale import _, ngettext


def configure(parser: Parser) -> None:
    """One model; revisions of it."""
    parser.epilog = _(
        "It says what would go and asks; --yes does not ask. A revision is a branch, a tag, or the "
        "first digits of a commit, at least four. With --json one object: model, deleted, "
        "revisions, kept, freed_bytes."
    )
    parser.examples = (
        "avalan cache delete --model Qwen/Qwen3-0.6B",
        (
            "avalan cache delete --model Qwen/Qwen3-0.6B \\\n"
            "                    --revision 10e842 --revision 4b420d --yes"
        ),
    )
    parser.add_argument(
        "--model", "-m", metavar="NAME", required=True, help=_("the model's name in the cache")
    )
    parser.add_argument(
        "--revision",
        metavar="TEXT",
        action="append",
        default=[],
        help=_("delete this revision alone; may be given again [all]"),
    )
    add_yes(parser)
    parser.set_defaults(run=run)


def add_yes(parser: Parser) -> None:
    """Add the option that answers the question."""
    parser.add_argument("--yes", "-y", action="store_true", help=_("delete without asking"))


def run(args: argparse.Namespace, console: Console) -> int:
    """Show, ask, delete."""
    return delete(args.model, args.revision, args, console)


def delete(name: str, revisions: Sequence[str], args: argparse.Namespace, console: Console) -> int:
    """Delete the model called `name`, or its format or `revisions`, once it is agreed to."""
    cache = extras.load("avalan.hub.cache")
    model, wanted = split_format(name)
    found = cache.find(model, args.cache_dir)
    if wanted is None:
        deletion = cache.plan_deletion(found, revisions)
    elif revisions:
        raise UsageError(
            "A format is deleted of all revisions; leave out --revision, or name the model as "
            "{name!r}.",
            name=model,
        )
    else:
        deletion = cache.plan_format_deletion(found, wanted)
    if not args.yes and not console.answers:
        raise UsageError(
            "Nobody can be asked whether {name!r} may be deleted, since the input is no "
            "terminal; say so with: --yes",
            name=name,
        )
    if not args.yes:
        _show(deletion, console)
    agreed = args.yes or _is_agreed(console)
    if agreed:
        cache.delete(deletion)
    _report(deletion, console, done=agreed)
    return 0


def _show(deletion: Any, console: Console) -> None:
    name = deletion.model.name
    if deletion.files:
        console.note((_("Of {name} this would be deleted:", name=name), "bold"))
    elif not deletion.kept:
        console.note((_("All of {name} would be deleted:", name=name), "bold"))
    else:
        console.note(
            ngettext(
                "Of {name}, which has {n} more, this would be deleted:",
                "Of {name}, which has {n} more, this would be deleted:",
                len(deletion.kept),
                name=name,
            )
        )
    for file in deletion.files:
        console.note(f"  {file.path}  {bytes_text(file.size_bytes)}")
    for revision in deletion.revisions:
        refs = f" ({', '.join(revision.refs)})" if revision.refs else ""
        files = ngettext("{n:,} file", "{n:,} files", len(revision.files))
        size = bytes_text(revision.size_bytes)
        console.note(f"  {revision.commit[:7]}{refs}  {files}, {size}")
    if not deletion.kept and deletion.model.partial_bytes:
        size = bytes_text(deletion.model.partial_bytes)
        console.note("  " + _("what has arrived of an unfinished download, {size}", size=size))
    console.note(_("It would free {size}.", size=bytes_text(deletion.freed_bytes)))


def _is_agreed(console: Console) -> bool:
    return console.ask(_("Delete? [y/N]") + " ").strip().lower() in _("y yes").split()


def _report(deletion: Any, console: Console, *, done: bool) -> None:
    commits = [revision.commit for revision in deletion.revisions]
    freed = deletion.freed_bytes if done else 0
    if console.as_json:
        console.json(
            {
                "model": deletion.model.name,
                "deleted": done,
                "revisions": commits,
                "kept": [revision.commit for revision in deletion.kept],
                "freed_bytes": freed,
            }
        )
    elif not done:
        console.print(_("Nothing was deleted."))
    elif not console.quiet:
        values = {"model": deletion.model.name, "size": bytes_text(freed)}
        names = [file.path for file in deletion.files] or [commit[:7] for commit in commits]
        console.print(
            _(
                "Deleted {revisions} of {model}; {size} are free again.",
                revisions=", ".join(names),
                **values,
            )
            if deletion.kept
            else _("Deleted {model}; {size} are free again.", **values)
        )
