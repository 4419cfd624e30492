"""How `avalan ask` answers: documents and judges are opened, and what happens is shown."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.cli.arrival import arriving
from avalan.cli.console import Console
from avalan.cli.display import answer as show
from avalan.cli.display.layout import path_text
from avalan.cli.display.trace import Trace, step
from avalan.cli.options import as_usage, from_args
from avalan.cli.questions import opened, questions, read_question
from avalan.errors import AvalanError
from avalan.locale import _, ngettext
from avalan.model.entities import EngineSettings
from avalan.reflection.events import Answer, Citation, Event
from avalan.reflection.settings import AskSettings
from avalan.retrieval.index import NO_EMBEDDER, SyncIndex
from avalan.retrieval.place import located, named


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


def answer_one(args: argparse.Namespace, settings: AskSettings, console: Console) -> int:
    """Answer the question that was given, or whatever the person at the terminal asks."""
    loop = extras.load("avalan.reflection.loop")
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


@contextmanager
def _told_if_ended(console: Console) -> Iterator[None]:
    """Ctrl-C leaves a sentence."""
    try:
        yield
    except KeyboardInterrupt:
        console.note(_("Ended before there was an answer."))
        raise


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


def answer_all(args: argparse.Namespace, settings: AskSettings, console: Console) -> int:
    """A JSON object for each line of a file, in order; 1 if a line could not be answered."""
    loop = extras.load("avalan.reflection.loop")
    num_told = num_failed = 0
    try:
        with (
            opened(args.questions) as lines,
            open_index(args, console) as index,
            open_panel(args, console) as panel,
        ):
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
