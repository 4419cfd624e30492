"""`avalan agent run`: an agent's file and an input in, its answer out as it is made."""

import argparse
import asyncio
import dataclasses
from typing import Any

from avalan import extras
from avalan.cli.commands.model_run import read_prompt
from avalan.cli.commands.train import changes
from avalan.cli.console import Console
from avalan.cli.display.figures import REMARKS, Figures, figures_text
from avalan.cli.parser import Parser
from avalan.errors import ConfigurationError, UsageError
from avalan.model.entities import GenerationReport

ABOUT = """\
Give an agent an input and show its answer.

FILE is TOML: [agent] says who the agent is (role, task, instructions, rules),
[template] gives values to the {{variables}} in these texts, [engine] names the
model (model_id or uri), [run] says how it answers (max_new_tokens, temperature
and their like). `avalan agent init` writes such a file. The agent has one turn:
nothing is remembered from run to run."""

EXAMPLES = """\
Try:
  avalan agent run translator.toml "Good morning"
  cat letter.txt | avalan agent run translator.toml --quiet > carta.txt
  avalan agent run translator.toml --set template.language=French letter"""


def configure(parser: Parser) -> None:
    """A file, an input, and changes to the file."""
    parser.description = ABOUT
    parser.epilog = EXAMPLES
    parser.add_argument("file", metavar="FILE", help="the agent's TOML file")
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help="the input; left out, it is read from a pipe or asked for",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the file, as run.seed=8 or template.language=French; may be "
        "repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Stream the answer; 130 when it was interrupted."""
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
    with agent:
        return asyncio.run(_answer(agent, prompt, console))


def _specification(args: argparse.Namespace) -> Any:
    """What the file says, changed by `--set`; a change that spoils it is wrong usage."""
    load = extras.load("avalan.agent.specification").load_specification
    wanted = changes(args.set)
    try:
        found = load(args.file, wanted)
    except ConfigurationError as error:
        if wanted and _can_be_used(args.file):
            raise UsageError(str(error)) from error
        raise
    here = {"device": args.device, "cache_dir": args.cache_dir}
    given = {name: value for name, value in here.items() if value is not None}
    return dataclasses.replace(found, engine=dataclasses.replace(found.engine, **given))


def _can_be_used(file: str) -> bool:
    try:
        extras.load("avalan.agent.specification").load_specification(file)
    except ConfigurationError:
        return False
    return True


async def _answer(agent: Any, prompt: str, console: Console) -> int:
    stream = await agent(prompt)
    text: list[str] = []
    code = 0
    try:
        async for token in stream:
            text.append(token.text)
            _show(token.text, console)
    except asyncio.CancelledError:  # Ctrl-C: what was said so far stays said.
        code = 130
    await stream.aclose()
    _finish(console, agent.specification, "".join(text), stream.report)
    return code


def _show(text: str, console: Console) -> None:
    """Exact bytes for pipes and `--quiet`; on a terminal, text that cannot drive it."""
    if console.quiet:
        console.write(text)
    else:
        console.print(text, end="")


def _finish(console: Console, specification: Any, text: str, report: GenerationReport) -> None:
    if console.as_json:
        console.json(_document(specification, text, report))
        return
    if console.interactive and not console.quiet and not text.endswith("\n"):
        console.print()
    console.note((figures_text(_figures(report)), "dim"))


def _figures(report: GenerationReport) -> Figures:
    usage = report.usage
    return Figures(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        ttft_s=report.timings.ttft_s if usage.completion_tokens else None,
        nth=0,
        tokens_per_s=report.tokens_per_s or None,
        remark=REMARKS.get(report.finish_reason or "interrupted", ""),
    )


def _document(specification: Any, text: str, report: GenerationReport) -> dict[str, object]:
    return {
        "agent": specification.persona.name,
        "model": specification.model,
        "text": text,
        "finish_reason": report.finish_reason or "interrupted",
        "usage": dataclasses.asdict(report.usage),
        "timings": {
            **dataclasses.asdict(report.timings),
            "ttft_s": report.timings.ttft_s,
            "tokens_per_s": report.tokens_per_s,
        },
    }
