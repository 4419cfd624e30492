"""A judge for models with AVALON's seven tokens: they decide and grade, words judge the rest.

The profile is the model card's: `[Retrieval]` or `[No Retrieval]` begins an answer and
`[Utility:X]` ends it, under the system prompt that the card recommends. It has no tokens for
relevance and support, so those are choices between words, as for any model.
"""

from avalan.model.engine import Logits, SteppingEngine
from avalan.model.entities import Message, Usage
from avalan.model.load import Model
from avalan.reflection.calibrate import Calibrator, rescaled
from avalan.reflection.gate import expected_utility, retrieval_probability
from avalan.reflection.judge import Draft, Reading, Shares
from avalan.reflection.reading import PrefixReader, prompt_ids
from avalan.reflection.tokens import AVALON, avalon_ids
from avalan.reflection.word_judge import WordJudge
from avalan.retrieval.entities import Passage

SYSTEM_PROMPT = """\
You are AVALON, a self-reflective AI assistant. Before answering any question:
1. Determine if you need external information by generating [Retrieval] or [No Retrieval]
2. For time-sensitive questions (news, current events, prices), always use [Retrieval]
3. For factual knowledge (capitals, math, definitions), use [No Retrieval]
4. End every response with [Utility:X] where X is 1-5 rating of response quality

Be concise and accurate. If you're uncertain, acknowledge it."""
"""As the model card gives it: a model that was trained under it is asked under it."""


def has_avalon(model: Model) -> bool:
    """Whether its vocabulary has the seven tokens, and its engine gives their logits."""
    has_logits = isinstance(model.engine, SteppingEngine) and model.vocabulary is not None
    return has_logits and all(text in model.tokenizer.added_tokens for text in AVALON)


class AvalonJudge:
    """Judges with one model."""

    def __init__(
        self,
        model: Model,
        *,
        need: Calibrator | None = None,
        memory: Calibrator | None = None,
        reading: Calibrator | None = None,
    ) -> None:
        """Raises ModelError: the vocabulary lacks one of the seven tokens."""
        self._words = WordJudge(model, memory=memory, reading=reading)
        self.name, self.way = model.name, f"tokens+{self._words.way}"
        self._tokenizer = model.tokenizer
        self._reader = PrefixReader(model.stepping)
        self._ids = avalon_ids(model.tokenizer.token_id)
        self._need = need
        self._num_read = 0

    def need(self, question: str, said: str = "") -> float:
        """P([Retrieval]) among the two decision tokens, calibrated if there is a calibrator."""
        raw = retrieval_probability(self._after(question, self._tokenizer.encode(said)), self._ids)
        return rescaled(self._need, raw)

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        """The expected grade where the answer ends."""
        decision = self._ids.no_retrieval if passage is None else self._ids.retrieval
        said = [decision, *self._tokenizer.encode(answer)]
        return expected_utility(self._after(question, said), self._ids)

    def remember(self, question: str) -> Draft | None:
        """As any model does."""
        return self._words.remember(question)

    def read(self, question: str, passage: Passage) -> Reading:
        """As any model does."""
        return self._words.read(question, passage)

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        """As any model does."""
        return self._words.support(answer, passage, question)

    def usage(self) -> Usage:
        """Tokens read and written since the judge was made."""
        used = self._words.usage()
        return Usage(
            prompt_tokens=used.prompt_tokens + self._num_read,
            completion_tokens=used.completion_tokens,
        )

    def _after(self, question: str, said: list[int]) -> Logits:
        """The logits after the beginning of an answer."""
        messages = [
            Message(role="system", content=SYSTEM_PROMPT),
            Message(role="user", content=question),
        ]
        token_ids = [*prompt_ids(self._tokenizer, messages), *said]
        self._num_read += len(token_ids)
        return self._reader.read(token_ids)[1]
