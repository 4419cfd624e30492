"""The reader as a judge: its numbers, turned into what the loop asks for."""

from collections.abc import Sequence

from avalan.model.entities import GRADES, Grade, Usage
from avalan.model.nlp.judge import PairReader, sigmoid
from avalan.reflection.calibrate import Calibrator, logit
from avalan.reflection.judge import Draft, Reading, above, as_claim, as_support
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
        ahead = above(passage.heading)
        page = ahead + passage.text
        found = self._reader.point(question, page, start=len(ahead))
        features = {"margin": found.margin, "relevance": logit(found.relevance)}
        grades, support, span = _NOTHING, None, None
        if found.span:
            span = (found.span[0] - len(ahead), found.span[1] - len(ahead))
            if found.margin >= _LOOK_TWICE:
                claim = as_claim(question, passage.text[slice(*span)])
                grades = self._reader.support(claim, page)
                support = as_support(likeliest(grades))
        full, partial, _contradicted, none = grades
        features |= {"support": logit(full + partial / 2), "unsupported": logit(none)}
        confidence = self._reading(features) if self._reading else sigmoid(found.margin)
        return Reading(
            relevance=found.relevance,
            span=span,
            confidence=confidence if span else 0.0,
            support=support,
            features=features,
        )

    def supports(self, claim: str, passage: Passage) -> Grade:
        """The likeliest grade."""
        return likeliest(self._reader.support(claim, above(passage.heading) + passage.text))

    def usage(self) -> Usage:
        """It writes no tokens, and those that it reads are not counted."""
        return Usage()


def likeliest(probabilities: Sequence[float]) -> Grade:
    """The grade of the highest probability, which are in the order of `GRADES`."""
    return GRADES[max(range(len(GRADES)), key=lambda i: probabilities[i])]
