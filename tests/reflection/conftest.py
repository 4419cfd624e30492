"""What the tests of the reflection room share: a tokenizer, judges that are told what to say."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from avalan.model.entities import Grade, Usage
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.judge import Draft, Reading, Shares, as_claim, certain
from avalan.reflection.panel import PARTS, Panel, Thresholds
from avalan.reflection.tokens import ReflectionIds, reflection_ids
from avalan.retrieval.entities import Passage
from avalan.train.tokenizer import learn, save

TEXTS = (
    "The greenhouse opens at seven. The beds are watered at six in the evening.",
    "Visitors park behind the mill. Dogs stay outside, and so do bicycles.",
    "When are the beds watered? Who may park behind the mill?",
)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer with the control and reflection tokens, as training makes it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save(learn(TEXTS * 4, vocab_size=360), folder, context_length=512)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def ids(tokenizer: Tokenizer) -> ReflectionIds:
    return reflection_ids(tokenizer.token_id)


class ToldJudge:
    """A judge that says what it is told, and remembers what it was asked."""

    def __init__(
        self,
        name: str = "told",
        *,
        need: float = 0.9,
        draft: Draft | None = None,
        readings: Mapping[str, Reading] | None = None,
        grade: Grade = "full",
        utility: float | None = None,
    ) -> None:
        """`readings` maps a word to what is made of passages that contain it."""
        self.name, self.way = name, "rules" if name == "rules" else "told"
        self._useful = utility
        self.asked: list[str] = []
        self._need = need
        self._draft = draft
        self._readings = dict(readings or {})
        self._grade = grade
        self._usage = Usage()

    def need(self, question: str, said: str = "") -> float:
        self._note(f"need after {said}" if said else "need", question)
        return self._need

    def remember(self, question: str) -> Draft | None:
        self._note("remember", question)
        return self._draft

    def read(self, question: str, passage: Passage) -> Reading:
        self._note("read", question)
        for word, reading in self._readings.items():
            if word in passage.text:
                return reading
        return Reading(relevance=0.1, span=None, confidence=0.1)

    def support(self, answer: str, passage: Passage, question: str = "") -> Shares:
        self._note(f"supports {as_claim(question, answer)}", answer)
        return certain(self._grade)

    def utility(self, question: str, answer: str, passage: Passage | None) -> float | None:
        if self._useful is not None:
            self._note(f"utility of {answer}", question)
        return self._useful

    def usage(self) -> Usage:
        return self._usage

    def _note(self, part: str, question: str) -> None:
        self.asked.append(part)
        self._usage = Usage(
            prompt_tokens=self._usage.prompt_tokens + len(question.split()),
            completion_tokens=self._usage.completion_tokens + 1,
        )


MakePanel = Callable[..., Panel]


@pytest.fixture
def panel_of() -> MakePanel:
    """A function that makes a panel of one judge for every part, or of one judge for each.

    Of three, the last reads, and says what is supported.
    """

    def make(
        *judges: ToldJudge,
        answer: Calibrator | None = None,
        answer_from: float = 0.0,
        **thresholds: float,
    ) -> Panel:
        each = judges if len(judges) == len(PARTS) else judges[:1] * len(PARTS)
        if len(judges) == 3:
            need, memory, reading = judges
            each = (need, memory, reading, reading, reading, reading)
        by_part = dict(zip(PARTS, each, strict=True))
        return Panel("told", by_part, Thresholds(answer=answer_from, **thresholds), answer=answer)

    return make
