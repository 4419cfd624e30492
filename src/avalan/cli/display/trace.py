"""Every step of the loop in detail: what `--trace` shows."""

from typing import Any

from avalan.cli.console import Console, Part, cell_width
from avalan.cli.display.layout import MAX_WIDTH, hang, padded, path_text, shorten
from avalan.cli.display.signs import signs
from avalan.locale import _, _n
from avalan.model.entities import GRADES
from avalan.reflection.events import (
    Answer,
    Citation,
    Decision,
    Drafted,
    Event,
    Found,
    Read,
    Reworded,
    Stated,
)

_LABELS = (_n("decision"), _n("memory"), _n("search"), _n("grades"), _n("timings"), _n("tokens"))
_TIMED = (*_LABELS[:3], _n("reading"), _n("critique"), _n("total"))
"""What has a time: in an answer's timings, `decision_s` and so on."""
_WAYS = {
    "rules": _n("rules"),
    "heads": _n("the heads of an encoder"),
    "tokens": _n("its reflection tokens"),
    "logits": _n("the probability of words after a prompt"),
    "logprobs": _n("the probability of words, as served"),
    "grammar": _n("holding it to words, without probabilities"),
}
"""How a judge is asked."""
_LEAST = 40
"""Columns of a quotation that are shown, even where it then needs several lines."""


class Trace:
    """Prints events as they come, in the order of the loop."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draw = signs(interactive=console.interactive)
        self._width = min(console.width, MAX_WIDTH)
        self._indent = max(map(cell_width, [*map(_, _LABELS), _passage(10)])) + 2

    def show(self, event: Event) -> None:
        """Print one event; a citation adds nothing to its answer."""
        match event:
            case Decision():
                self._decision(event)
            case Drafted():
                self._drafted(event)
            case Found():
                found, read = len(event.passages), event.num_read
                text = _("passages found {found}, read {read}", found=found, read=read)
                self._tell(_("search"), text)
            case Reworded():
                self._tell(
                    _("search"), _("nothing relevant; searched for {query!r}", query=event.query)
                )
            case Read():
                self._read(event)
            case Stated():
                self._stated(event)
            case Answer():
                self._answer(event)

    def _decision(self, event: Decision) -> None:
        if event.retrieve:
            verdict = _("look it up, P(look-up) {share:.3f}", share=event.probability)
        else:
            verdict = _("no look-up, P(look-up) {share:.3f}", share=event.probability)
        bound = {"threshold": event.threshold, "judge": event.judge}
        ways = [_(_WAYS.get(way, way)) for way in event.way.split("+")]
        self._tell(
            _("decision"),
            verdict,
            _("look it up from {threshold:.3f} on; judge {judge}", **bound),
            _("asked by {way}", way=" + ".join(ways)),
        )

    def _drafted(self, event: Drafted) -> None:
        text, confidence = self._shortened(event.text, 30), event.confidence
        bound = {"threshold": event.threshold, "judge": event.judge}
        self._tell(
            _("memory"),
            _("draft {text!r}, confidence {confidence:.3f}", text=text, confidence=confidence),
            _("say it from {threshold:.3f} on; judge {judge}", **bound),
        )

    def _read(self, event: Read) -> None:
        passage, reading = event.passage, event.reading
        place = f"{path_text(passage.source)}:{passage.start}{self._draw.dash}{passage.end}"
        heading = f"  {passage.heading}" if passage.heading else ""
        relevance = _("relevance {grade:.3f}", grade=reading.relevance)
        grades = _grades(reading.support, reading.utility)
        quotes = _("quotes nothing")
        if (quoted := _quoted(event)) is not None:
            quotes = _("quotes {text!r}", text=self._shortened(quoted, 24))
        confidence = _(
            "confidence {confidence:.3f}; quote it from {threshold:.3f} on; judge {judge}",
            confidence=reading.confidence,
            threshold=event.threshold,
            judge=event.judge,
        )
        features = ", ".join(f"{name}={value:.3f}" for name, value in reading.features.items())
        self._tell(
            _passage(event.rank + 1),
            place + heading,
            ", ".join([relevance, f"BM25 {passage.score:.2f}", *grades]),
            quotes,
            confidence,
            *([features] if features else []),
        )

    def _stated(self, event: Stated) -> None:
        said = _("says {text!r}", text=self._shortened(event.text.strip(), 8))
        details = []
        if event.mean_logprob is not None:
            details.append(_("mean log-probability {value:.3f}", value=event.mean_logprob))
        if event.citation is not None and event.shares is not None:
            place = f"{path_text(event.citation.source)}:{event.citation.start}"
            shares = ", ".join(
                f"{_(grade)} {share:.3f}" for grade, share in zip(GRADES, event.shares, strict=True)
            )
            details += [place, shares]
        self._tell(_("sentence"), said, *details)

    def _answer(self, event: Answer) -> None:
        if event.citations and (grades := _grades(event.support, event.utility)):
            self._tell(_("grades"), ", ".join(grades), _("judge {name}", name=event.graded_by))
        spent = ", ".join(
            _(name.removesuffix("_s")) + f" {seconds * 1000:.1f} ms"
            for name, seconds in event.timings.items()
        )
        self._tell(_("timings"), spent)
        read, written = event.usage.prompt_tokens, event.usage.completion_tokens
        tokens = _("{read:,} read, {written:,} written", read=read, written=written)
        self._tell(_("tokens"), tokens)
        self._console.print()

    def _shortened(self, text: str, taken: int) -> str:
        return shorten(text, max(self._width - taken, _LEAST), self._draw)

    def _tell(self, name: str, text: str, *details: str) -> None:
        """A line, and below it what it rests on."""
        rows: list[tuple[Part, Part]] = [((padded(name, self._indent), "bold"), text)]
        rows += [(" " * self._indent, (detail, "dim")) for detail in details]
        for lead, words in rows:
            for line in hang(lead, [words], self._width, indent=self._indent, cut=False):
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
            known = ("retrieve", "probability", "threshold", "judge", "way", "after")
            return _step("decision", event, *known)
        case Drafted():
            return _step("memory", event, "text", "confidence", "threshold", "judge")
        case Found():
            count = len(event.passages)
            return {"step": "search", "num_passages": count, "num_read": event.num_read}
        case Reworded():
            return _step("reworded", event, "query")
        case Stated():
            return _step("sentence", event, "text", "mean_logprob", "support", "shares")
        case Read():
            passage, reading = event.passage, event.reading
            return _step("read", event, "rank", "threshold", "judge") | {
                "source": passage.source,
                "start": passage.start,
                "end": passage.end,
                "relevance": reading.relevance,
                "confidence": reading.confidence,
                "quoted": _quoted(event),
                "support": reading.support,
                "utility": reading.utility,
                "features": dict(reading.features),
            }
        case Citation() | Answer():
            return {}


def _step(name: str, event: Event, *fields: str) -> dict[str, Any]:
    return {"step": name} | {field: getattr(event, field) for field in fields}


def _quoted(event: Read) -> str | None:
    span = event.reading.span
    return None if span is None else event.passage.text[slice(*span)]
