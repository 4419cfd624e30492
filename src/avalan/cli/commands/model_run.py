"""`avalan model run`: one prompt in, one answer out, shown as it is made."""

import argparse
import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.disk import hub_cache
from avalan.cli.display.units import seconds_text
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.errors import UsageError
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings

# As in `avalan.model.bundled.RESERVED`, whose package is too heavy for `--help`.
RESERVED = ("bundled", "reader", "rules")

STOP = {"stop_strings": "--stop-on-keyword"}

EXAMPLES = """\
Try:
  avalan model run "What does a compiler do?"
  avalan model run bundled --temperature 0.8 --seed 7 "Write a greeting."
  cat letter.txt | avalan model run bundled --quiet > answer.txt"""


def configure(parser: Parser) -> None:
    """The options are the fields of the settings' dataclasses."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a reserved name, a folder or file, a hub's owner/name, or ai://…  [bundled]",
    )
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help="what to answer; left out, it is read from a pipe or asked for",
    )
    answer = parser.add_argument_group("Answer")
    answer.add_argument("--system", metavar="TEXT", help="the system prompt")
    add_fields(
        answer,
        GenerationSettings,
        ["max_new_tokens", "stop_strings", "skip_special_tokens"],
        flags=STOP,
    )
    sampling = parser.add_argument_group("Sampling")
    add_fields(
        sampling,
        GenerationSettings,
        ["do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"],
    )
    loading = parser.add_argument_group("Model")
    add_fields(
        loading, EngineSettings, ["engine", "weight_type", "attention", "revision", "num_threads"]
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Stream an answer; 130 when it was interrupted."""
    model, prompt = split_words(args.model, args.prompt, piped=not console.answers)
    settings = from_args(GenerationSettings, args)
    engine = from_args(EngineSettings, args)
    prompt = read_prompt(console) if prompt is None else prompt
    if not prompt.strip():
        raise UsageError(
            "The prompt is empty; write it after the model's name, or pipe it in: "
            'avalan model run bundled "What does a compiler do?"'
        )
    text_models = extras.load("avalan.model.nlp.text")
    with text_models.TextGenerationModel(model, engine) as lm:
        return asyncio.run(_answer(lm, model, prompt, args.system, settings, console))


def split_words(first: str | None, second: str | None, *, piped: bool) -> tuple[str, str | None]:
    """Model and prompt of `[MODEL] [PROMPT]`, of which either may be left out.

    A single word is the model where the prompt comes through a pipe, or where it looks like one;
    otherwise it is the prompt.
    """
    if first is None or second is not None:
        return first or RESERVED[0], second
    is_word = len(first.split()) == 1
    if is_word and (piped or looks_like_model(first)):
        return first, None
    return RESERVED[0], first


def looks_like_model(word: str) -> bool:
    """A reserved name, an address, something on disk, or an `owner/name`."""
    if word in RESERVED or word.startswith("ai://") or re.fullmatch(r"[\w.-]+/[\w.-]+", word):
        return True
    return Path(word).exists() or (hub_cache() / f"models--{word}").is_dir()


def read_prompt(console: Console) -> str:
    """The prompt from the pipe, or from the person at the terminal.

    Raises:
        UsageError: what was piped is not text.
    """
    if console.answers:
        return console.ask("Prompt: ")
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The piped prompt is not UTF-8 text (byte {error.start}); convert it first."
        ) from None


async def _answer(
    lm: Any,
    model: str,
    prompt: str,
    system_prompt: str | None,
    settings: GenerationSettings,
    console: Console,
) -> int:
    stream = await lm(prompt, system_prompt=system_prompt, settings=settings)
    text: list[str] = []
    show = _shower(console)
    code = 0
    try:
        async for token in stream:
            text.append(token.text)
            show(token.text)
    except asyncio.CancelledError:  # Ctrl-C: what was said so far stays said.
        code = 130
    await stream.aclose()
    _finish(console, model, "".join(text), stream.report)
    return code


def _shower(console: Console) -> Callable[[str], None]:
    """Exact bytes for pipes and `--quiet`; on a terminal, text that cannot drive it."""
    if console.quiet:
        return console.write
    return lambda text: console.print(text, end="")


def _finish(console: Console, model: str, text: str, report: GenerationReport) -> None:
    if console.as_json:
        console.json(_document(model, text, report))
        return
    if console.interactive and not console.quiet and not text.endswith("\n"):
        console.print()
    console.note((_footer(report), "dim"))


def _footer(report: GenerationReport) -> str:
    count = report.usage.completion_tokens
    parts = [f"{count} token" if count == 1 else f"{count} tokens"]
    if count:
        parts.append(f"first after {seconds_text(report.timings.ttft_s)}")
    if report.tokens_per_s:
        parts.append(f"{report.tokens_per_s:,.0f} tokens/s")
    if report.finish_reason != "stop":
        parts.append("cut off at its limit" if report.finish_reason == "length" else "interrupted")
    return " · ".join(parts)


def _document(model: str, text: str, report: GenerationReport) -> dict[str, object]:
    timings = report.timings
    return {
        "model": model,
        "text": text,
        "finish_reason": report.finish_reason or "interrupted",
        "usage": {
            "prompt_tokens": report.usage.prompt_tokens,
            "completion_tokens": report.usage.completion_tokens,
        },
        "timings": {
            "prefill_s": timings.prefill_s,
            "ttft_s": timings.ttft_s,
            "decode_s": timings.decode_s,
            "tokens_per_s": report.tokens_per_s,
        },
    }
