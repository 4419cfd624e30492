"""`avalan agent run`: an agent's file and an input in, its answer out as it is made."""

import argparse
import dataclasses
from contextlib import ExitStack
from typing import Any

from avalan import extras
from avalan.cli.arrival import arriving
from avalan.cli.console import Console
from avalan.cli.display.settings import DisplaySettings
from avalan.cli.options import add_fields, from_args, load_changed
from avalan.cli.parser import Parser
from avalan.cli.questions import read_prompt
from avalan.errors import UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings

CONSENT = ("trust_remote_code", "allow_pickle")
"""What an agent's file cannot say, because it may be somebody else's."""


def configure(parser: Parser) -> None:
    """A file, an input, and changes to the file."""
    more = _(
        "FILE is TOML: [agent] says who the agent is (role, task, instructions, rules), "
        "[template] gives values to the {{variables}} in these texts, [engine] names the model "
        "(model_id or uri), [run] says how it answers (max_new_tokens, temperature and their "
        "like). `avalan agent init` writes such a file. The agent has one turn: nothing is "
        "remembered from run to run."
    )
    parser.description = f"{parser.description}\n\n{more}"
    parser.examples = (
        'avalan agent run translator.toml "Good morning"',
        "cat letter.txt | avalan agent run translator.toml --quiet > carta.txt",
        "avalan agent run translator.toml --set template.language=French letter",
    )
    parser.add_argument("file", metavar="FILE", help=_("the agent's TOML file"))
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help=_("the input; left out, it is read from a pipe or asked for"),
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=_(
            "change a value of the file, as run.seed=8 or template.language=French; may be repeated"
        ),
    )
    add_fields(parser, EngineSettings, CONSENT)
    add_fields(parser, DisplaySettings, ["reasoning"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Stream the answer; 130 when it was interrupted."""
    display = from_args(DisplaySettings, args)
    # Whatever is wrong with the file is said before anything is asked for or loaded.
    agent = extras.load("avalan.agent.loop").Agent(_specification(args))
    if console.verbose:
        console.note((agent.system_prompt, "dim"), "\n")
    prompt = read_prompt(console) if args.prompt is None else args.prompt
    if not prompt.strip():
        raise UsageError(
            "The input is empty; write it after the agent's file, or pipe it in: "
            "cat letter.txt | avalan agent run FILE"
        )
    head = {"agent": agent.specification.persona.name, "model": agent.specification.model}
    answer = extras.load("avalan.cli.streaming").answer
    with ExitStack() as stack:
        with arriving(head["model"], console):
            stack.enter_context(agent)
        code: int = answer(agent, agent(prompt), head, display, console)
        return code


def _specification(args: argparse.Namespace) -> Any:
    """What the file says, changed by `--set`, on the device and from the cache of the options."""
    load = extras.load("avalan.agent.specification").load_specification
    found = load_changed(load, args.file, args.set)
    here = {name: getattr(args, name) for name in ("device", "cache_dir", *CONSENT)}
    given = {name: value for name, value in here.items() if value is not None}
    return dataclasses.replace(found, engine=dataclasses.replace(found.engine, **given))
