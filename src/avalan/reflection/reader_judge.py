"""The reader as a judge: its numbers, turned into what the loop asks for."""

from avalan.model.entities import GRADES, Grade, Usage
from avalan.model.nlp.judge import PairReader, sigmoid
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Draft, Reading
from avalan.retrieval.entities import Passage

_LOOK_TWICE = -4.0
"""Log-odds below which an answer is not looked at again: 98% of the right ones of validation lie
above, and half of all."""
_NOTHING = tuple(float(grade == "none") for grade in GRADES)


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
        self._reader, self.name = reader, name
        self._need, self._reading = need, reading

    def need(self, question: str) -> float:
        """P(the question needs a look-up)."""
        raw = self._reader.need(question)
        return self._need({"logit": logit(raw)}) if self._need else raw

    def remember(self, question: str) -> Draft | None:
        """Nothing: it only reads."""
        return None

    def read(self, question: str, passage: Passage) -> Reading:
        """Point at the answer in a passage, which is read below its heading as in training.

        How sure it is depends on a second look, too: whether the passage bears out the question
        and this answer, read as a claim.
        """
        ahead = _ahead(passage)
        found = self._reader.point(question, ahead + passage.text)
        span = _below(len(ahead), found.span)
        grades = _NOTHING
        if span and found.margin >= _LOOK_TWICE:
            claim = f"{question} {passage.text[slice(*span)]}"
            grades = self._reader.support(claim, ahead + passage.text)
        full, partial, _contradicted, none = grades
        features = {
            "margin": found.margin,
            "relevance": logit(found.relevance),
            "support": logit(full + partial / 2),
            "unsupported": logit(none),
        }
        confidence = self._reading(features) if self._reading else sigmoid(found.margin)
        return Reading(
            relevance=found.relevance,
            span=span,
            confidence=confidence if span else 0.0,
            features=features,
        )

    def supports(self, claim: str, passage: Passage) -> Grade:
        """The likeliest grade."""
        found = self._reader.support(claim, _ahead(passage) + passage.text)
        return GRADES[found.index(max(found))]

    def usage(self) -> Usage:
        """It writes no tokens, and those that it reads are not counted."""
        return Usage()


def _ahead(passage: Passage) -> str:
    return f"{passage.heading}\n\n" if passage.heading else ""


def _below(num_ahead: int, span: tuple[int, int] | None) -> tuple[int, int] | None:
    """A span in characters of the passage's own text; None where it stands in the heading."""
    if span is None or span[1] <= num_ahead:
        return None
    return max(span[0] - num_ahead, 0), span[1] - num_ahead
