"""The panel: which judge serves which part, and the thresholds of each.

`calibration.json` records what was fitted on validation data, for every judge, and the default
choice. A model named by the user serves every part by itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from avalan import extras
from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _, _n
from avalan.model.entities import EngineSettings, Usage
from avalan.reflection import gates, reserves
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.extent import are_reference
from avalan.reflection.gates import CombinedGate, FittedGate, Sign
from avalan.reflection.judge import (
    Draft,
    Gate,
    Judge,
    Memory,
    Reading,
    Support,
    as_support,
    likeliest,
)
from avalan.reflection.reserves import FittedReserve
from avalan.reflection.rules import RulesJudge
from avalan.retrieval.entities import Passage

if TYPE_CHECKING:  # Rules and the reader need no model library.
    from avalan.reflection.writer import Writer

RULES, READER = "rules", "reader"
PARTS = ("need", "memory", "relevance", "span", "abstention", "support")
"""Look it up? Answer by heart? Does a passage speak of it? Where is the answer, is it there at all,
and is what was said borne out?"""
REFERENCE = "reference"
"""Beside the parts: who reads a program's reference text, and says whether the answer is there."""
_READER_FILE = "reader.json"
"""A folder with such a file is a reader's; as `model.nlp.judge.CONFIG`, which is heavier."""
_QUOTE = (RULES, "heads", "tokens")
"""Ways of judges that were taught to quote; every other one writes, unless it is told to quote."""
FITTED = ("need", "memory", "reading")
"""What is fitted for each judge's own scores; `reading` is the confidence in a quotation."""
ANSWER = "answer"
"""What is fitted on top of them: the confidence in an answer, in view of all quotations."""


_READS_MESSAGES = _n(
    "The server of {name!r} reads messages and no tokens: nothing is looked up in the middle of an "
    "answer, and control marks in documents are broken with a backslash, not kept out."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From which probability on a judge's word counts."""

    need: float = 0.5
    memory: float = 0.5
    reading: float = 0.5
    relevance: float = 0.5
    answer: float = 0.0
    """From which confidence on an answer is given, …"""
    sure: float = 0.5
    """… and from which on without reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What is thought of a quotation."""

    support: Support | None = None
    utility: int | None = None
    by: str = ""
    """The judges, by name."""


class Panel(AbstractContextManager["Panel"]):
    """Judges by part."""

    def __init__(
        self,
        name: str,
        judges: Mapping[str, Judge],
        thresholds: Thresholds,
        *,
        memory: Memory | None = None,
        gate: Gate | None = None,
        answer: Calibrator | None = None,
        writer: "Writer | None" = None,
        writes: bool = False,
        reference: "Panel | None" = None,
        remarks: Sequence[str] = (),
    ) -> None:
        """
        Args:
            judges: one for each of `PARTS`, but for `memory` where that is given.
            memory: who remembers.
            gate: who decides instead of the judge for `need`.
            answer: of an answer's signs, see `trust`; without one, an answer is trusted as its
                quotation is, or as its weakest sentence.
            writer, writes: who writes sentences, and whether that is what is usual.
            reference: who reads a program's reference text, if others do.
            remarks: what went wrong, a sentence each, where a judge stands in for another.
        """
        self.name = name
        self.need: Gate = gate or judges["need"]
        self.memory: Memory = memory or judges["memory"]
        self.reading: Judge | Divided = judges["span"]
        if len({id(judges[part]) for part in Divided.PARTS}) > 1:
            self.reading = Divided(*(judges[part] for part in Divided.PARTS))
        self.support, self._span = judges["support"], judges["span"]
        # Who has only been chosen to remember has no say about what others quote.
        self._graders = {id(each): each for each in (judges["support"], judges["span"])}
        self.thresholds = thresholds
        self._answer, self._reference = answer, reference
        self.model: Any = None
        """The model that serves every part, where one was named."""
        self.judge: Judge | None = None
        """It, as a judge."""
        self.writer, self.writes = writer, writes
        """A model that writes sentences, and whether it does so unless it is told to quote."""
        self.remarks = tuple(remarks)
        if writer is not None and writes and not writer.goes_on:
            self.remarks += (_(_READS_MESSAGES, name=writer.name),)
        self.served = {part: judge.name for part, judge in judges.items()}
        self.served |= {"need": self.need.name, "memory": self.memory.name}
        """Names of the judges, by part."""
        used: list[Gate | Memory] = [*judges.values(), self.need, self.memory]
        self._used = {id(each): each for each in used}
        self._used |= {} if reference is None else reference._used
        self._close: list[Any] = []

    def reads(self, passages: Sequence[Passage]) -> "Panel":
        """Who reads these passages: this panel, or its own for a program's reference text."""
        if self._reference is None or not are_reference(passages):
            return self
        return self._reference

    def grade(self, question: str, passage: Passage, reading: Reading) -> Graded:
        """Support and utility of what was quoted: the rules have no opinion of their quotations."""
        if reading.span is None:
            return Graded()
        answer = passage.text[slice(*reading.span)]
        support, utility, names = None, reading.utility, []
        if self.support.way != RULES:
            support = reading.support if self.support is self._span else None
            if support is None:
                support = as_support(likeliest(self.support.support(answer, passage, question)))
            names.append(self.support.name)
        if utility is None:
            useful, name = self.utility(question, answer, passage)
            if useful is not None:
                utility = round(useful)
                names.append(name)
        return Graded(support=support, utility=utility, by=", ".join(dict.fromkeys(names)))

    def utility(
        self, question: str, answer: str, passage: Passage | None
    ) -> tuple[float | None, str]:
        """The expected grade of an answer, 1 to 5, and the name of the judge that gives one."""
        for judge in self._graders.values():
            if (useful := judge.utility(question, answer, passage)) is not None:
                return useful, judge.name
        return None, ""

    def trust(self, signs: Mapping[str, float], otherwise: float) -> float:
        """P(an answer is right) by its signs; `otherwise` where nothing was fitted for these."""
        fitted = self._answer
        return fitted(signs) if fitted and set(fitted.weights) <= set(signs) else otherwise

    def usage(self) -> Usage:
        """Tokens of all judges together."""
        used = [each.usage() for each in self._used.values()]
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
        )

    def closes(self, resource: Any) -> Self:
        """Close `resource` with the panel."""
        self._close.append(resource)
        return self

    def __exit__(self, *_args: object) -> None:
        for resource in self._close:
            resource.close()


class Deferred:
    """A judge that is only asked what it remembers, opened when it is asked first."""

    def __init__(self, name: str, open_judge: Callable[[], Judge]) -> None:
        self.name, self._open = name, open_judge
        self._judge: Judge | None = None

    def remember(self, question: str) -> Draft | None:
        """Raises ModelError: its files cannot be opened."""
        if self._judge is None:
            self._judge = self._open()
        return self._judge.remember(question)

    def usage(self) -> Usage:
        """None before it is opened."""
        return Usage() if self._judge is None else self._judge.usage()


class Divided:
    """Reads with several judges, each trusted in its part."""

    PARTS = ("span", "relevance", "abstention")

    def __init__(self, span: Judge, relevance: Judge, abstention: Judge) -> None:
        self.name = "+".join(dict.fromkeys(each.name for each in (span, relevance, abstention)))
        self._span, self._relevance, self._abstention = span, relevance, abstention

    def read(self, question: str, passage: Passage) -> Reading:
        """One judge's quotation, with the relevance and the confidence of others."""
        judges = {id(each): each for each in (self._span, self._relevance, self._abstention)}
        read = {key: judge.read(question, passage) for key, judge in judges.items()}
        said, sure = read[id(self._span)], read[id(self._abstention)]
        return replace(
            said,
            relevance=read[id(self._relevance)].relevance,
            confidence=sure.confidence if said.span else 0.0,
            features=sure.features,
        )


@cache
def calibration() -> dict[str, Any]:
    """The content of `calibration.json`."""
    text = Path(__file__).with_name("calibration.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def open_panel(
    name: str | None = None, settings: EngineSettings | None = None, *, calibrated: bool = True
) -> Panel:
    """The panel called `name`.

    Args:
        name: `rules`, `reader`, `bundled`, the folder of another reader in ONNX, any model with
            reflection tokens, or None for the default: each part served by the judge that did best
            on validation data; where its files are broken, by the next best, with a remark.
        calibrated: whether scores are turned into probabilities; a calibration starts from them.

    Raises:
        ModelError: the named model cannot be loaded, or can neither choose nor be held to a choice.
    """
    opened = _Opened(settings, calibrated=calibrated)
    if name is not None:
        if not calibrated:
            return opened.alone(name)
        return opened.alone(name, gates.saved(name), reserves.saved(name))
    ranked = calibration()["default"]
    # Whoever only remembers is asked last, and is not waited for before.
    served = {part: opened.best(ranked[part]) for part in PARTS if part != "memory"}
    judges = {part: opened.judge(name) for part, name in served.items()}
    memory = opened.later(ranked["memory"])
    served["memory"] = memory.name
    shown = "+".join(dict.fromkeys(served.values()))
    reference = opened.best(ranked[REFERENCE])
    reads = dict.fromkeys(Divided.PARTS, reference)
    of_reference = opened.panel(
        reference,
        judges | dict.fromkeys(Divided.PARTS, opened.judge(reference)),
        served | reads,
        memory=memory,
    )
    remarks = list(_remarks(opened.failed, ranked, served))
    return opened.panel(shown, judges, served, remarks, memory=memory, reference=of_reference)


def open_signs(
    name: str, settings: EngineSettings | None = None
) -> tuple[Panel, Mapping[str, Sign]]:
    """A panel of one model without the gate that may be kept for it, and its signs, by name.

    Raises:
        ModelError: the model cannot be loaded, or can neither choose nor be held to a choice.
    """
    opened = _Opened(settings, calibrated=True)
    return opened.alone(name), opened.signs(name)


def _remarks(
    failed: Mapping[str, ModelError],
    ranked: Mapping[str, Sequence[str]],
    served: Mapping[str, str],
) -> Iterator[str]:
    """What went wrong with each judge that could not be opened, and who stands in for it."""
    for name, error in failed.items():
        instead = (served[part] for part in PARTS if name in ranked[part])
        others = ", ".join(dict.fromkeys(instead))
        yield _("{error} Meanwhile its part is judged by: {others}.", error=error, others=others)


class _Opened:
    """Judges, each opened once and when it is wanted."""

    def __init__(self, settings: EngineSettings | None, *, calibrated: bool) -> None:
        self._settings = settings
        self._calibrated = calibrated
        self.failed: dict[str, ModelError] = {}
        """What was said of the judges that could not be opened."""
        self._judges: dict[str, Judge] = {}
        self._models: dict[str, Any] = {}

    def judge(self, name: str) -> Judge:
        if name not in self._judges:
            self._judges[name] = self._open(name)
        return self._judges[name]

    def writer(self, name: str) -> "Writer | None":
        """A writer on the model behind the judge called `name`, if there is one."""
        if (model := self._models.get(name)) is None:
            return None
        writers = extras.load("avalan.reflection.writer")
        by_tokens = "token_prompt" in model.engine.capabilities
        made: Writer = (writers.ChatWriter if by_tokens else writers.MessageWriter)(model)
        return made

    def signs(self, name: str) -> Mapping[str, Sign]:
        """The signs of need that the model called `name` gives, and what is in the box."""
        made: Mapping[str, Sign] = extras.load("avalan.reflection.signs").signs_of(
            self.judge(name), self._models.get(name), lambda: self.judge(READER)
        )
        return made

    def alone(
        self,
        name: str,
        kept: FittedGate | None = None,
        reserve: FittedReserve | None = None,
    ) -> Panel:
        """A panel of one judge for every part; `kept` and `reserve` were fitted for it."""
        judge = self.judge(name)
        gate = None if kept is None else CombinedGate(judge, kept, self.signs(name))
        served = dict.fromkeys(PARTS, name)
        panel = self.panel(name, dict.fromkeys(PARTS, judge), served, gate=gate, reserve=reserve)
        panel.model, panel.judge = self._models.get(name), judge
        return panel

    def best(self, names: Sequence[str]) -> str:
        """The first of `names` that can be opened; the last is the rules, which always can."""
        for name in names[:-1]:
            if name in self.failed:
                continue
            try:
                self.judge(name)
            except ModelError as error:
                self.failed[name] = error
            else:
                return name
        return names[-1]

    def panel(
        self,
        name: str,
        judges: Mapping[str, Judge],
        served: Mapping[str, str],
        remarks: Sequence[str] = (),
        gate: CombinedGate | None = None,
        memory: Memory | None = None,
        reserve: FittedReserve | None = None,
        reference: Panel | None = None,
    ) -> Panel:
        thresholds = Thresholds(
            need=_threshold(served["need"], "need") if gate is None else gate.threshold,
            memory=_threshold(served["memory"], "memory"),
            reading=_threshold(served["abstention"], "reading"),
            sure=float(_fitted(served["abstention"], ANSWER).get("threshold", Thresholds().sure)),
        )
        answer = self._calibrator(served["abstention"], ANSWER)
        if reserve is not None:
            thresholds = replace(thresholds, answer=reserve.least, sure=reserve.sure)
            answer = reserve.calibrator
        panel = Panel(
            name,
            judges,
            thresholds,
            gate=gate,
            memory=memory,
            answer=answer,
            writer=self.writer(name),
            writes=judges["span"].way not in _QUOTE,
            reference=reference,
            remarks=remarks,
        )
        return panel.closes(self)

    def close(self) -> None:
        """Close what has been opened."""
        for model in self._models.values():
            model.close()

    def later(self, names: Sequence[str]) -> "Memory":
        """The first of `names` that is open, or whose files are whole: it is opened when asked."""
        for name in names[:-1]:
            if name in self._judges:
                return self._judges[name]
            if name in self.failed:
                continue
            try:
                extras.load("avalan.model.bundled").find(name)
            except ModelError as error:
                self.failed[name] = error
            else:
                return Deferred(name, partial(self.judge, name))
        return self.judge(names[-1])

    def _open(self, name: str) -> Judge:
        if name == RULES:
            return RulesJudge(reading=self._calibrator(RULES, "reading"))
        if name == READER or (Path(name).expanduser() / _READER_FILE).is_file():
            folder = Path(name).expanduser()
            if name == READER:
                folder = extras.load("avalan.model.bundled").find(READER).folder
            reader = extras.load("avalan.model.nlp.judge_onnx").open_reader(folder, self._settings)
            judge: Judge = extras.load("avalan.reflection.reader_judge").ReaderJudge(
                reader,
                name,
                **{part: self._calibrator(name, part) for part in ("need", "reading")},
            )
            return judge
        model = extras.load("avalan.model.load").open_model(name, self._settings)
        self._models[name] = model
        calibrators = {part: self._calibrator(name, part) for part in FITTED}
        if extras.load("avalan.reflection.token_judge").can_judge(model):
            judge = extras.load("avalan.reflection.token_judge").TokenJudge(model, **calibrators)
        elif extras.load("avalan.reflection.avalon_judge").has_avalon(model):
            judge = extras.load("avalan.reflection.avalon_judge").AvalonJudge(model, **calibrators)
        else:
            judge = extras.load("avalan.reflection.word_judge").WordJudge(model, **calibrators)
        return judge

    def _calibrator(self, judge: str, part: str) -> Calibrator | None:
        """The fitted calibrator of a judge's part; one that has none is taken at its word."""
        fitted = _fitted(judge, part)
        if not self._calibrated or "weights" not in fitted:
            return None
        return Calibrator(weights=fitted["weights"], bias=fitted["bias"])


def _fitted(judge: str, part: str) -> dict[str, Any]:
    """What was fitted for a judge's part; empty for a judge that is not in the calibration."""
    found: dict[str, Any] = calibration()["judges"].get(judge, {}).get(part, {})
    return found


def _threshold(judge: str, part: str) -> float:
    return float(_fitted(judge, part).get("threshold", getattr(Thresholds(), part)))


def check_probability(name: str, value: float | None) -> None:
    """Raises ConfigurationError unless `value` is None or lies between 0 and 1."""
    if value is not None and not 0.0 <= value <= 1.0:
        raise ConfigurationError(
            "{name} is {value:g}, but a probability lies between 0 and 1; try {name} 0.5.",
            name=name,
            value=value,
        )
