"""Every step of the loop in detail: what `--trace` shows."""

from typing import Any

from avalan.cli.console import Console, Part
from avalan.cli.display.layout import MAX_WIDTH, Symbols, hang, path_text, shorten, symbols
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read

_INDENT = 12
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

    def show(self, event: Event) -> None:
        """Print one event; a citation adds nothing to its answer."""
        match event:
            case Decision():
                self._decision(event)
            case Drafted():
                self._drafted(event)
            case Found():
                found = f"passages found {len(event.passages)}, read {event.num_read}"
                self._line("search", found)
            case Read():
                self._read(event)
            case Answer():
                self._answer(event)

    def _decision(self, event: Decision) -> None:
        verdict = "look it up" if event.retrieve else "no look-up"
        self._line("decision", f"{verdict}, P(look-up) {_three(event.probability)}")
        self._detail(_bound("look it up", event.threshold, event.judge))

    def _drafted(self, event: Drafted) -> None:
        draft = self._shortened(event.text, 30)
        self._line("memory", f"draft {draft!r}, confidence {_three(event.confidence)}")
        self._detail(_bound("say it", event.threshold, event.judge))

    def _read(self, event: Read) -> None:
        self._reader, self._reader_grades = event.judge, event.reading.support is not None
        passage, reading = event.passage, event.reading
        place = f"{path_text(passage.source)}:{passage.start}{self._draw.dash}{passage.end}"
        heading = f"  {passage.heading}" if passage.heading else ""
        self._line(f"passage {event.rank + 1}", place + heading)
        grades = [f"relevance {_three(reading.relevance)}", f"BM25 {passage.score:.2f}"]
        if reading.support is not None:
            grades.append(f"support {reading.support}")
        if reading.utility is not None:
            grades.append(f"utility {reading.utility}")
        self._detail(", ".join(grades))
        if reading.span is None:
            self._detail("quotes nothing")
        else:
            quoted = passage.text[slice(*reading.span)]
            self._detail(f"quotes {self._shortened(quoted, 24)!r}")
        sure = f"confidence {_three(reading.confidence)}"
        self._detail(f"{sure}; {_bound('quote it', event.threshold, event.judge)}")
        if reading.features:
            features = (f"{name}={_three(value)}" for name, value in reading.features.items())
            self._detail(", ".join(features))

    def _answer(self, event: Answer) -> None:
        if event.citations and (event.support is not None or event.utility is not None):
            judge = self._reader if self._reader_grades else self._critic
            self._line("grades", f"support {event.support}, utility {event.utility}")
            self._detail(f"judge {judge}")
        spent = ", ".join(
            f"{name.removesuffix('_s')} {seconds * 1000:.1f} ms"
            for name, seconds in event.timings.items()
        )
        self._line("timings", spent)
        self._line(
            "tokens",
            f"{event.usage.prompt_tokens:,} read, {event.usage.completion_tokens:,} written",
        )
        self._console.print()

    def _shortened(self, text: str, taken: int) -> str:
        width = min(self._console.width, MAX_WIDTH)
        return shorten(text, max(width - taken, _LEAST), self._draw)

    def _line(self, name: str, text: str) -> None:
        self._print((f"{name:<{_INDENT}}", "bold"), text, "")

    def _detail(self, text: str) -> None:
        self._print(" " * _INDENT, text, "dim")

    def _print(self, lead: Part, text: str, style: str) -> None:
        width = min(self._console.width, MAX_WIDTH)
        for line in hang(lead, [(text, style)], width, indent=_INDENT, cut=False):
            self._console.print(*line, wrap=False)


def _three(value: float) -> str:
    return f"{value:.3f}"


def _bound(action: str, threshold: float, judge: str) -> str:
    return f"{action} from {_three(threshold)} on; judge {judge}"


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
