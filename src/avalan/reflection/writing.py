"""The written answer: sentence by sentence, with a look-up wherever the model wants one.

At the start and at each sentence's end the gate is asked. Where it opens, passages are searched and
judged; each relevant one gives a draft of the next sentence, and the best-scored drafts go on (a
beam of segments, after Self-RAG, Asai et al., 2023, arXiv:2310.11511). Where nothing relevant
comes, the query is worded anew, once.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from avalan.reflection.events import Citation, Decision, Event, Found, Read, Reworded, Stated
from avalan.reflection.gate import draft_score
from avalan.reflection.judge import Reading, likeliest
from avalan.reflection.panel import Panel
from avalan.reflection.rules import best_sentence, is_worked_out
from avalan.reflection.settings import AskSettings
from avalan.reflection.versions import Versions
from avalan.reflection.writer import ChatWriter, MessageWriter, Sentence, Told, Writer
from avalan.retrieval.entities import Passage
from avalan.retrieval.query import content_terms

MAX_SENTENCES = 6
MAX_LOOK_UPS = 3
MAX_GIVEN = 3
"""Passages that a served model is shown together."""

Search = Callable[[str], Sequence[Passage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A passage that was read and found relevant."""

    passage: Passage
    reading: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer as far as it is written."""

    told: Told | None = None
    """None before the first turn."""
    stated: tuple[Stated, ...] = ()
    given: tuple[Evidence, ...] = ()
    """The passages that the model has been shown, in order."""
    score: float = 0.0
    """The sum of its sentences' scores."""
    num_look_ups: int = 0
    is_over: bool = False

    @property
    def text(self) -> str:
        """The sentences, one after the other."""
        return "".join(each.text for each in self.stated).strip()

    @property
    def rank(self) -> float:
        """By which answers of different lengths are compared."""
        return self.score / max(len(self.stated), 1)


class Writing:
    """One answer."""

    def __init__(
        self,
        question: str,
        writer: Writer,
        panel: Panel,
        search: Search | None,
        settings: AskSettings,
        versions: Versions | None = None,
    ) -> None:
        """
        Args:
            search: from a query to passages, best first; None where there is nothing to search.
            versions: of the documents; without them, an older one counts like a newer one.
        """
        self.question, self._writer, self._panel = question, writer, panel
        self._search, self._settings, self._versions = search, settings, versions
        self._is_worked_out = is_worked_out(question)
        self.passages: tuple[Passage, ...] = ()
        """All that were found, in the order of the look-ups."""
        self.readings: tuple[Reading, ...] = ()
        self.written: Written | None = None
        """The best answer; None where a look-up brought nothing to write from."""

    def run(self, *, retrieve: bool) -> Iterator[Event]:
        """Write, telling each step.

        Args:
            retrieve: whether to look something up before the first word.
        """
        beam = [Written()]
        relevant: list[Evidence] = []
        if retrieve:
            relevant = yield from self._look_up(self.question)
            if not relevant and (query := self._writer.other_words(self.question)):
                yield Reworded(query=query)
                relevant = yield from self._look_up(query)
            if not relevant:
                return
        if isinstance(self._writer, MessageWriter):
            yield from self._at_once(self._writer, relevant)
            return
        if relevant:
            beam = self._best(self._drafts(replace(Written(), num_look_ups=1), relevant))
            yield from beam[0].stated
        while not all(each.is_over for each in beam):
            grown: list[Written] = []
            for each in beam:
                grown += [each] if each.is_over else (yield from self._grown(each))
            num_before = len(beam[0].stated)
            beam = self._best(grown)
            if len(beam[0].stated) > num_before:
                yield beam[0].stated[-1]
        self.written = beam[0]

    def _at_once(self, writer: MessageWriter, relevant: Sequence[Evidence]) -> Iterator[Event]:
        """All sentences of a served model's answer, each with what bears it out."""
        given = sorted(relevant, key=lambda each: -each.reading.relevance)[:MAX_GIVEN]
        said = writer.answer(self.question, [each.passage for each in given])
        stated = tuple(
            self._graded(sentence.text, sentence.mean_logprob, given)[0]
            for sentence in said[:MAX_SENTENCES]
            if sentence.text.strip()
        )
        yield from stated
        self.written = Written(stated=stated, given=tuple(given), is_over=True)

    def _grown(self, written: Written) -> Generator[Event, None, list[Written]]:
        """The answer with each sentence that may come next."""
        if written.stated and self._may_look(written):
            decision = self._decided(written)
            yield decision
            if decision.retrieve:
                asked = f"{self.question} {written.stated[-1].text.strip()}"
                relevant = yield from self._look_up(asked, seen=written.given)
                written = replace(written, num_look_ups=written.num_look_ups + 1)
                if relevant:
                    return self._drafts(written, relevant)
        return self._drafts(written, [None])

    def _may_look(self, written: Written) -> bool:
        if self._search is None or self._settings.retrieve == "never" or self._is_worked_out:
            return False
        assert isinstance(self._writer, ChatWriter)
        has_room = written.told is not None and self._writer.has_room(written.told)
        return has_room and written.num_look_ups < MAX_LOOK_UPS

    def _decided(self, written: Written) -> Decision:
        threshold = self._settings.threshold
        if threshold is None:
            threshold = self._panel.thresholds.need
        judge = self._panel.need
        probability = judge.need(self.question, written.text)
        return Decision(
            retrieve=probability >= threshold,
            probability=probability,
            threshold=threshold,
            judge=judge.name,
            way=judge.way,
            after=written.text,
        )

    def _look_up(
        self, query: str, seen: Sequence[Evidence] = ()
    ) -> Generator[Event, None, list[Evidence]]:
        """Search, read what has not been read yet, and keep what is relevant."""
        assert self._search is not None
        given = {_place(each.passage) for each in seen}
        found = [each for each in self._search(query) if _place(each) not in given]
        read = dict(zip(map(_place, self.passages), self.readings, strict=True))
        num_read = min(self._settings.top_k, len(found))
        new = [each for each in found[:num_read] if _place(each) not in read]
        yield Found(passages=tuple(found), num_read=len(new))
        judge, threshold = self._panel.reading, self._panel.thresholds.relevance
        for rank, passage in enumerate(new):
            reading = read[_place(passage)] = judge.read(self.question, passage)
            yield Read(
                rank=rank, passage=passage, reading=reading, threshold=threshold, judge=judge.name
            )
            self.passages += (passage,)
            self.readings += (reading,)
        evidence = (Evidence(passage=each, reading=read[_place(each)]) for each in found[:num_read])
        return self._current([each for each in evidence if each.reading.relevance >= threshold])

    def _current(self, relevant: list[Evidence]) -> list[Evidence]:
        """Without what stands in a newer version of its document too, or otherwise there."""
        versions = self._versions
        if versions is None:
            return relevant
        sources = {each.passage.source for each in relevant}
        return [
            each
            for each in relevant
            if not versions.is_superseded(self.question, each.passage.source, sources)
        ]

    def _drafts(self, written: Written, evidence: Sequence[Evidence | None]) -> list[Written]:
        """The answer with one sentence more, from each piece of evidence that is new."""
        assert isinstance(self._writer, ChatWriter)
        grown = [self._given(written, each) for each in evidence]
        tolds = [each.told for each in grown if each.told is not None]
        said = self._writer.sentences(tolds)
        return [
            self._longer(each, sentence, told)
            for each, (sentence, told) in zip(grown, said, strict=True)
        ]

    def _given(self, written: Written, evidence: Evidence | None) -> Written:
        """The answer, its model having been shown `evidence` too."""
        assert isinstance(self._writer, ChatWriter)
        told = written.told
        if evidence is None:
            return replace(written, told=told or self._writer.begin(self.question))
        passage = evidence.passage
        told = (
            self._writer.begin(self.question, passage)
            if told is None
            else self._writer.give(told, passage)
        )
        return replace(written, told=told, given=(*written.given, evidence))

    def _longer(self, written: Written, sentence: Sentence, told: Told) -> Written:
        """The answer with a sentence that was said."""
        is_over = sentence.is_last or len(written.stated) + 1 >= MAX_SENTENCES
        if not sentence.text.strip():
            return replace(written, told=told, is_over=True)
        stated, score = self._graded(sentence.text, sentence.mean_logprob, written.given)
        return replace(
            written,
            told=told,
            stated=(*written.stated, stated),
            score=written.score + score,
            is_over=is_over,
        )

    def _graded(
        self, text: str, mean_logprob: float | None, given: Sequence[Evidence]
    ) -> tuple[Stated, float]:
        """The sentence with the passage that bears it out best, and its score."""
        weights = self._settings.weights
        answer = text.strip()
        if not given:
            utility, _name = self._panel.utility(self.question, answer, None)
            score = draft_score(mean_logprob, 0.0, 0.0, 0.0, utility, weights)
            return Stated(text=text, mean_logprob=mean_logprob), score
        judge = self._panel.support
        shares = [judge.support(answer, each.passage, self.question) for each in given]
        # Of equals the one that has most of its words; then, the one that was shown last.
        words = set(content_terms(answer))
        common = [len(words & set(content_terms(each.passage.text))) for each in given]
        best = max(range(len(given)), key=lambda i: (shares[i][0] + shares[i][1] / 2, common[i], i))
        full, partial, *_others = shares[best]
        evidence, passage = given[best], given[best].passage
        utility, _name = self._panel.utility(self.question, answer, evidence.passage)
        score = draft_score(
            mean_logprob, evidence.reading.relevance, full, partial, utility, weights
        )
        grade = likeliest(shares[best])
        return (
            Stated(
                text=text,
                mean_logprob=mean_logprob,
                citation=Citation.of(passage, best_sentence(answer, passage.text)),
                support=grade,
                shares=shares[best],
            ),
            score,
        )

    def _best(self, found: Sequence[Written]) -> list[Written]:
        return sorted(found, key=lambda each: -each.rank)[: self._settings.beams]


def _place(passage: Passage) -> tuple[str, int]:
    return passage.source, passage.start
