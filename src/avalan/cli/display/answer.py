"""An answer for a person at a terminal, for a pipe, and for a program.

All three are consumers of the loop's events and change none of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from avalan.cli.console import Console, Part, cell_width
from avalan.cli.display.layout import (
    LEAST_BESIDE,
    MAX_WIDTH,
    Piece,
    bar,
    hang,
    path_text,
    shorten,
    shorten_path,
    stars,
    symbols,
    wrap,
)
from avalan.cli.display.units import seconds_text
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read
from avalan.reflection.judge import Reading
from avalan.retrieval.chunks import sentences
from avalan.retrieval.entities import Passage

_CONTEXT = 160
"""Characters of its sentence that are shown on each side of a quotation."""
_SUPPORT_DOTS = {"full": 3, "partial": 2, "none": 0}
_RELEVANT = 0.5
_LABEL = 14
"""Columns of the labels on the left."""
_MARGIN = 3
"""Columns before what stands below its label."""
_BAR = 17
"""Columns of a bar with its number and the gap after them."""


# --- for programs -------------------------------------------------------------------------------


def document(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "retrieved": answer.retrieved,
        "decision": {
            "retrieve": answer.decision.retrieve,
            "probability": answer.decision.probability,
        },
        "passages": [
            _passage(passage, answer.readings[rank] if rank < len(answer.readings) else None)
            for rank, passage in enumerate(answer.passages)
        ],
        "citations": [_citation(citation) for citation in answer.citations],
        "support": answer.support,
        "utility": answer.utility,
        "model": answer.model,
        "usage": {
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
        },
        "timings": dict(answer.timings),
    }


def _passage(passage: Passage, reading: Reading | None) -> dict[str, Any]:
    return {
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "score": passage.score,
        "relevance": None if reading is None else reading.relevance,
        "judged": reading is not None,
    }


def _citation(citation: Citation) -> dict[str, Any]:
    names = ("source", "start", "end", "text", "offsets_in")
    return {name: getattr(citation, name) for name in names}


# --- for pipes ----------------------------------------------------------------------------------


def plain(console: Console, answer: Answer) -> None:
    """A line for each thing there is to know, `name: value`."""
    for name, value in _lines(answer).items():
        console.print(f"{name}: {value}")


def _lines(answer: Answer) -> Mapping[str, str]:
    decision = "look up" if answer.decision.retrieve else "no look-up"
    lines = {"decision": f"{decision} ({answer.decision.probability:.2f})"}
    if answer.text is None:
        return lines | {"abstained": answer.reason or ""}
    lines["answer"] = " ".join(answer.text.split())
    for citation in answer.citations:
        lines["source"] = f"{path_text(citation.source)} bytes {citation.start}-{citation.end}"
    if not answer.citations:
        lines["source"] = f"memory (confidence {answer.confidence:.2f})"
    if answer.support is not None:
        lines["support"] = answer.support
    if answer.utility is not None:
        lines["utility"] = f"{answer.utility} of 5"
    return lines


# --- for people ---------------------------------------------------------------------------------


class Screen:
    """Shows events as they come: the decision, what was read, the answer and its evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draw = symbols(interactive=console.interactive)
        self._width = min(console.width, MAX_WIDTH)
        self._drafted: Drafted | None = None
        self._num_read = 0

    def show(self, event: Event) -> None:
        """Show one event; the last one is the answer."""
        match event:
            case Decision():
                self._decision(event)
            case Drafted():
                self._drafted = event
            case Found():
                self._num_read = event.num_read
            case Read():
                done = f"Read {event.rank + 1} of {self._num_read} passages"
                self._console.progress(f"{done} {self._draw.ellipsis}")
            case Answer():
                self._remark(event)
                self._passages(event)
                self._console.print()
                self.conclude(event)

    def conclude(self, answer: Answer) -> None:
        """Show the answer with its evidence and grades."""
        self._words(answer)
        self._console.print()
        self._evidence(answer)
        self._grades(answer)
        self._footer(answer)

    def _row(self, label: str, *parts: Part, cut: bool = True) -> None:
        lead = (f" {label:<{_LABEL - 1}}", "dim")
        for line in hang(lead, parts, self._width, indent=_LABEL, margin=_MARGIN, cut=cut):
            self._console.print(*line, wrap=False)

    @property
    def _is_narrow(self) -> bool:
        """Whether labels stand above what they are for."""
        return self._width - _LABEL < LEAST_BESIDE

    def _bar(self, probability: float, style: str) -> list[Piece]:
        full, empty = bar(probability, self._draw)
        return [(full, style), (empty, "dim"), (f" {probability:.2f}  ", "")]

    # --- what was decided and read -------------------------------------------------------------

    def _decision(self, decision: Decision) -> None:
        verdict = "look it up" if decision.retrieve else "no need to look it up"
        self._row("decision", *self._bar(decision.probability, "cyan"), (verdict, "bold"))

    def _remark(self, answer: Answer) -> None:
        """Where what was done is not what the decision said."""
        remark = ""
        if answer.retrieved and not answer.decision.retrieve:
            remark = "looked up all the same"
            if self._drafted is not None:
                sure = f"{self._drafted.confidence:.2f}"
                remark = f"but not sure enough from memory ({sure}), so it was looked up"
        elif answer.decision.retrieve and not answer.retrieved:
            remark = "but it was not looked up"
        if remark:
            self._row("", (remark, "dim"))

    def _passages(self, answer: Answer) -> None:
        if answer.retrieved and not answer.passages:
            self._row("passages", "none shares a word with the question")
        labels = self._passage_labels(answer)
        chosen = quoted_rank(answer)
        room = self._room
        places = [
            self._place(passage, room) for passage, _ in zip(answer.passages, labels, strict=False)
        ]
        most = max(map(cell_width, places), default=0)
        for rank, (reading, place) in enumerate(zip(answer.readings, places, strict=True)):
            tone = "green" if rank == chosen else "" if reading.relevance >= _RELEVANT else "dim"
            gap = " " * (most - cell_width(place) + 2)
            left = room - most - 2
            heading = shorten(answer.passages[rank].heading, left if left > 0 else room, self._draw)
            self._row(
                labels[rank],
                *self._bar(reading.relevance, "green" if rank == chosen else "cyan"),
                (place, tone),
                (gap + heading if heading else "", "dim"),
            )

    def _passage_labels(self, answer: Answer) -> list[str]:
        num_read = len(answer.readings)
        read = f"read {num_read} of {len(answer.passages)}" if num_read > 1 else ""
        labels = [f"passages, {read}"] if self._is_narrow and read else ["passages", read]
        return (labels + [""] * num_read)[:num_read]

    @property
    def _room(self) -> int:
        """Columns for a passage's place and heading: beside its bar, or on lines of their own."""
        beside = self._width - _LABEL - _BAR
        if beside >= LEAST_BESIDE:
            return beside
        return self._width - (_MARGIN if self._is_narrow else _LABEL)

    def _place(self, passage: Passage, room: int) -> str:
        offsets = f":{passage.start}{self._draw.dash}{passage.end}"
        # The rest of the line is the heading's, if there is one.
        most = max(room * 3 // 5 if passage.heading else room, 20)
        return shorten_path(passage.source, most - len(offsets), self._draw) + offsets

    # --- what is answered ----------------------------------------------------------------------

    def _words(self, answer: Answer) -> None:
        color = "yellow" if answer.abstained else "green"
        parts: list[Part] = [
            (answer.text or answer.reason or "", "" if answer.abstained else "bold")
        ]
        if answer.citations:
            parts.append((" [1]", "dim"))
        for line in wrap(parts, self._width - 4):
            self._console.print((f" {self._draw.edge} ", f"bold {color}"), *line, wrap=False)

    def _evidence(self, answer: Answer) -> None:
        for number, citation in enumerate(answer.citations, 1):
            place = f" bytes {citation.start}{self._draw.dash}{citation.end}"
            if citation.offsets_in == "extracted":
                place += " of its text"
            path = path_text(citation.source)
            self._row("source", (f"[{number}] ", "bold"), path, (place, "dim"), cut=False)
            if sentence := self._sentence(answer, citation):
                self._row("sentence", *sentence)
        if answer.text is not None and not answer.citations:
            self._row("memory", *self._bar(answer.confidence, "green"), ("no source", "dim"))

    def _sentence(self, answer: Answer, citation: Citation) -> list[Part]:
        """The sentence that a quotation stands in, with the quotation marked; or nothing."""
        rank = quoted_rank(answer)
        if rank is None or (span := answer.readings[rank].span) is None:
            return []
        text = answer.passages[rank].text
        start, end = around(text, span)
        before, after = text[start : span[0]], text[span[1] : end]
        if not any(map(str.isalnum, before + after)):
            return []
        draw = self._draw
        if len(before) > _CONTEXT:
            before = draw.ellipsis + before[-_CONTEXT:]
        if len(after) > _CONTEXT:
            after = after[:_CONTEXT] + draw.ellipsis
        quoted = f"{draw.open}{citation.text}{draw.close}"
        return [(before, "dim"), (quoted, "green"), (after, "dim")]

    def _grades(self, answer: Answer) -> None:
        draw = self._draw
        grades: list[Piece] = []
        if answer.support is not None:
            num_dots = _SUPPORT_DOTS[answer.support]
            dots = draw.dot * num_dots + draw.no_dot * (3 - num_dots)
            grades += [(dots, "cyan"), (f" {answer.support}   ", "")]
        if answer.utility is not None:
            label = "utility  " if grades else ""
            grades += [(label, "dim"), (stars(answer.utility, draw), "yellow")]
        if grades:
            self._row("support" if answer.support is not None else "utility", *grades)

    def _footer(self, answer: Answer) -> None:
        parts = [answer.model, seconds_text(answer.timings["total_s"])]
        if tokens := answer.usage.prompt_tokens + answer.usage.completion_tokens:
            parts.append(f"{tokens:,} tokens")
        self._row("judged by", (f" {self._draw.middle} ".join(parts), "dim"))


def quoted_rank(answer: Answer) -> int | None:
    """The rank of the passage that the answer quotes."""
    if not answer.citations:
        return None
    cited = answer.citations[0]
    for rank, (passage, reading) in enumerate(zip(answer.passages, answer.readings, strict=False)):
        place = None if reading.span is None else passage.locate(*reading.span)
        if passage.source == cited.source and place == (cited.start, cited.end):
            return rank
    return None


def around(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The sentences of `text` that `span` lies in, as one span."""
    touched: Sequence[tuple[int, int]] = [
        (start, end) for start, end in sentences(text) if start < span[1] and end > span[0]
    ]
    start = min([span[0], *(start for start, _ in touched)])
    end = max([span[1], *(end for _, end in touched)])
    return start, end
