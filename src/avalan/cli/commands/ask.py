"""`avalan ask`: a question in, an answer with its evidence out, or the reason why there is none."""

import argparse
from contextlib import suppress
from typing import get_args

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import add_fields, as_usage, field_docs, from_args
from avalan.cli.parser import Parser
from avalan.errors import ModelError, UsageError
from avalan.locale import _
from avalan.model.entities import EngineSettings
from avalan.reflection.settings import AskSettings, Retrieve, Style, Weights
from avalan.retrieval.place import DEFAULT_INDEX, named


def configure(parser: Parser) -> None:
    """Most options are the fields of `AskSettings`."""
    parser.examples = (
        'avalan ask "How long may a file name be?" --docs notes/',
        'avalan ask "Who signs the lease?" --docs lease.md --trace',
        "avalan ask --questions questions.txt --index handbook > answers.jsonl",
    )
    parser.add_argument(
        "question",
        nargs="?",
        metavar="QUESTION",
        help=_("what to answer; left out, it is read from a pipe, or a conversation begins"),
    )
    documents = parser.add_argument_group(_("Documents"))
    documents.add_argument(
        "--docs",
        action="append",
        metavar="PATH",
        help=_("a file or folder to look things up in, for this once; may be repeated"),
    )
    documents.add_argument(
        "--index",
        metavar="NAME",
        help=_("an index to look things up in [{default}]", default=DEFAULT_INDEX),
    )
    judging = parser.add_argument_group(_("Judging"))
    judging.add_argument(
        "--model",
        metavar="MODEL",
        help=_("any model, reader or rules; left out, the judge that is best at each part"),
    )
    judging.add_argument(
        "--retrieve", choices=get_args(Retrieve), help=_doc("retrieve") + " [adaptive]"
    )
    add_fields(judging, EngineSettings, ["trust_remote_code", "allow_pickle"])
    add_fields(judging, AskSettings, ["threshold", "min_confidence", "top_k"])
    writing = parser.add_argument_group(_("Writing"))
    writing.add_argument("--style", choices=get_args(Style), help=_doc("style"))
    add_fields(writing, AskSettings, ["require_support", "beams"])
    writing.add_argument("--weights", metavar="REL,SUP,USE", help=_doc("weights") + " [1,1,0.5]")
    output = parser.add_argument_group(_("Output"))
    output.add_argument("--trace", action="store_true", help=_("tell every step in detail"))
    output.add_argument(
        "--events", action="store_true", help=_("each step as a line of JSON, as it happens")
    )
    output.add_argument(
        "--questions",
        metavar="FILE",
        help=_("answer a file: a question on each line, or JSON lines with `question`; - is stdin"),
    )
    parser.set_defaults(run=run)


def _doc(name: str) -> str:
    text = _(field_docs(AskSettings)[name]).removesuffix(".")
    return text[:1].lower() + text[1:]


def run(args: argparse.Namespace, console: Console) -> int:
    """Answer one question or many; an abstention is an answer, too."""
    _check_words(args)
    with as_usage():
        weights = Weights() if args.weights is None else Weights.parse(args.weights)
    settings = from_args(AskSettings, args, weights=weights)
    if args.model is None:
        _begin_to_open(args)
    answering = extras.load("avalan.cli.answering")
    if args.questions is not None:
        return int(answering.answer_all(args, settings, console))
    return int(answering.answer_one(args, settings, console))


def _begin_to_open(args: argparse.Namespace) -> None:
    """What the default judges and the search want is read and opened while Python imports."""
    with suppress(ModelError):  # Whoever wants a model that is missing says so.
        extras.load("avalan.model.bundled").look_ahead("reader", "bundled", "embedder")
        extras.load("avalan.model.bundled.ahead").begin(
            from_args(EngineSettings, args),
            embedder=bool(args.docs or args.index or named().exists()),
        )


def _check_words(args: argparse.Namespace) -> None:
    if args.docs and args.index:
        raise UsageError(
            "--docs and --index name two places to look things up in; give one of them."
        )
    if args.question is not None and args.questions is not None:
        raise UsageError("There is a QUESTION and a file of --questions; give one of them.")
    if args.events and (args.trace or args.questions is not None):
        raise UsageError(
            "--events tells every step of one question; leave out --trace and --questions."
        )
