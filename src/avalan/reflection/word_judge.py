"""Any model as a judge: it is asked in plain words, and its choices are read as probabilities.

What it is given to judge is a message's content and no part of the prompt's own text. It quotes
whole sentences: those of the passage are lettered, and it chooses a letter, or that none answers.
"""

from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np

from avalan.model.entities import GenerationReport, GenerationSettings, Message, Usage
from avalan.model.generate import generate
from avalan.model.load import Model
from avalan.reflection.calibrate import Calibrator, logit, rescaled
from avalan.reflection.choice import Chooser
from avalan.reflection.gate import UTILITY_GRADES
from avalan.reflection.instructions import GAP, is_order, withheld
from avalan.reflection.judge import Draft, Reading, Shares, as_claim
from avalan.reflection.reading import fitting, prompt_of
from avalan.reflection.rules import quotable
from avalan.retrieval.entities import Passage

MAX_DRAFT_TOKENS = 48
_MOST_CHARACTERS = 2_000
"""Of a question or an answer: its end is read, where people put the point."""
_SPARE = 16
"""Tokens of the context that are left free for a choice."""

_NEED = (
    "Decide whether the question below needs a look-up in documents: recent, private or particular "
    "facts do; common knowledge, arithmetic, writing and small talk do not. "
    "Answer with one word: search or know."
)
_NEED_MORE = (
    "Below are a question and the beginning of its answer. Decide whether what is still to be said "
    "needs a look-up in documents. Answer with one word: search or know."
)
_DRAFT = "Answer in a few words. If you do not know, say so."
_READ = (
    "Below are a question and a passage whose sentences have letters. Which sentence answers the "
    "question? Answer with its letter alone, or with none if no sentence does."
)
_SUPPORT = (
    "Below are a passage and a claim. Does the passage say what is claimed? Answer with one word: "
    "fully, partly, opposite if it says something else, or silent if it does not say."
)
_UTILITY = (
    "Below are a question and an answer. How useful is the answer? Answer with a number from 1, "
    "useless, to 5, just right."
)
_GRADES = ("fully", "partly", "opposite", "silent")
"""In the order of `GRADES`."""
_NONE = "none"


class WordJudge:
    """Judges by choices between words.

    Calibrators turn its raw scores into probabilities; without one, the raw score stands.
    """

    def __init__(
        self,
        model: Model,
        *,
        need: Calibrator | None = None,
        memory: Calibrator | None = None,
        reading: Calibrator | None = None,
    ) -> None:
        """Raises ModelError: the engine gives no probabilities and keeps to no grammar."""
        self.name = model.name
        self._model = model
        self._chooser = Chooser(model)
        self._calibrators = {"need": need, "memory": memory, "reading": reading}
        self._drafted = Usage()

    @property
    def way(self) -> str:
        """How it is asked; see `judge.Way`."""
        return self._chooser.way

    def need(self, question: str, said: str = "") -> float:
        """P(search), calibrated if there is a calibrator."""
        asked = _ask(_NEED, question=question)
        if said:
            asked = _ask(_NEED_MORE, question=question, answer=said)
        raw = float(self._chooser.choose(asked, ("search", "know"))[0])
        return rescaled(self._calibrators["need"], raw)

    def remember(self, question: str) -> Draft | None:
        """A short greedy answer; confident if its tokens were probable.

        None where the engine does not tell how probable they were.
        """
        if "logprobs" not in self._model.engine.capabilities or self.way == "grammar":
            return None
        text, logprobs = self._written(_ask(_DRAFT, question=question))
        if not text:
            return None
        utility = self.utility(question, text, None) or 0.0
        features = {
            "mean_logprob": float(np.mean(logprobs)),
            "lowest_logprob": min(logprobs),
            "utility": utility,
        }
        calibrator = self._calibrators["memory"]
        confidence = calibrator(features) if calibrator else float(np.exp(min(logprobs)))
        return Draft(text=text, confidence=confidence, utility=round(utility), features=features)

    def read(self, question: str, passage: Passage) -> Reading:
        """The sentence that it finds most likely to answer, and how likely it is that one does."""
        spans = quotable(passage.text)[: len(ascii_uppercase)]
        letters = ascii_uppercase[: len(spans)]
        said = [passage.text[slice(*span)] for span in spans]
        shown = (GAP if is_order(each) else " ".join(each.split()) for each in said)
        lettered = "\n".join(
            f"{letter}. {each}" for letter, each in zip(letters, shown, strict=True)
        )

        def made(shown: str) -> list[Message]:
            return _ask(_READ, question=question, passage=_below(passage.heading, shown))

        fits = fitting(self._model, made, lettered, spare=_SPARE)
        letters = letters[: len(fits.splitlines())]
        *found, silent = self._chooser.choose(made(fits), (*letters, _NONE))
        best = int(np.argmax(found)) if found else 0
        raw = float(found[best]) if found else 0.0
        relevance = 1.0 - float(silent)
        features = {
            "sentence_logit": logit(raw),
            "relevance_logit": logit(relevance),
            "passage_bm25": passage.lexical,
        }
        calibrator = self._calibrators["reading"]
        return Reading(
            relevance=relevance,
            span=spans[best] if found else None,
            confidence=calibrator(features) if calibrator else raw,
            features=features,
        )

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        """Of the question together with its answer."""
        claim = as_claim(question, answer)

        def made(shown: str) -> list[Message]:
            return _ask(_SUPPORT, passage=_below(passage.heading, shown), claim=claim)

        asked = made(fitting(self._model, made, withheld(passage.text), spare=_SPARE))
        full, partial, contradicted, none = self._chooser.choose(asked, _GRADES).tolist()
        return full, partial, contradicted, none

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        """The expected grade under the probabilities of the five numbers."""
        grades = tuple(str(grade) for grade in UTILITY_GRADES)
        asked = _ask(_UTILITY, question=question, answer=answer)
        return float(self._chooser.choose(asked, grades) @ UTILITY_GRADES)

    def usage(self) -> Usage:
        """Tokens read and written since the judge was made."""
        chosen = self._chooser.usage()
        return Usage(
            prompt_tokens=chosen.prompt_tokens + self._drafted.prompt_tokens,
            completion_tokens=chosen.completion_tokens + self._drafted.completion_tokens,
        )

    def _written(self, messages: Sequence[Message]) -> tuple[str, list[float]]:
        """A greedy answer, and its tokens' log-probabilities."""
        prompt = prompt_of(self._model, messages)
        settings = GenerationSettings(max_new_tokens=MAX_DRAFT_TOKENS, num_alternatives=1)
        report = GenerationReport()
        tokens = [
            token
            for token in generate(self._model, prompt, settings=settings, report=report)
            if not token.reasoning
        ]
        self._drafted = Usage(
            prompt_tokens=self._drafted.prompt_tokens + report.usage.prompt_tokens,
            completion_tokens=self._drafted.completion_tokens + report.usage.completion_tokens,
        )
        return "".join(token.text for token in tokens).strip(), [token.logprob for token in tokens]


def _ask(instruction: str, **parts: str) -> list[Message]:
    """One message: what is asked, and below it what it is asked about."""
    given = (
        f"{name.capitalize()}:\n{text if name == 'passage' else text[-_MOST_CHARACTERS:]}"
        for name, text in parts.items()
    )
    return [Message(role="user", content="\n\n".join((instruction, *given)))]


def _below(heading: str, text: str) -> str:
    return f"{heading}\n{text}" if heading else text
