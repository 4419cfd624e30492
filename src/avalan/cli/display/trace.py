"""Every step of the loop in detail: what `--trace` shows."""

from typing import Any

from avalan.cli.console import Console, Part, cell_width
from avalan.cli.display.layout import (
    MAX_WIDTH,
    Symbols,
    hang,
    padded,
    path_text,
    shorten,
    symbols,
)
from avalan.locale import _, _n
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read

_LABELS = (_n("decision"), _n("memory"), _n("search"), _n("grades"), _n("timings"), _n("tokens"))
_TIMINGS = {
    "decision_s": _n("decision"),
    "memory_s": _n("memory"),
    "search_s": _n("search"),
    "reading_s": _n("reading"),
    "critique_s": _n("critique"),
    "total_s": _n("total"),
}
_LEAST = 40
"""Columns of a quotation that are shown, even where it then needs several lines."""


class Trace:
    """Prints events as they come, in the order of the loop."""

    def __init__(self, console: Console, *, critic: str | None = None) -> None:
        """`critic` is the name of the judge that grades what another has quoted."""
        self._console = console
        self._critic = critic
        self._draw: Symbols = symbols(interactive=console.interactive)
        self._reader: str | None = None
        self._reader_grades = False
        self._indent = max(map(cell_width, [*map(_, _LABELS), _passage(10)])) + 2

    def show(self, event: Event) -> None:
        """Print one event; a citation adds nothing to its answer."""
        match event:
            case Decision():
                self._decision(event)
            case Drafted():
                self._drafted(event)
            case Found():
                found = len(event.passages)
                self._line(
                    _("search"),
                    _("passages found {found}, read {read}", found=found, read=event.num_read),
                )
            case Read():
                self._read(event)
            case Answer():
                self._answer(event)

    def _decision(self, event: Decision) -> None:
        if event.retrieve:
            verdict = _("look it up, P(look-up) {share:.3f}", share=event.probability)
        else:
            verdict = _("no look-up, P(look-up) {share:.3f}", share=event.probability)
        self._line(_("decision"), verdict)
        bound = {"threshold": event.threshold, "judge": event.judge}
        self._detail(_("look it up from {threshold:.3f} on; judge {judge}", **bound))

    def _drafted(self, event: Drafted) -> None:
        self._line(
            _("memory"),
            _(
                "draft {text!r}, confidence {confidence:.3f}",
                text=self._shortened(event.text, 30),
                confidence=event.confidence,
            ),
        )
        bound = {"threshold": event.threshold, "judge": event.judge}
        self._detail(_("say it from {threshold:.3f} on; judge {judge}", **bound))

    def _read(self, event: Read) -> None:
        self._reader, self._reader_grades = event.judge, event.reading.support is not None
        passage, reading = event.passage, event.reading
        place = f"{path_text(passage.source)}:{passage.start}{self._draw.dash}{passage.end}"
        heading = f"  {passage.heading}" if passage.heading else ""
        self._line(_passage(event.rank + 1), place + heading)
        relevance = _("relevance {grade:.3f}", grade=reading.relevance)
        grades = _grades(reading.support, reading.utility)
        self._detail(", ".join([relevance, f"BM25 {passage.score:.2f}", *grades]))
        if reading.span is None:
            self._detail(_("quotes nothing"))
        else:
            quoted = passage.text[slice(*reading.span)]
            self._detail(_("quotes {text!r}", text=self._shortened(quoted, 24)))
        self._detail(
            _(
                "confidence {confidence:.3f}; quote it from {threshold:.3f} on; judge {judge}",
                confidence=reading.confidence,
                threshold=event.threshold,
                judge=event.judge,
            )
        )
        if reading.features:
            features = (f"{name}={value:.3f}" for name, value in reading.features.items())
            self._detail(", ".join(features))

    def _answer(self, event: Answer) -> None:
        if event.citations and (grades := _grades(event.support, event.utility)):
            judge = self._reader if self._reader_grades else self._critic
            self._line(_("grades"), ", ".join(grades))
            self._detail(_("judge {name}", name=judge))
        spent = ", ".join(
            f"{_(_TIMINGS.get(name, name))} {seconds * 1000:.1f} ms"
            for name, seconds in event.timings.items()
        )
        self._line(_("timings"), spent)
        self._line(
            _("tokens"),
            _(
                "{read:,} read, {written:,} written",
                read=event.usage.prompt_tokens,
                written=event.usage.completion_tokens,
            ),
        )
        self._console.print()

    def _shortened(self, text: str, taken: int) -> str:
        width = min(self._console.width, MAX_WIDTH)
        return shorten(text, max(width - taken, _LEAST), self._draw)

    def _line(self, name: str, text: str) -> None:
        self._print((padded(name, self._indent), "bold"), text, "")

    def _detail(self, text: str) -> None:
        self._print(" " * self._indent, text, "dim")

    def _print(self, lead: Part, text: str, style: str) -> None:
        width = min(self._console.width, MAX_WIDTH)
        for line in hang(lead, [(text, style)], width, indent=self._indent, cut=False):
            self._console.print(*line, wrap=False)


def _passage(number: int) -> str:
    return _("passage {number}", number=number)


def _grades(support: str | None, utility: int | None) -> list[str]:
    found = [_("support {grade}", grade=_(support))] if support else []
    return [*found, *([_("utility {grade}", grade=utility)] if utility is not None else [])]


def step(event: Event) -> dict[str, Any]:
    """An event as JSON values; empty for those that the answer's document holds already."""
    match event:
        case Decision():
            return _step("decision", event, "retrieve", "probability", "threshold", "judge")
        case Drafted():
            return _step("memory", event, "text", "confidence", "threshold", "judge")
        case Found():
            count = len(event.passages)
            return {"step": "search", "num_passages": count, "num_read": event.num_read}
        case Read():
            return _step("read", event, "rank", "threshold", "judge") | _reading(event)
        case Citation() | Answer():
            return {}


def _step(name: str, event: Event, *fields: str) -> dict[str, Any]:
    return {"step": name} | {field: getattr(event, field) for field in fields}


def _reading(event: Read) -> dict[str, Any]:
    reading, passage = event.reading, event.passage
    quoted = None if reading.span is None else passage.text[slice(*reading.span)]
    return {
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "relevance": reading.relevance,
        "confidence": reading.confidence,
        "quoted": quoted,
        "support": reading.support,
        "utility": reading.utility,
        "features": dict(reading.features),
    }
