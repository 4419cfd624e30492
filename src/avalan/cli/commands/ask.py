"""`avalan ask`: a question in, an answer with its evidence out, or the reason why there is none."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

from avalan import extras
from avalan.cli.arrival import arriving
from avalan.cli.console import Console
from avalan.cli.display import answer as show
from avalan.cli.display.layout import path_text
from avalan.cli.display.trace import Trace, step
from avalan.cli.options import add_fields, as_usage, field_docs, from_args
from avalan.cli.parser import Parser
from avalan.cli.questions import opened, questions, read_question
from avalan.errors import AvalanError, ModelError, UsageError
from avalan.locale import _, ngettext
from avalan.model.entities import EngineSettings
from avalan.reflection.events import Answer, Citation, Event
from avalan.reflection.settings import AskSettings, Retrieve, Style, Weights
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex
from avalan.retrieval.place import DEFAULT_INDEX, located, named


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
    loop = extras.load("avalan.reflection.loop")
    if args.questions is not None:
        with opened(args.questions) as lines:
            return _answer_all(lines, args, settings, console)
    question = read_question(args.question, console)
    with ExitStack() as stack:
        with _told_if_ended(console):
            index = stack.enter_context(open_index(args, console))
            panel = stack.enter_context(open_panel(args, console))
        asked = partial(loop.ask, panel=panel, index=index, settings=settings)
        show_answer = _stream if args.events else partial(present, trace=args.trace)

        def answered(text: str) -> None:
            with _told_if_ended(console):
                show_answer(asked(text), console)

        if args.question is None and console.answers:
            return _talk(question, panel, answered, console)
        answered(question)
    return 0


def _begin_to_open(args: argparse.Namespace) -> None:
    """What the default judges and the search want is read and opened while Python imports."""
    with suppress(ModelError):  # Whoever wants a model that is missing says so.
        models = extras.load("avalan.model.bundled").look_ahead("reader", "bundled", "embedder")
        judge = extras.load("avalan.model.nlp.judge_onnx")
        judge.open_ahead(models["reader"].folder, from_args(EngineSettings, args))
        if args.docs or args.index or named().exists():
            extras.load("avalan.model.nlp.sentence").open_bundled_ahead(models["embedder"])


@contextmanager
def _told_if_ended(console: Console) -> Iterator[None]:
    """Ctrl-C leaves a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        console.note(_("Ended before there was an answer."))
        raise


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


# --- documents and judges -----------------------------------------------------------------------


def open_index(
    args: argparse.Namespace, console: Console
) -> AbstractContextManager[SyncIndex | None]:
    """The documents that were named, the index that was, the default index, or nothing."""
    if args.docs:
        # Rules compare words, so they have no use for what only means the same.
        embedder = NO_EMBEDDER if args.model == "rules" else None
        given: AbstractContextManager[SyncIndex]
        given = extras.load("avalan.cli.given").temporary(args.docs, embedder, console)
        return given
    if args.index is not None:
        with as_usage():
            place = located(args.index)
        return SyncIndex.open(place)
    return SyncIndex.open(named()) if named().exists() else nullcontext()


def open_panel(args: argparse.Namespace, console: Console) -> Any:
    """The judges that `--model` names."""
    panels = extras.load("avalan.reflection.panel")
    with as_usage():
        if args.model is not None:
            extras.load("avalan.model.uri").parse_uri(args.model)
        with arriving(args.model, console):
            panel = panels.open_panel(args.model, from_args(EngineSettings, args))
    for remark in panel.remarks:
        console.note((_("note"), "yellow"), " ", remark)
    return panel


# --- one question -------------------------------------------------------------------------------


def present(events: Iterator[Event], console: Console, *, trace: bool = False) -> Answer:
    """Show events in the way that suits whoever reads stdout; the answer at their end."""
    if console.as_json:
        document, answer = _document(events, trace=trace)
        console.json(document)
        warn_if_changed(answer, console)
        return answer
    tracer = Trace(console) if trace and not console.quiet else None
    screen = show.Screen(console) if console.interactive and not console.quiet else None
    for event in events:
        if tracer:
            tracer.show(event)
        elif screen:
            screen.show(event)
        if isinstance(event, Answer):
            answer = event
    _finish(answer, console, screen if tracer else None)
    warn_if_changed(answer, console)
    return answer


def _stream(events: Iterator[Event], console: Console) -> Answer:
    """A line of JSON for each step as it happens; the last one is the answer."""
    for event in events:
        match event:
            case Answer():
                console.json({"step": "answer"} | show.document(event))
                warn_if_changed(event, console)
                answer = event
            case Citation():
                console.json({"step": "citation"} | asdict(event))
            case _:
                console.json(step(event))
    return answer


def _talk(question: str, panel: Any, show_answer: Callable[[str], None], console: Console) -> int:
    """One question after the other, until there is none; a follow-up leans on those before it."""
    talk = extras.load("avalan.reflection.conversation").Conversation(panel.writer)
    while question.strip():
        try:
            asked = talk.understood(question)
            if asked != " ".join(question.split()):
                console.note((_("understood as"), "dim"), " ", asked)
            show_answer(asked)
        except AvalanError as error:
            console.error(str(error))
        console.note()
        question = console.ask(_("Question:") + " ")
    return 0


def _finish(answer: Answer, console: Console, screen: "show.Screen | None") -> None:
    if screen:
        screen.conclude(answer)
    elif console.quiet:
        _say(answer, console)
    elif not console.interactive:
        show.plain(console, answer)


def _say(answer: Answer, console: Console) -> None:
    """The answer's bytes and nothing else, its reserve on stderr; an abstention has no bytes."""
    if answer.text is None:
        console.error(_(answer.reason) if answer.reason else "")
        return
    if not answer.sure:
        confidence = answer.confidence
        console.error(
            _("Not sure ({confidence:.2f}): this is what comes nearest.", confidence=confidence)
        )
    if console.interactive:
        console.print(answer.text, wrap=False)
    else:
        console.write(answer.text)


def warn_if_changed(answer: Answer, console: Console) -> None:
    """A remark where the cited bytes no longer stand in the file."""
    rank = show.quoted_rank(answer)
    if rank is None or answer.citations[0].offsets_in != "file":
        return
    cited = answer.citations[0]
    if _held(cited) != cited.text.encode(answer.passages[rank].encoding):
        console.note(
            (_("changed"), "yellow"),
            " ",
            _(
                "{path} is not what it was when it was indexed; "
                "bring the index up to date with: avalan index add PATH",
                path=path_text(cited.source),
            ),
        )


def _held(cited: Citation) -> bytes:
    try:
        with Path(cited.source).open("rb") as file:
            file.seek(cited.start)
            return file.read(cited.end - cited.start)
    except OSError:
        return b""


def _document(events: Iterator[Event], *, trace: bool) -> tuple[dict[str, Any], Answer]:
    told = list(events)
    answer = told[-1]
    assert isinstance(answer, Answer)
    document = show.document(answer)
    if trace:
        document["trace"] = [each for event in told if (each := step(event))]
    return document, answer


# --- many questions -----------------------------------------------------------------------------


def _answer_all(
    lines: Iterator[bytes], args: argparse.Namespace, settings: AskSettings, console: Console
) -> int:
    """A JSON object for each line, in order; 1 if a line could not be answered."""
    loop = extras.load("avalan.reflection.loop")
    num_told = num_failed = 0
    try:
        with open_index(args, console) as index, open_panel(args, console) as panel:
            for number, question in questions(lines):
                try:
                    if isinstance(question, AvalanError):
                        raise question
                    events = loop.ask(question, panel=panel, index=index, settings=settings)
                    found, answer = _document(events, trace=args.trace)
                    warn_if_changed(answer, console)
                except AvalanError as error:
                    found = {"error": str(error), "line": number}
                    num_failed += 1
                console.json(found)
                num_told += 1
    except KeyboardInterrupt:
        console.note(ngettext("Ended after {n:,} line.", "Ended after {n:,} lines.", num_told))
        raise
    if num_failed:
        console.note(
            ngettext(
                "{n:,} line of {total:,} has no answer; it says why in its place.",
                "{n:,} lines of {total:,} have no answer; each says why in its place.",
                num_failed,
                total=num_told,
            )
        )
    return 1 if num_failed else 0
