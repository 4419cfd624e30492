"""A judge that reads a model's reflection tokens on a stepping engine.

Every question has one state: its prompt. Each passage, each draft is read on a fork of it, so that
passages do not see each other and nothing is ever rewound.
"""

from collections.abc import Sequence

import numpy as np

from avalan.model.decode.constraint import allowed_in_span, restrict
from avalan.model.decode.sampling import logprobs
from avalan.model.engine import Logits, State, SteppingEngine
from avalan.model.entities import Message, Usage
from avalan.model.load import Model
from avalan.reflection.calibrate import Calibrator, logit, rescaled
from avalan.reflection.gate import (
    expected_utility,
    group_probabilities,
    relevance_probability,
    retrieval_probability,
)
from avalan.reflection.judge import Draft, Reading, Shares, Support
from avalan.reflection.render import EncodedPassage, encode_passage
from avalan.reflection.tokens import ALL, reflection_ids
from avalan.retrieval.entities import Passage

MAX_DRAFT_TOKENS = 32
MAX_SPAN_TOKENS = 64
_SUPPORT: tuple[Support, Support, Support] = ("full", "partial", "none")


def can_judge(model: Model) -> bool:
    """Whether its vocabulary has all reflection tokens, and its engine gives their logits."""
    has_logits = isinstance(model.engine, SteppingEngine) and model.vocabulary is not None
    return has_logits and all(text in model.tokenizer.added_tokens for text in ALL)


class TokenJudge:
    """Judges with the reflection tokens of a model that was trained with them.

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
        """Raises ModelError: the vocabulary lacks a reflection token."""
        self.name, self.way = model.name, "tokens"
        self._tokenizer = model.tokenizer
        self._engine = model.stepping
        self._ids = reflection_ids(model.tokenizer.token_id)
        self._calibrators = {"need": need, "memory": memory, "reading": reading}
        self._prompt: tuple[str, State, Logits] | None = None
        self._num_read = self._num_written = 0

    def need(self, question: str, said: str = "") -> float:
        """P([Retrieval]) among the two decision tokens, calibrated if there is a calibrator."""
        state, scores = self._asked(question)
        if said:
            room = self._engine.context_length - state.length
            scores = self._feed(state, self._tokenizer.encode(said)[-room:])
        raw = retrieval_probability(scores, self._ids)
        return rescaled(self._calibrators["need"], raw)

    def remember(self, question: str) -> Draft | None:
        """A short greedy answer after [No Retrieval]; confident if its tokens were probable."""
        state, _ = self._asked(question)
        scores = self._feed(state, [self._ids.no_retrieval])
        said, mean, lowest = self._greedy(state, scores)
        text = self._tokenizer.decode(said).strip()
        if not text:
            return None
        utility = expected_utility(self._last, self._ids)
        features = {"mean_logprob": mean, "lowest_logprob": lowest, "utility": utility}
        calibrator = self._calibrators["memory"]
        confidence = calibrator(features) if calibrator else float(np.exp(lowest))
        return Draft(text=text, confidence=confidence, utility=round(utility), features=features)

    def read(self, question: str, passage: Passage) -> Reading:
        """Relevance, the best contiguous span, its support and utility."""
        state, _ = self._asked(question)
        encoded = self._fitting(passage, room=self._engine.context_length - state.length)
        self._feed(state, [self._ids.retrieval, self._ids.paragraph])
        scores = self._feed(state, [*encoded.token_ids, self._ids.paragraph_end])
        relevance = relevance_probability(scores, self._ids)
        scores = self._feed(state, [self._ids.relevant])
        said, mean = self._copied(state, scores, encoded)
        span = self._place(encoded, said, passage.text)
        support = group_probabilities(self._last, self._ids.support)
        scores = self._feed(state, [self._ids.support[int(support.argmax())]])
        utility = expected_utility(scores, self._ids)
        features = {
            "relevance_logit": logit(relevance),
            "support_logit": logit(float(support[0] + 0.5 * support[1])),
            "span_logprob": mean,
            "passage_bm25": passage.lexical,
        }
        calibrator = self._calibrators["reading"]
        return Reading(
            relevance=relevance,
            span=span,
            confidence=calibrator(features) if calibrator else relevance * float(np.exp(mean)),
            support=_SUPPORT[int(support.argmax())],
            utility=round(utility),
            features=features,
        )

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        """Of the answer as it would say it itself; a claim is an answer to itself."""
        _, scores = self._said(answer, passage, question)
        full, partial, none = group_probabilities(scores, self._ids.support).tolist()
        return full, partial, 0.0, none

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        """The expected grade, after the support that it finds likeliest."""
        if passage is None:
            state, _ = self._asked(question)
            room = self._engine.context_length - state.length - 1
            said = self._tokenizer.encode(answer)[: min(MAX_SPAN_TOKENS, room)]
            return expected_utility(self._feed(state, [self._ids.no_retrieval, *said]), self._ids)
        state, scores = self._said(answer, passage, question)
        grade = int(group_probabilities(scores, self._ids.support).argmax())
        return expected_utility(self._feed(state, [self._ids.support[grade]]), self._ids)

    def _said(self, answer: str, passage: Passage, question: str) -> tuple[State, Logits]:
        """A state in which it has given the answer from the passage, and the logits after it.

        A sentence may be longer than what the model would say; its beginning is judged. What stands
        in the passage is spelled as it is there.
        """
        state, encoded = self._relevant(question or answer, passage)
        start = passage.text.find(answer)
        if start >= 0 and encoded.spans and start < encoded.spans[-1][1]:
            first, last = encoded.tokens_of(start, start + len(answer))
            said = list(encoded.token_ids[first:last])
        else:
            said = self._tokenizer.encode(answer)
        # One token more follows: the grade of its support.
        room = self._engine.context_length - state.length - 1
        return state, self._feed(state, said[: min(MAX_SPAN_TOKENS, room)])

    def usage(self) -> Usage:
        return Usage(prompt_tokens=self._num_read, completion_tokens=self._num_written)

    def _relevant(self, question: str, passage: Passage) -> tuple[State, EncodedPassage]:
        """A state that has read the passage and called it relevant."""
        state, _ = self._asked(question)
        encoded = self._fitting(passage, room=self._engine.context_length - state.length)
        self._feed(state, [self._ids.retrieval, self._ids.paragraph])
        self._feed(state, [*encoded.token_ids, self._ids.paragraph_end, self._ids.relevant])
        return state, encoded

    # --- states ------------------------------------------------------------------------------

    def _asked(self, question: str) -> tuple[State, Logits]:
        """A fork of the question's state, and the scores after it."""
        if self._prompt is None or self._prompt[0] != question:
            state = self._engine.start()
            prompt_ids = self._tokenizer.encode_chat([Message(role="user", content=question)])
            # A question longer than the context keeps its end, where people put the point.
            room = self._engine.context_length // 2
            scores = self._feed(state, prompt_ids[:1] + prompt_ids[1:][-room:])
            self._prompt = (question, state, scores)
        return self._engine.fork(self._prompt[1]), self._prompt[2]

    def _feed(self, state: State, token_ids: Sequence[int]) -> Logits:
        self._num_read += len(token_ids)
        self._last = self._engine.feed(state, token_ids)
        return self._last

    def _fitting(self, passage: Passage, *, room: int) -> EncodedPassage:
        """The passage encoded; its end is cut where the model's context is too short for it."""
        encoded = encode_passage(self._tokenizer, passage.heading, passage.text)
        most = max(0, room - MAX_SPAN_TOKENS - 6)
        return EncodedPassage(encoded.token_ids[:most], encoded.spans[:most])

    # --- decoding ----------------------------------------------------------------------------

    def _greedy(self, state: State, scores: Logits) -> tuple[list[int], float, float]:
        """Greedy tokens up to a reflection token or an end, and mean and lowest logprob."""
        ends = {*self._ids.spoken, *self._tokenizer.eos_ids}
        said: list[int] = []
        seen: list[float] = []
        while len(said) < MAX_DRAFT_TOKENS:
            token_id = int(scores.argmax())
            seen.append(float(logprobs(scores)[token_id]))
            if token_id in ends:
                break
            said.append(token_id)
            scores = self._write(state, token_id)
        return said, float(np.mean(seen)), min(seen)

    def _copied(
        self, state: State, scores: Logits, encoded: EncodedPassage
    ) -> tuple[list[int], float]:
        """The greedy contiguous piece of the passage, and the mean logprob of its tokens."""
        ends = self._ids.support
        body = [i for i, (start, _) in enumerate(encoded.spans) if start >= 0]
        source = encoded.token_ids[body[0] :] if body else []
        said: list[int] = []
        seen: list[float] = []
        while body and len(said) < MAX_SPAN_TOKENS:
            allowed = allowed_in_span(source, said, ends)
            token_id = int(restrict(scores, allowed).argmax())
            seen.append(float(logprobs(scores)[token_id]))
            if token_id in ends:
                break
            said.append(token_id)
            scores = self._write(state, token_id)
        return said, float(np.mean(seen)) if seen else -50.0

    def _write(self, state: State, token_id: int) -> Logits:
        self._num_written += 1
        self._num_read -= 1
        return self._feed(state, [token_id])

    def _place(
        self, encoded: EncodedPassage, said: Sequence[int], text: str
    ) -> tuple[int, int] | None:
        """Characters of the passage that the copied tokens cover, without spaces around them."""
        if not said:
            return None
        # The copy was made from the body; the title above it may hold the same words.
        body = next(i for i, (start, _) in enumerate(encoded.spans) if start >= 0)
        first = _find(encoded.token_ids, said, first=body)
        start, end = encoded.characters_of(first, first + len(said))
        start = max(0, start)
        quoted = text[start:end]
        start += len(quoted) - len(quoted.lstrip())
        end -= len(quoted) - len(quoted.rstrip())
        return (start, end) if end > start else None


def _find(token_ids: Sequence[int], piece: Sequence[int], *, first: int) -> int:
    """Where `piece` stands in `token_ids`, from `first` on; it is known to be there."""
    wanted = tuple(piece)
    places = range(first, len(token_ids))
    return next(i for i in places if tuple(token_ids[i : i + len(wanted)]) == wanted)
