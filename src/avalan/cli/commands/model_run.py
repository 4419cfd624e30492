"""`avalan model run`: one prompt in, one answer out, shown as it is made."""

import argparse
import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.arrival import RESERVED, arriving
from avalan.cli.console import Console
from avalan.cli.disk import hub_cache
from avalan.cli.display.settings import DisplaySettings, add_display_options, num_alternatives
from avalan.cli.login import add_login, find_token
from avalan.cli.options import add_fields, as_usage, from_args, whole_number
from avalan.cli.parser import Parser
from avalan.cli.questions import opened, read_prompt
from avalan.errors import ModelError, UsageError
from avalan.hub.formats import split_format
from avalan.locale import _
from avalan.model.entities import BATCH_SIZE, EngineSettings, GenerationSettings

MOST_AT_A_TIME = 1024
STOP = {"stop_strings": "--stop-on-keyword"}
TOKENS = {"tokens": "--token", "special_tokens": "--special-token", "vllm_options": "--vllm-option"}
LOADING = (
    "engine",
    "weight_type",
    "attention",
    "low_cpu_mem_usage",
    "num_threads",
    "revision",
    "tokenizer",
    "tokens",
    "special_tokens",
    "trust_remote_code",
    "allow_pickle",
    "context_length",
    "adapter",
    "vllm",
    "vllm_options",
)


def configure(parser: Parser) -> None:
    """The options are the fields of the settings' dataclasses."""
    parser.epilog = _(
        "Where a model reasons before it answers, its reasoning is a remark: on stderr, a bar "
        "before each line, so that a pipe gets the answer alone. With --json one object: model, "
        "text, reasoning, finish_reason, usage, timings, and with --display-tokens the tokens."
    )
    parser.examples = (
        'avalan model run "What does a compiler do?"',
        'avalan model run bundled --temperature 0.8 --seed 7 "Write a greeting."',
        (
            'avalan model run bundled "Who are you?" --display-tokens --display-probabilities '
            "--display-pause"
        ),
        "cat letter.txt | avalan model run bundled --quiet > answer.txt",
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help=_("a reserved name, a folder or file, a hub's owner/name, or ai://…  [bundled]"),
    )
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help=_("what to answer; left out, it is read from a pipe or asked for"),
    )
    answer = parser.add_argument_group(_("Answer"))
    answer.add_argument("--system", metavar="TEXT", help=_("the system prompt"))
    add_fields(
        answer,
        GenerationSettings,
        ["max_new_tokens", "stop_strings", "skip_special_tokens", "use_cache", "start_thinking"],
        flags=STOP,
    )
    add_fields(answer, DisplaySettings, ["reasoning"])
    rule = parser.add_argument_group(_("Constraint"))
    rule.add_argument("--schema", metavar="FILE", help=_("the JSON schema that the answer follows"))
    add_fields(rule, GenerationSettings, ["regex", "choices"], flags={"choices": "--choice"})
    many = parser.add_argument_group(_("Many prompts"))
    many.add_argument(
        "--prompts",
        metavar="FILE",
        help=_("answer every line, a text or JSON with a prompt, as JSON lines in their order"),
    )
    many.add_argument(
        "--batch-size",
        metavar="N",
        type=whole_number,
        help=_("how many at a time [{n}]", n=BATCH_SIZE),
    )
    sampling = parser.add_argument_group(_("Sampling"))
    add_fields(
        sampling,
        GenerationSettings,
        ["do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed"],
    )
    loading = parser.add_argument_group(_("Model"))
    add_fields(loading, EngineSettings, LOADING, flags=TOKENS)
    add_login(loading)
    add_display_options(parser.add_argument_group(_("Tokens")))
    record = parser.add_argument_group(_("Recording"))
    record.add_argument(
        "--record", metavar="FILE", help=_("keep the generation, token by token, in a new file")
    )
    record.add_argument(
        "--replay", metavar="FILE", help=_("show a kept generation again; no model is loaded")
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Stream an answer; 130 when it was interrupted."""
    display = from_args(DisplaySettings, args)
    if args.replay is not None:
        return _replay(args, display, console)
    model, prompt = split_words(args.model, args.prompt, piped=not console.answers)
    with as_usage():
        uri = extras.load("avalan.model.uri").parse_uri(model)
    shown = model if uri.is_local else uri.shown  # Without the key.
    if "" in (args.stop_strings or ()):
        raise UsageError(
            "--stop-on-keyword is empty, and an empty text stands everywhere; give the word "
            "that is to end the answer."
        )
    if "" in (args.choices or ()):
        raise UsageError("--choice is empty; give the text that is to be chosen.")
    alternatives = num_alternatives(display, recorded=args.record is not None)
    settings = from_args(
        GenerationSettings, args, num_alternatives=alternatives, schema=_schema(args.schema)
    )
    if settings.constraint is not None and args.engine != "vllm":
        with as_usage():  # Before the model takes its time.
            extras.load("avalan.model.decode.grammar", extra="grammar").check(settings)
    token = find_token(args, console) if args.login else None
    engine = from_args(EngineSettings, args, access_token=token)
    target = None if args.record is None else Path(args.record)
    recordings = extras.load("avalan.model.nlp.recording")
    if target is not None:  # Before the model takes its time.
        recordings.check_target(target)
    if args.prompts is not None:
        return _answer_lines(model, prompt, args, settings, engine, console)
    prompt = read_prompt(console) if prompt is None else prompt
    if not prompt.strip():
        raise UsageError(
            "The prompt is empty; write it after the model's name, or pipe it in: "
            'avalan model run bundled "What does a compiler do?"'
        )
    request = recordings.Request(
        model=shown,
        prompt=prompt,
        system_prompt=args.system,
        settings=settings,
    )
    kept = recordings.Recorder(target, request) if target else nullcontext()
    with _loaded(model, engine, console, args.passed_over) as lm, kept as recorder:
        starting = lm(prompt, system_prompt=args.system, settings=settings)
        answer = extras.load("avalan.cli.streaming").answer
        code: int = answer(lm, starting, {"model": shown}, display, console, recorder)
        return code


def _schema(file: str | None) -> dict[str, Any] | None:
    """The content of the file of `--schema`."""
    if file is None:
        return None
    try:
        schema = json.loads(Path(file).expanduser().read_bytes())
    except (OSError, ValueError):
        schema = None
    if not isinstance(schema, dict):
        raise UsageError(
            "--schema {file} is no file with a JSON schema; name one that holds an object such as "
            '{{"type": "object", "properties": {{…}}}}.',
            file=file,
        )
    return schema


def _answer_lines(
    model: str,
    prompt: str | None,
    args: argparse.Namespace,
    settings: GenerationSettings,
    engine: EngineSettings,
    console: Console,
) -> int:
    if prompt is not None or args.record is not None or args.display_tokens is not None:
        raise UsageError(
            "--prompts answers the lines of a file as JSON; leave the prompt, --record and the "
            "token display out."
        )
    size = BATCH_SIZE if args.batch_size is None else args.batch_size
    if not 1 <= size <= MOST_AT_A_TIME:
        raise UsageError(
            "--batch-size is {size}, but it must be from 1 to {most}.",
            size=size,
            most=MOST_AT_A_TIME,
        )
    with opened(args.prompts) as lines, _loaded(model, engine, console, args.passed_over) as lm:
        code: int = extras.load("avalan.cli.many").answer_lines(
            lines, lm, settings, console, system_prompt=args.system, batch_size=size
        )
    return code


def _replay(args: argparse.Namespace, display: DisplaySettings, console: Console) -> int:
    if args.model is not None or args.record is not None:
        raise UsageError(
            "--replay shows what was recorded and takes neither a model nor a prompt nor "
            "--record; leave them out: avalan model run --replay FILE"
        )
    recording = extras.load("avalan.model.nlp.recording").read_recording(Path(args.replay))
    code: int = extras.load("avalan.cli.streaming").replay(recording, display, console)
    return code


def _loaded(
    name: str, settings: EngineSettings, console: Console, passed_over: Mapping[str, str]
) -> Any:
    lm = extras.load("avalan.model.nlp.text").TextGenerationModel(name, settings)
    try:
        with arriving(name, console):
            return lm.open()
    except ModelError as error:
        if name in passed_over and not looks_like_model(name):
            raise UsageError(passed_over[name]) from error
        raise


def split_words(first: str | None, second: str | None, *, piped: bool) -> tuple[str, str | None]:
    """Model and prompt of `[MODEL] [PROMPT]`, of which either may be left out.

    A single word is the model where the prompt comes through a pipe, or where it looks like one;
    otherwise it is the prompt.
    """
    if first is None or second is not None:
        return RESERVED[0] if first is None else first, second
    is_word = len(first.split()) == 1
    if is_word and (piped or looks_like_model(first)):
        return first, None
    return RESERVED[0], first


def looks_like_model(word: str) -> bool:
    """A reserved name, an address, something on disk, or an `owner/name`; of these, a format."""
    word, _wanted = split_format(word)
    if word in RESERVED or word.startswith("ai://") or re.fullmatch(r"[\w.-]+/[\w.-]+", word):
        return True
    return Path(word).exists() or (hub_cache() / f"models--{word}").is_dir()
