"""An answer for a person at a terminal, for a pipe, and for a program.

All three are consumers of the loop's events and change none of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from avalan.cli.console import Console, Part, cell_width
from avalan.cli.display.layout import (
    LEAST_BESIDE,
    MAX_WIDTH,
    Piece,
    bar,
    hang,
    padded,
    path_text,
    shorten,
    shorten_path,
    stars,
    symbols,
    wrap,
)
from avalan.cli.display.units import seconds_text
from avalan.locale import _, _n, ngettext
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read
from avalan.reflection.judge import Reading
from avalan.retrieval.chunks import sentences
from avalan.retrieval.entities import Passage

_CONTEXT = 160
"""Characters of its sentence that are shown on each side of a quotation."""
_SUPPORT_DOTS = {_n("full"): 3, _n("partial"): 2, _n("none"): 0}
_RELEVANT = 0.5
_LABELS = (
    _n("decision"),
    _n("passages"),
    _n("source"),
    _n("sentence"),
    _n("memory"),
    _n("support"),
    _n("utility"),
    _n("judged by"),
)
"""What stands on the left."""
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
    for name, value in _lines(answer):
        console.print(f"{name}: {value}")


def _lines(answer: Answer) -> Iterator[tuple[str, str]]:
    probability = answer.decision.probability
    if answer.decision.retrieve:
        yield _("decision"), _("look up ({probability:.2f})", probability=probability)
    else:
        yield _("decision"), _("no look-up ({probability:.2f})", probability=probability)
    if answer.text is None:
        yield _("abstained"), _said(answer)
        return
    yield _("answer"), " ".join(answer.text.split())
    for citation in answer.citations:
        yield _("source"), f"{path_text(citation.source)} {_bytes(citation, '-')}"
    if not answer.citations:
        sure = answer.confidence
        yield _("source"), _("memory (confidence {confidence:.2f})", confidence=sure)
    if answer.support is not None:
        yield _("support"), _(answer.support)
    if answer.utility is not None:
        yield _("utility"), _("{grade} of 5", grade=answer.utility)


def _said(answer: Answer) -> str:
    """The answer, or why there is none."""
    return answer.text or (_(answer.reason) if answer.reason else "")


def _bytes(citation: Citation, dash: str) -> str:
    values = {"start": citation.start, "end": citation.end, "dash": dash}
    return _("bytes {start}{dash}{end}", **values)


# --- for people ---------------------------------------------------------------------------------


class Screen:
    """Shows events as they come: the decision, what was read, the answer and its evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draw = symbols(interactive=console.interactive)
        self._width = min(console.width, MAX_WIDTH)
        self._drafted: Drafted | None = None
        self._num_read = 0
        labels = [*map(_, _LABELS), _read_text(9, 10)]
        self._label = max(map(cell_width, labels)) + 2
        """Columns of the labels."""

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
                done = _(
                    "Read {count} of {total} passages", count=event.rank + 1, total=self._num_read
                )
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
        indent = self._label
        lead = (padded(f" {label}", indent), "dim")
        for line in hang(lead, parts, self._width, indent=indent, margin=_MARGIN, cut=cut):
            self._console.print(*line, wrap=False)

    @property
    def _is_narrow(self) -> bool:
        """Whether labels stand above what they are for."""
        return self._width - self._label < LEAST_BESIDE

    def _bar(self, probability: float, style: str) -> list[Piece]:
        full, empty = bar(probability, self._draw)
        return [(full, style), (empty, "dim"), (f" {probability:.2f}  ", "")]

    # --- what was decided and read -------------------------------------------------------------

    def _decision(self, decision: Decision) -> None:
        verdict = _("look it up") if decision.retrieve else _("no need to look it up")
        self._row(_("decision"), *self._bar(decision.probability, "cyan"), (verdict, "bold"))

    def _remark(self, answer: Answer) -> None:
        """Where what was done is not what the decision said."""
        remark = ""
        if answer.retrieved and not answer.decision.retrieve:
            remark = _("looked up all the same")
            if self._drafted is not None:
                remark = _(
                    "but not sure enough from memory ({confidence:.2f}), so it was looked up",
                    confidence=self._drafted.confidence,
                )
        elif answer.decision.retrieve and not answer.retrieved:
            remark = _("but it was not looked up")
        if remark:
            self._row("", (remark, "dim"))

    def _passages(self, answer: Answer) -> None:
        if answer.retrieved and not answer.passages:
            self._row(_("passages"), _("none shares a word with the question"))
        labels = self._passage_labels(answer)
        chosen = quoted_rank(answer)
        room = self._room
        places = [self._place(passage, room) for passage in answer.passages[: len(labels)]]
        most = max(map(cell_width, places), default=0)
        for rank, (reading, place) in enumerate(zip(answer.readings, places, strict=True)):
            tone = "green" if rank == chosen else "" if reading.relevance >= _RELEVANT else "dim"
            left = room - most - 2
            heading = shorten(answer.passages[rank].heading, left if left > 0 else room, self._draw)
            self._row(
                labels[rank],
                *self._bar(reading.relevance, "green" if rank == chosen else "cyan"),
                (padded(place, most + 2) if heading else place, tone),
                (heading, "dim"),
            )

    def _passage_labels(self, answer: Answer) -> list[str]:
        num_read, total = len(answer.readings), len(answer.passages)
        if num_read < 2:
            return [_("passages")][:num_read]
        if self._is_narrow:
            labels = [_("passages, read {count} of {total}", count=num_read, total=total)]
        else:
            labels = [_("passages"), _read_text(num_read, total)]
        return labels + [""] * (num_read - len(labels))

    @property
    def _room(self) -> int:
        """Columns for a passage's place and heading: beside its bar, or on lines of their own."""
        beside = self._width - self._label - _BAR
        if beside >= LEAST_BESIDE:
            return beside
        return self._width - (_MARGIN if self._is_narrow else self._label)

    def _place(self, passage: Passage, room: int) -> str:
        offsets = f":{passage.start}{self._draw.dash}{passage.end}"
        # The rest of the line is the heading's, if there is one.
        most = max(room * 3 // 5 if passage.heading else room, 20)
        return shorten_path(passage.source, most - len(offsets), self._draw) + offsets

    # --- what is answered ----------------------------------------------------------------------

    def _words(self, answer: Answer) -> None:
        color = "yellow" if answer.abstained else "green"
        parts: list[Part] = [(_said(answer), "" if answer.abstained else "bold")]
        if answer.citations:
            parts.append((" [1]", "dim"))
        for line in wrap(parts, self._width - 4):
            self._console.print((f" {self._draw.edge} ", f"bold {color}"), *line, wrap=False)

    def _evidence(self, answer: Answer) -> None:
        for number, citation in enumerate(answer.citations, 1):
            place = _bytes(citation, self._draw.dash)
            if citation.offsets_in == "extracted":
                place = _("{bytes} of its text", bytes=place)
            path = path_text(citation.source)
            lead = (f"[{number}] ", "bold")
            self._row(_("source"), lead, path, (f" {place}", "dim"), cut=False)
            if sentence := self._sentence(answer, citation):
                self._row(_("sentence"), *sentence)
        if answer.text is not None and not answer.citations:
            self._row(_("memory"), *self._bar(answer.confidence, "green"), (_("no source"), "dim"))

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
            grades += [(dots, "cyan"), (f" {_(answer.support)}   ", "")]
        if answer.utility is not None:
            label = _("utility") + "  " if grades else ""
            grades += [(label, "dim"), (stars(answer.utility, draw), "yellow")]
        if grades:
            self._row(_("support") if answer.support is not None else _("utility"), *grades)

    def _footer(self, answer: Answer) -> None:
        parts = [answer.model, seconds_text(answer.timings["total_s"])]
        if tokens := answer.usage.prompt_tokens + answer.usage.completion_tokens:
            parts.append(ngettext("{n:,} token", "{n:,} tokens", tokens))
        self._row(_("judged by"), (f" {self._draw.middle} ".join(parts), "dim"))


def _read_text(count: int, total: int) -> str:
    return _("read {count} of {total}", count=count, total=total)


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
