"""The reflection loop: decide, look up, judge, quote, grade, or say that the evidence is not there.

question → decision ─┬─ from memory, if confident and the documents do not speak of it → answer
                     └─ search → read each passage on its own fork → best span → answer
                                                                 └→ from memory, or abstention

That is how documents are quoted; how a model writes from them is in the module `writing`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from math import exp
from time import perf_counter
from typing import TYPE_CHECKING

from avalan import extras
from avalan.errors import ConfigurationError
from avalan.locale import _n
from avalan.model.entities import GRADES
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read, Stated
from avalan.reflection.extent import are_technical, widened
from avalan.reflection.judge import Draft, Reading, as_support
from avalan.reflection.panel import Panel, check_probability
from avalan.reflection.rules import speaks_of
from avalan.reflection.settings import AskSettings, Retrieve
from avalan.reflection.trust import backing, standing
from avalan.reflection.versions import Quoted, Versions
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex

if TYPE_CHECKING:  # Whoever is answered with quotations need not wait for a model library.
    from avalan.reflection.writer import Writer


def _probability(sentence: Stated) -> float:
    """Of its tokens, on average; 0 where nobody tells, which is no reason for confidence."""
    return 0.0 if sentence.mean_logprob is None else exp(sentence.mean_logprob)


__all__ = [
    "NOT_KNOWN",
    "NOT_THERE",
    "NO_DOCUMENTS",
    "AskSettings",
    "Retrieve",
    "ask",
    "check",
    "check_settings",
]

NUM_LISTED = 10

NO_DOCUMENTS = _n(
    "I don't know this by heart, and there are no documents to look it up in; "
    "add some with: avalan index add PATH, or name them with --docs PATH."
)
NOT_THERE = _n("I don't know: the documents do not say.")
NOT_KNOWN = _n(
    "I don't know this by heart, and looking it up was switched off with --retrieve never."
)


def check(question: str, settings: AskSettings) -> None:
    """Raises ConfigurationError for what cannot be asked."""
    if not question.strip():
        raise ConfigurationError('The question is empty; ask one, as in: avalan ask "Who …?"')
    check_settings(settings)


def check_settings(settings: AskSettings) -> None:
    """Raises ConfigurationError for a setting that is out of its range."""
    check_probability("--threshold", settings.threshold)
    check_probability("--min-confidence", settings.min_confidence)
    if settings.top_k < 1:
        raise ConfigurationError(
            "--top-k is {top_k}, but at least 1 passage is read.", top_k=settings.top_k
        )
    if settings.beams < 1:
        raise ConfigurationError(
            "--beams is {beams}, but at least 1 draft is kept.", beams=settings.beams
        )


def ask(
    question: str, *, panel: Panel, index: SyncIndex | None, settings: AskSettings | None = None
) -> Iterator[Event]:
    """Answer `question`, telling each step; the last event is the `Answer`.

    Raises:
        ConfigurationError: the question is empty or a setting is out of its range.
        RetrievalError: the index cannot be read.
    """
    settings = settings or AskSettings()
    check(question, settings)
    return _Loop(question.strip(), panel, index, settings).run()


class _Loop:
    """One question's way through the loop."""

    def __init__(
        self, question: str, panel: Panel, index: SyncIndex | None, settings: AskSettings
    ) -> None:
        self.question = question
        self.panel = self.reader = panel
        self.index = index
        self.settings = settings
        self.timings: dict[str, float] = {}
        self._found: tuple[Passage, ...] | None = None
        self.passages: tuple[Passage, ...] = ()
        self.readings: tuple[Reading, ...] = ()
        self.retrieved = self._is_technical = False
        self._before = panel.usage()
        self._versions = None if index is None else Versions(index)

    def run(self) -> Iterator[Event]:
        self.started = self._since = perf_counter()
        self.decision = self._decide()
        yield self.decision
        may_look = self.index is not None and self.settings.retrieve != "never"
        must_look = self.settings.retrieve == "always" or self.decision.retrieve
        if (writer := self._writer()) is not None:
            yield from self._write(writer, may_look=may_look, must_look=must_look)
            return
        sure = None
        if not (may_look and must_look):
            sure = yield from self._remember()
            is_theirs = sure is not None and may_look and self._documents_speak()
            self._lap("memory")
            if sure is not None and not is_theirs:
                yield self._from_memory(sure)
                return
        if not may_look:
            yield self._abstain(NO_DOCUMENTS if self.index is None else NOT_KNOWN)
            return
        if (yield from self._look_up()):
            return
        # Memory had its say before; what was to be looked up and is not there, nobody here knows.
        yield self._from_memory(sure) if sure else self._abstain(NOT_THERE)

    def _remember(self) -> Generator[Event, None, Draft | None]:
        """What is known by heart, if that is sure enough to be said."""
        draft, threshold = self.panel.memory.remember(self.question), self.panel.thresholds.memory
        if draft is None:
            return None
        yield Drafted(
            text=draft.text,
            confidence=draft.confidence,
            threshold=threshold,
            judge=self.panel.memory.name,
        )
        return draft if draft.confidence >= threshold else None

    def _writer(self) -> "Writer | None":
        """Who writes the answer; None where it is quoted."""
        if self.settings.style == "write" and self.panel.writer is None:
            raise ConfigurationError(
                "Nobody here writes sentences; name a model that does with --model, or leave "
                "--style out."
            )
        wanted = self.panel.writes if self.settings.style == "auto" else True
        return self.panel.writer if wanted and self.settings.style != "quote" else None

    def _write(self, writer: "Writer", *, may_look: bool, must_look: bool) -> Iterator[Event]:
        """The model's own sentences, from passages where something is looked up."""
        self.retrieved = may_look and (must_look or self._documents_speak())
        if must_look and self.index is None and self.settings.retrieve != "never":
            yield self._abstain(NO_DOCUMENTS)
            return
        search = self._searched if may_look else None
        versions = self._versions if may_look else None
        writing = extras.load("avalan.reflection.writing").Writing(
            self.question, writer, self.panel, search, self.settings, versions
        )
        yield from writing.run(retrieve=self.retrieved)
        if writing.written is None and not must_look:
            # The documents have its words but nothing to say: it is answered as the gate wanted.
            yield from writing.run(retrieve=False)
        self._lap("writing")
        self.passages, self.readings = writing.passages, writing.readings
        self.retrieved = self.retrieved or bool(self.passages)
        stated = writing.written.stated if writing.written is not None else ()
        if self.settings.require_support and self.passages:
            stated = tuple(each for each in stated if each.support in ("full", "partial"))
        if not stated:
            yield self._abstain(NOT_THERE if self.retrieved else NOT_KNOWN)
            return
        answer = self._written(stated, [each.reading for each in writing.written.given])
        if answer.confidence < self._least:
            answer = self._abstain(NOT_THERE if self.retrieved else NOT_KNOWN)
        yield answer

    @property
    def _least(self) -> float:
        """The confidence from which on an answer is given: the user's word goes before ours."""
        least = self.settings.min_confidence
        return self.panel.thresholds.answer if least is None else least

    def _written(self, stated: tuple[Stated, ...], given: Sequence[Reading]) -> Answer:
        text = "".join(each.text for each in stated).strip()
        citations = tuple(dict.fromkeys(each.citation for each in stated if each.citation))
        shares = [each.shares for each in stated if each.shares is not None]
        supports = [full + partial / 2 for full, partial, *_others in shares]
        logprobs = [each.mean_logprob for each in stated if each.mean_logprob is not None]
        signs = backing(supports, [each.relevance for each in given], logprobs) if given else {}
        confidence = self.panel.trust(
            signs, min(supports or [_probability(each) for each in stated])
        )
        grades = [each.support for each in stated if each.support is not None]
        utility, by = self.panel.utility(self.question, text, None)
        return self._answer(
            text=text,
            confidence=confidence,
            sure=confidence >= self.panel.thresholds.sure,
            signs=signs,
            citations=citations,
            stated=stated,
            support=as_support(max(grades, key=GRADES.index)) if grades else None,
            utility=None if utility is None else round(utility),
            graded_by=", ".join(dict.fromkeys([self.panel.support.name] * bool(grades) + [by])),
        )

    def _searched(self, query: str) -> tuple[Passage, ...]:
        """What the documents have for a query, best first."""
        if query == self.question:
            return self._search()
        assert self.index is not None
        return tuple(self.index.search(query, max(NUM_LISTED, self.settings.top_k)))

    def _documents_speak(self) -> bool:
        """Whether the documents answer to the question's own words: they know better than memory.

        A small model remembers a capital of every country, those that there are not included.
        """
        found = self._search()[: self.settings.top_k]
        return any(speaks_of(passage, self.question) for passage in found)

    def _search(self) -> tuple[Passage, ...]:
        """What the documents have, best first; they are searched once."""
        if self._found is None:
            assert self.index is not None
            num_listed = max(NUM_LISTED, self.settings.top_k)
            self._found = tuple(self.index.search(self.question, num_listed))
        return self._found

    def _decide(self) -> Decision:
        probability = self.panel.need.need(self.question)
        self._lap("decision")
        threshold = self.settings.threshold
        if threshold is None:
            threshold = self.panel.thresholds.need
        return Decision(
            retrieve=probability >= threshold,
            probability=probability,
            threshold=threshold,
            judge=self.panel.need.name,
            way=self.panel.need.way,
        )

    def _look_up(self) -> Generator[Event, None, bool]:
        """Quote a passage; whether there was one that says it."""
        self.retrieved = True
        self.passages = self._search()
        self._lap("search")
        num_read = min(self.settings.top_k, len(self.passages))
        yield Found(passages=self.passages, num_read=num_read)
        least = self.settings.min_confidence
        self.reader = self.panel.reads(self.passages[:num_read])
        # Who names a confidence for the answer means that one, and no other.
        threshold = self.reader.thresholds.reading if least is None else 0.0
        judge, self._is_technical = self.reader.reading, are_technical(self.passages[:num_read])
        for rank, passage in enumerate(self.passages[:num_read]):
            reading = judge.read(self.question, passage)
            if self._is_technical:
                reading = widened(reading, passage)
            self.readings += (reading,)
            yield Read(
                rank=rank, passage=passage, reading=reading, threshold=threshold, judge=judge.name
            )
        self._lap("reading")
        best = self._best(threshold)
        quoted = None if best is None else self._newest(best, threshold)
        if quoted is None:
            return False
        signs = self._standing(quoted)
        confidence = self.reader.trust(signs, self.readings[quoted.rank].confidence)
        if confidence < self._least:
            return False
        yield from self._quote(quoted, confidence, signs)
        return True

    def _best(self, threshold: float) -> int | None:
        """The rank of the most confident reading that quotes something; ties go to the better."""
        ranks = [
            rank
            for rank, reading in enumerate(self.readings)
            if reading.span is not None and reading.confidence >= threshold
        ]
        return max(ranks, key=lambda rank: self.readings[rank].confidence, default=None)

    def _newest(self, best: int, least: float) -> Quoted:
        """What is quoted where versions of a document contradict each other: the newest."""
        assert self._versions is not None
        return self._versions.newest(self.question, self.passages, self.readings, best, least=least)

    def _standing(self, quoted: Quoted) -> Mapping[str, float]:
        """What speaks for the quotation; what it has superseded is no rival."""
        confidences = [
            0.0 if reading.span is None or rank in quoted.superseded else reading.confidence
            for rank, reading in enumerate(self.readings)
        ]
        signs = self.readings[quoted.rank].signs
        return standing(confidences, quoted.rank, signs, is_technical=self._is_technical)

    def _cited(self, rank: int) -> Citation:
        span = self.readings[rank].span
        assert span is not None
        assert self._versions is not None
        day = self._versions.date(self.passages[rank].source)
        return Citation.of(self.passages[rank], span, dated=day.isoformat() if day else "")

    def _quote(
        self, quoted: Quoted, confidence: float, signs: Mapping[str, float]
    ) -> Iterator[Event]:
        passage, reading = self.passages[quoted.rank], self.readings[quoted.rank]
        citation = self._cited(quoted.rank)
        yield citation
        graded = self.reader.grade(self.question, passage, reading)
        if reading.support is None and graded.by:
            self._lap("critique")
        yield self._answer(
            text=citation.text,
            confidence=confidence,
            sure=confidence >= self.reader.thresholds.sure,
            signs=signs,
            citations=(citation,),
            superseded=tuple(map(self._cited, quoted.superseded)),
            support=graded.support,
            utility=graded.utility,
            graded_by=graded.by,
        )

    def _from_memory(self, draft: Draft) -> Answer:
        return self._answer(text=draft.text, confidence=draft.confidence, utility=draft.utility)

    def _abstain(self, reason: str) -> Answer:
        return self._answer(text=None, reason=reason)

    def _answer(self, *, text: str | None, **known: object) -> Answer:
        self.timings["total_s"] = perf_counter() - self.started
        usage = self.panel.usage()
        return Answer(
            question=self.question,
            text=text,
            decision=self.decision,
            retrieved=self.retrieved,
            passages=self.passages,
            readings=self.readings,
            model=self.panel.name,
            usage=type(usage)(
                prompt_tokens=usage.prompt_tokens - self._before.prompt_tokens,
                completion_tokens=usage.completion_tokens - self._before.completion_tokens,
            ),
            timings=dict(self.timings),
            **known,  # type: ignore[arg-type]
        )

    def _lap(self, name: str) -> None:
        now = perf_counter()
        self.timings[f"{name}_s"] = now - self._since
        self._since = now
