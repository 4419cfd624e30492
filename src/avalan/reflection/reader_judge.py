"""The reader as a judge: its numbers, turned into what the loop asks for."""

import re
from collections.abc import Iterable

from avalan.model.entities import Usage
from avalan.model.nlp.judge import PairReader, Place, sigmoid
from avalan.reflection.calibrate import Calibrator, logit, rescaled
from avalan.reflection.extent import is_whole_better
from avalan.reflection.judge import Draft, Reading, Shares, above, as_claim
from avalan.reflection.rules import coverage, sentence_of
from avalan.retrieval.entities import Passage
from avalan.retrieval.sentences import sentences

_NUMBERING = re.compile(r"^[^\S\n]*(?:[A-Z]\.\d+(?:\.\d+)*\.?|\d+(?:\.\d+)+\.)(?=\s)", re.MULTILINE)
"""Of a section, before its title: 5.1., D.3.4. Without its last full stop 5.1 may be a time."""


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
        return rescaled(self._need, raw)

    def remember(self, question: str) -> Draft | None:
        """Nothing: it only reads."""
        return None

    def read(self, question: str, passage: Passage) -> Reading:
        """Point at the answer in a passage, which is read below its heading as in training."""
        ahead, text = above(passage.heading), passage.text
        pieces = _moved(sentences(text), len(ahead))
        bars = _moved((match.span() for match in _NUMBERING.finditer(text)), len(ahead))
        found = self._reader.point(
            question, ahead + text, start=len(ahead), pieces=pieces, bars=bars
        )
        features = {"span_margin": found.margin, "relevance_logit": logit(found.relevance)}
        if found.span is None:
            return Reading(relevance=found.relevance, span=None, confidence=0.0, features=features)
        start, end = (each - len(ahead) for each in found.span)
        whole = sentence_of(text, (start, end))
        num_words, num_whole = (len(text[slice(*each)].split()) for each in ((start, end), whole))
        return Reading(
            relevance=found.relevance,
            span=whole if is_whole_better(found.clarity, num_words, num_whole) else (start, end),
            confidence=self._reading(features) if self._reading else sigmoid(found.margin),
            features=features,
            signs={
                "focus": found.focus,
                "coverage": coverage(question, text[slice(*whole)], passage.heading),
            },
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


def _moved(places: Iterable[Place], by: int) -> list[Place]:
    return [(start + by, end + by) for start, end in places]
