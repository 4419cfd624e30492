"""`avalan agent init`: the TOML file of a new agent, from options and answers."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from avalan.agent.specification import DEFAULT_MODEL, Persona
from avalan.agent.toml_text import toml_text
from avalan.cli.console import Console
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.errors import ConfigurationError, UsageError, reason_of
from avalan.locale import _
from avalan.model.entities import GenerationSettings

TEXTS = ("name", "role", "task", "instructions")
RUN = ("use_cache", "max_new_tokens", "skip_special_tokens")


def configure(parser: Parser) -> None:
    """The options are the fields of the persona and of the settings."""
    more = _(
        "On a terminal what the options leave open is asked for; an empty answer leaves it out. "
        "The file goes to stdout, so that `> FILE` keeps it, or to --out; the questions never go "
        "there. Only the role is needed."
    )
    parser.description = f"{parser.description}\n\n{more}"
    parser.examples = (
        'avalan agent init --name "Leo Messi" --engine-uri microsoft/Phi-4-mini-instruct',
        (
            'avalan agent init --role "You are a translator." \\\n'
            '                    --task "Translate into {{language}}." --out translator.toml'
        ),
        'avalan agent run translator.toml --set template.language=French "Good morning"',
    )
    add_fields(parser.add_argument_group(_("Agent")), Persona, TEXTS)
    engine = parser.add_argument_group(_("Model"))
    engine.add_argument(
        "--engine-uri",
        metavar="MODEL",
        help=_(
            "a name that `avalan model run` understands, or ai://…  [{default}]",
            default=DEFAULT_MODEL,
        ),
    )
    answer = parser.add_argument_group(_("Answer"))
    add_fields(answer, GenerationSettings, RUN)
    answer.add_argument(
        "--no-cache", dest="use_cache", action="store_false", help=_("the same as --no-use-cache")
    )
    file = parser.add_argument_group(_("File"))
    file.add_argument("--out", metavar="FILE", help=_("write here rather than to stdout"))
    file.add_argument("--force", action="store_true", help=_("overwrite the file of --out"))
    parser.set_defaults(run=run, use_cache=None)


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the file; nothing is written where something is missing."""
    out = Path(args.out) if args.out else None
    if out and out.exists() and not args.force:
        raise ConfigurationError(
            "There is already a file {path!r}; choose another name, or overwrite it with --force.",
            path=str(out),
        )
    table = _table(_completed(args, console), args)
    text = toml_text(table)
    if out is None:
        _show(table, text, console)
    else:
        _write(out, text, force=args.force)
        _tell(out, table, console)
    return 0


def _completed(args: argparse.Namespace, console: Console) -> dict[str, str]:
    """The texts of the options, and of the person's answers where an option was left out."""
    given = {key: getattr(args, key) for key in (*TEXTS, "engine_uri")}
    if console.answers:
        questions = {
            "name": _("Name (may be left empty):"),
            "role": _("Role, who the agent is:"),
            "task": _("Task, what it does with each input (may be left empty):"),
            "instructions": _("Instructions, how it does it (may be left empty):"),
            "engine_uri": _("Model [{default}]:", default=DEFAULT_MODEL),
        }
        for key, label in questions.items():
            if given[key] is None:
                given[key] = _asked(label, console, needed=key == "role")
    texts = {key: value for key, value in given.items() if value and value.strip()}
    if "role" not in texts:
        raise UsageError(
            "The agent needs a role, which says who it is; give it with: "
            'avalan agent init --role "You are …"'
        )
    for key, value in texts.items():
        _check_text(key, value)
    return texts


def _asked(label: str, console: Console, *, needed: bool) -> str:
    """The person's answer; a needed one is asked for until it is given, or the input ends."""
    while True:
        line = console.ask(label + " ")
        if line.strip() or not needed or console.at_end:
            return line
        console.note(_("The agent needs a role, which says who it is."))


def _check_text(key: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "{flag} is not UTF-8 text, as TOML must be; write it again.",
            flag="--" + key.replace("_", "-"),
        ) from None


def _table(texts: dict[str, str], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    settings = from_args(GenerationSettings, args)
    return {
        "agent": {key: texts[key] for key in TEXTS if key in texts},
        "engine": {"uri": texts.get("engine_uri", DEFAULT_MODEL)},
        "run": {key: getattr(settings, key) for key in RUN},
    }


def _write(out: Path, text: str, *, force: bool) -> None:
    try:
        with out.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(
            "The file {path!r} cannot be written ({reason}); check its folder and its permissions.",
            path=str(out),
            reason=reason_of(error),
        ) from None


def _show(table: dict[str, Any], text: str, console: Console) -> None:
    if console.as_json:
        console.json(table)
        return
    console.write(text)
    if console.interactive:
        console.note((_("Keep it with --out FILE; run it with: avalan agent run FILE"), "dim"))


def _tell(out: Path, table: dict[str, Any], console: Console) -> None:
    if console.as_json:
        console.json({"file": str(out), **table})
        return
    command = f"avalan agent run {shlex.quote(str(out))}"
    console.note(_("Wrote {path}; run it with: {command}", path=out, command=command))
