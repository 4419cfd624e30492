"""The reader as a judge: its numbers, turned into what the loop asks for."""

from avalan.model.entities import Usage
from avalan.model.nlp.judge import PairReader, sigmoid
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Draft, Reading, Shares, above, as_claim
from avalan.retrieval.entities import Passage


class ReaderJudge:
    """Judges and quotes by an encoder; it has no memory of its own."""

    def __init__(
        self,
        reader: PairReader,
        name: str = "reader",
        *,
        need: Calibrator | None = None,
        reading: Calibrator | None = None,
    ) -> None:
        self._reader, self.name, self.way = reader, name, "heads"
        self._need, self._reading = need, reading

    def need(self, question: str, said: str = "") -> float:
        """P(the question needs a look-up)."""
        if said:
            return 0.0
        raw = self._reader.need(question)
        return self._need({"logit": logit(raw)}) if self._need else raw

    def remember(self, question: str) -> Draft | None:
        """Nothing: it only reads."""
        return None

    def read(self, question: str, passage: Passage) -> Reading:
        """Point at the answer in a passage, which is read below its heading as in training."""
        ahead = above(passage.heading)
        found = self._reader.point(question, ahead + passage.text, start=len(ahead))
        features = {"span_margin": found.margin, "relevance_logit": logit(found.relevance)}
        if found.span is None:
            return Reading(relevance=found.relevance, span=None, confidence=0.0, features=features)
        start, end = found.span
        return Reading(
            relevance=found.relevance,
            span=(start - len(ahead), end - len(ahead)),
            confidence=self._reading(features) if self._reading else sigmoid(found.margin),
            features=features,
        )

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        """Of the question together with its answer."""
        claim = as_claim(question, answer)
        full, partial, contradicted, none = self._reader.support(
            claim, above(passage.heading) + passage.text
        )
        return full, partial, contradicted, none

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        """None: it was not taught any."""
        return None

    def usage(self) -> Usage:
        """It writes no tokens, and those that it reads are not counted."""
        return Usage()
