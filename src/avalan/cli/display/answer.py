"""An answer for a person at a terminal, for a pipe, and for a program.

All three are consumers of the loop's events and change none of them.
"""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from avalan.cli.console import Console, Part, cell_width
from avalan.cli.display.layout import (
    LEAST_BESIDE,
    MAX_WIDTH,
    Line,
    hang,
    padded,
    path_text,
    shorten,
    shorten_path,
    wrap,
)
from avalan.cli.display.signs import bar, signs, stars
from avalan.cli.display.units import seconds_text
from avalan.locale import _, _n, ngettext
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read, Stated
from avalan.reflection.judge import Reading
from avalan.retrieval.entities import Passage

_CONTEXT = 160
"""Characters of its sentence that are shown on each side of a quotation."""
_SUPPORT_DOTS = {_n("full"): 3, _n("partial"): 2, _n("none"): 0}
_UNSUPPORTED = {"none": _n("not borne out"), "contradicted": _n("contradicted")}
_RELEVANT = 0.5
_LABELS = (
    *("decision", "passages", "source", "sentence", "memory", "confidence", "support", "utility"),
    *(_n("older"), _n("judged by")),
)
"""What stands on the left; each is marked where it is written."""
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
        "confidence": None if answer.abstained else answer.confidence,
        "sure": None if answer.abstained else answer.sure,
        "retrieved": answer.retrieved,
        "decision": {
            "retrieve": answer.decision.retrieve,
            "probability": answer.decision.probability,
        },
        "passages": [_passage(*pair) for pair in zip_longest(answer.passages, answer.readings)],
        "citations": [asdict(citation) for citation in answer.citations],
        "superseded": [asdict(citation) for citation in answer.superseded],
        "sentences": [_stated(answer, each) for each in answer.stated],
        "support": answer.support,
        "utility": answer.utility,
        "model": answer.model,
        "usage": asdict(answer.usage),
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


def _stated(answer: Answer, sentence: Stated) -> dict[str, Any]:
    cited = sentence.citation
    return {
        "text": sentence.text.strip(),
        "citation": None if cited is None else answer.citations.index(cited),
        "support": sentence.support,
    }


# --- for pipes ----------------------------------------------------------------------------------


def plain(console: Console, answer: Answer) -> None:
    """A line for each thing there is to know, `name: value`."""
    for name, value in _lines(answer):
        console.print(f"{name}: {value}")


def _lines(answer: Answer) -> Iterator[tuple[str, str]]:
    probability = answer.decision.probability
    verdict = _n("look up ({probability:.2f})")
    if not answer.decision.retrieve:
        verdict = _n("no look-up ({probability:.2f})")
    yield _("decision"), _(verdict, probability=probability)
    if answer.text is None:
        yield _("abstained"), _said(answer)
        return
    yield _("answer") if answer.sure else _("not sure"), " ".join(answer.text.split())
    for citation in answer.citations:
        yield _("source"), f"{path_text(citation.source)} {_bytes(citation, '-')}"
        if _has_words_beside(citation):
            yield _("sentence"), " ".join(citation.sentence.split())
    for older in answer.superseded:
        said = " ".join(older.text.split())
        place = f"{path_text(older.source)} {_bytes(older, '-')}"
        yield _("older"), _("{date}: {said} ({place})", date=older.dated, said=said, place=place)
    if not answer.citations:
        sure = answer.confidence
        yield _("source"), _("memory (confidence {confidence:.2f})", confidence=sure)
    else:
        yield _("confidence"), f"{answer.confidence:.2f}"
    if answer.support is not None:
        yield _("support"), _(answer.support)
    if answer.utility is not None:
        yield _("utility"), _("{grade} of 5", grade=answer.utility)


def _said(answer: Answer) -> str:
    """The answer, or why there is none."""
    return answer.text or (_(answer.reason) if answer.reason else "")


def _bytes(citation: Citation, dash: str) -> str:
    return _("bytes {start}{dash}{end}", start=citation.start, end=citation.end, dash=dash)


# --- for people ---------------------------------------------------------------------------------


class Screen:
    """Shows events as they come: the decision, what was read, the answer and its evidence."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draw = signs(interactive=console.interactive)
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
                values = {"count": event.rank + 1, "total": self._num_read}
                done = _("Read {count} of {total} passages", **values)
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
        parts = [answer.model, seconds_text(answer.timings["total_s"])]
        if tokens := answer.usage.prompt_tokens + answer.usage.completion_tokens:
            parts.append(ngettext("{n:,} token", "{n:,} tokens", tokens))
        self._row(_("judged by"), (f" {self._draw.middle} ".join(parts), "dim"))

    def _row(self, label: str, *parts: Part, cut: bool = True) -> None:
        indent = self._label
        lead = (padded(f" {label}", indent), "dim")
        for line in hang(lead, parts, self._width, indent=indent, margin=_MARGIN, cut=cut):
            self._console.print(*line, wrap=False)

    def _bar(self, probability: float, style: str) -> Line:
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
        num_read, room = len(answer.readings), self._room
        labels = [_("passages"), _read_text(num_read, len(answer.passages)), *[""] * num_read]
        chosen = quoted_rank(answer)
        places = [self._place(passage, room) for passage in answer.passages[:num_read]]
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

    @property
    def _room(self) -> int:
        """Columns for a passage's place and heading: beside its bar, or on lines of their own."""
        beside = self._width - self._label - _BAR
        if beside >= LEAST_BESIDE:
            return beside
        labels_stand_above = self._width - self._label < LEAST_BESIDE
        return self._width - (_MARGIN if labels_stand_above else self._label)

    def _place(self, passage: Passage, room: int) -> str:
        offsets = f":{passage.start}{self._draw.dash}{passage.end}"
        # The rest of the line is the heading's, if there is one.
        most = max(room * 3 // 5 if passage.heading else room, 20)
        return shorten_path(passage.source, most - len(offsets), self._draw) + offsets

    # --- what is answered ----------------------------------------------------------------------

    def _words(self, answer: Answer) -> None:
        color = "green" if answer.text is not None and answer.sure else "yellow"
        lines = wrap(_numbered(answer), self._width - 4)
        if answer.citations and not answer.sure:
            reserve: list[Part] = [(_("Not sure. What comes nearest:"), color)]
            lines = [*wrap(reserve, self._width - 4), *lines]
        for line in lines:
            self._console.print((f" {self._draw.edge} ", f"bold {color}"), *line, wrap=False)

    def _evidence(self, answer: Answer) -> None:
        for number, citation in enumerate(answer.citations, 1):
            place = _bytes(citation, self._draw.dash)
            if citation.offsets_in == "extracted":
                place = _("{bytes} of its text", bytes=place)
                place = ", ".join(filter(None, (citation.locator, place)))
            path = path_text(citation.source)
            lead = (f"[{number}] ", "bold")
            self._row(_("source"), lead, path, (f" {place}", "dim"), cut=False)
            if _has_words_beside(citation):
                self._row(_("sentence"), *self._sentence(citation))
        for older in answer.superseded:
            self._superseded(answer, older)
        if answer.citations:
            sure = self._bar(answer.confidence, "green" if answer.sure else "yellow")
            self._row(_("confidence"), *sure, (_("that it is right"), "dim"))
        if answer.text is not None and not answer.citations:
            self._row(_("memory"), *self._bar(answer.confidence, "green"), (_("no source"), "dim"))

    def _superseded(self, answer: Answer, older: Citation) -> None:
        """What an older version said, for whoever knows it from there."""
        said = f"{self._draw.open}{' '.join(older.text.split())}{self._draw.close}"
        place = f" {path_text(older.source)} {_bytes(older, self._draw.dash)}"
        self._row(_("older"), (f"{older.dated} ", ""), (said, "yellow"), (place, "dim"), cut=False)
        newer = _("{date} is newer, and counts", date=answer.citations[0].dated)
        self._row("", (newer, "dim"))

    def _sentence(self, citation: Citation) -> list[Part]:
        """The sentence that a quotation stands in, with the quotation marked."""
        before, after = citation.before, citation.after
        if len(before) > _CONTEXT:
            before = self._draw.ellipsis + before[-_CONTEXT:]
        if len(after) > _CONTEXT:
            after = after[:_CONTEXT] + self._draw.ellipsis
        quoted = f"{self._draw.open}{citation.text}{self._draw.close}"
        return [(before, "dim"), (quoted, "green"), (after, "dim")]

    def _grades(self, answer: Answer) -> None:
        draw = self._draw
        grades: Line = []
        if answer.support is not None:
            num_dots = _SUPPORT_DOTS[answer.support]
            dots = draw.dots[0] * num_dots + draw.dots[1] * (3 - num_dots)
            grades += [(dots, "cyan"), (f" {_(answer.support)}   ", "")]
        if answer.utility is not None:
            label = _("utility") + "  " if grades else ""
            grades += [(label, "dim"), (stars(answer.utility, draw), "yellow")]
        if grades:
            self._row(_("support") if answer.support is not None else _("utility"), *grades)


def _numbered(answer: Answer) -> list[Part]:
    """What is said, with the numbers of its sources; marked where none bears it out."""
    if not answer.stated:
        parts: list[Part] = [(_said(answer), "" if answer.abstained else "bold")]
        return parts + [(" [1]", "dim")] * bool(answer.citations)
    parts = []
    for sentence in answer.stated:
        parts.append((sentence.text.rstrip(), "bold"))
        if sentence.citation is not None:
            parts.append((f" [{answer.citations.index(sentence.citation) + 1}]", "dim"))
        if sentence.support in ("none", "contradicted"):
            parts.append((f" ({_(_UNSUPPORTED[sentence.support])})", "yellow"))
        parts.append((" ", ""))
    return parts[:-1]


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


def _has_words_beside(citation: Citation) -> bool:
    """Whether its sentence has words that the quotation has not."""
    return any(map(str.isalnum, citation.before + citation.after))
