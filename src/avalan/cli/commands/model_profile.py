"""`avalan model profile`: the engines that can run a model here, side by side."""

import argparse
from dataclasses import asdict
from typing import Any

from avalan import extras
from avalan.cli.arrival import RESERVED, arriving
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text, seconds_text
from avalan.cli.options import add_fields, as_usage, from_args, whole_number
from avalan.cli.parser import Parser
from avalan.errors import AvalanError, ConfigurationError, UsageError
from avalan.locale import _, number
from avalan.model.entities import EngineSettings

MOST_TOKENS = 100_000
_NUMBERS = {"prompt_tokens": 128, "new_tokens": 64, "runs": 5}


def configure(parser: Parser) -> None:
    """One model, and how much it has to do."""
    parser.epilog = _(
        "Each engine runs in a process of its own, so load time and memory are its own. With "
        "--json one object: model, profiles, refused."
    )
    parser.examples = (
        "avalan model profile bundled",
        "avalan model profile models/nano --engines transformers --new-tokens 32",
    )
    parser.add_argument(
        "model",
        nargs="?",
        default=RESERVED[0],
        metavar="MODEL",
        help=_("a folder or file, or a hub's owner/name [bundled]"),
    )
    parser.add_argument(
        "--engines", metavar="TEXT", help=_("some of them, with commas [all that can run it]")
    )
    for name, text in (
        ("prompt_tokens", _("tokens to read")),
        ("new_tokens", _("tokens to write")),
        ("runs", _("how often; the median counts")),
    ):
        parser.add_argument(
            "--" + name.replace("_", "-"),
            type=whole_number,
            default=_NUMBERS[name],
            metavar="N",
            help=f"{text} [{_NUMBERS[name]}]",
        )
    add_fields(
        parser,
        EngineSettings,
        ["weight_type", "num_threads", "revision", "context_length", "vllm"],
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Measure; 1 if no engine could."""
    for name in _NUMBERS:
        value, least = getattr(args, name), 2 if name == "new_tokens" else 1
        if not least <= value <= MOST_TOKENS:
            raise UsageError(
                "{name} is {value}, but it must be from {least} to {most:,}.",
                name="--" + name.replace("_", "-"),
                value=value,
                least=least,
                most=MOST_TOKENS,
            )
    settings = from_args(EngineSettings, args)
    with as_usage():
        extras.load("avalan.model.uri").parse_uri(args.model)
    measuring = extras.load("avalan.model.profile")
    with arriving(args.model, console):
        engines = measuring.candidates(args.model, settings)
    engines = _wanted(args.engines, engines, args.model)
    found: list[Any] = []
    refused: dict[str, str] = {}
    numbers = {"num_prompt": args.prompt_tokens, "num_new": args.new_tokens, "num_runs": args.runs}
    outcomes = measuring.profiles(args.model, engines, settings, **numbers)
    for engine in engines:
        console.progress(_("measuring {engine}", engine=engine))
        outcome = next(outcomes)
        if isinstance(outcome, AvalanError):
            refused[engine] = str(outcome)
        else:
            found.append(outcome)
    if console.as_json:
        rows = [asdict(each) for each in found]
        console.json({"model": args.model, "profiles": rows, "refused": refused})
    else:
        _show(found, refused, console)
    return 0 if found else 1


def _wanted(text: str | None, able: list[str], model: str) -> list[str]:
    """The engines asked for, or all that are able."""
    known = extras.load("avalan.model.engine").ENGINES
    wanted = able if text is None else [each.strip() for each in text.split(",")]
    for engine in wanted:
        if engine not in known:
            raise UsageError(
                "There is no engine called {name!r}; choose one of: {known}.",
                name=engine,
                known=", ".join(known),
            )
    if not wanted:
        raise ConfigurationError(
            "No engine that is installed runs {model!r}; install one: {command}",
            model=model,
            command=extras.install_command("transformers"),
        )
    return wanted


def _show(found: list[Any], refused: dict[str, str], console: Console) -> None:
    headers = [_("engine"), _("load"), "ttft", _("reads, t/s"), _("writes, t/s"), _("memory")]
    if found:
        console.table(headers, map(_row, found))
    for engine, reason in refused.items():
        console.note(f"{engine}: {reason}")


def _row(profile: Any) -> list[str]:
    return [
        profile.engine,
        seconds_text(profile.load_s),
        seconds_text(profile.ttft_s),
        number(profile.prefill_tokens_per_s, ",.0f"),
        number(profile.decode_tokens_per_s, ",.0f"),
        "–" if profile.memory_bytes is None else bytes_text(profile.memory_bytes),
    ]
