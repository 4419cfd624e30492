"""The written answer over real indexes: a model that replies as scripted, judges that are told."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from avalan.errors import ConfigurationError
from avalan.model.entities import Grade
from avalan.reflection.events import Answer, Decision, Event, Found, Read, Reworded, Stated
from avalan.reflection.judge import Reading
from avalan.reflection.loop import NO_DOCUMENTS, NOT_THERE, AskSettings, ask
from avalan.reflection.panel import PARTS, Panel, Thresholds
from avalan.reflection.settings import Weights
from avalan.reflection.writer import ChatWriter, MessageWriter
from avalan.retrieval.index import SyncIndex
from avalan.testing import pico_tokenizer, scripted_model

from .conftest import ToldJudge
from .test_writer import Served, replying

QUESTION = "When are the beds watered, and by whom?"
TEXTS = {
    "garden.md": "The beds are watered at six in the evening.",
    "staff.md": "The beds are watered by Ana, the second gardener.",
    "old.md": "Beds of oysters lie off the coast.",
}
RELEVANT = {
    "six": Reading(relevance=0.9, span=(0, 8), confidence=0.9),
    "Ana": Reading(relevance=0.8, span=(0, 8), confidence=0.9),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SyncIndex]:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    with SyncIndex.temporary() as made:
        list(made.add([tmp_path / name for name in TEXTS]))
        yield made


class Gate(ToldJudge):
    """Wants a look-up at the beginning, and again after whatever has the word that it is told."""

    def __init__(self, first: float = 0.9, again_after: str = "\0", **told: Any) -> None:
        super().__init__("gate", **told)
        self._first, self._after = first, again_after

    def need(self, question: str, said: str = "") -> float:
        super().need(question, said)
        return self._first if not said else float(self._after in said)


def written(
    folder: Path,
    index: SyncIndex | None,
    replies: Mapping[str, str],
    judge: ToldJudge,
    **settings: Any,
) -> list[Event]:
    writer = ChatWriter(replying(folder, replies))
    panel = Panel("told", dict.fromkeys(PARTS, judge), Thresholds(), writer=writer, writes=True)
    return list(ask(QUESTION, panel=panel, index=index, settings=AskSettings(**settings)))


def answer_of(events: list[Event]) -> Answer:
    assert isinstance(events[-1], Answer)
    return events[-1]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_passage_is_looked_up_and_the_sentence_cites_it(folder: Path, index: SyncIndex) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]})
    events = written(folder, index, {"six": "They are watered at six."}, judge)
    assert kinds(events) == ["Decision", "Found", "Read", "Read", "Read", "Stated", "Answer"]
    answer = answer_of(events)
    assert answer.text == "They are watered at six."
    (citation,) = answer.citations
    assert Path(citation.source).name == "garden.md"
    held = Path(citation.source).read_bytes()
    assert held[citation.start : citation.end].decode() == citation.text == TEXTS["garden.md"]
    assert (answer.support, answer.retrieved, answer.confidence) == ("full", True, 1.0)
    assert answer.stated == (events[-2],)


def test_the_best_scored_draft_goes_on(folder: Path, index: SyncIndex) -> None:
    """Both passages give a sentence; the one that counts more wins, whatever its rank."""
    replies = {"six in": "At six.", "by Ana": "By Ana."}
    for relevance, text in ((0.95, "By Ana."), (0.6, "At six.")):
        ana = Reading(relevance=relevance, span=(0, 8), confidence=0.9)
        judge = Gate(readings=RELEVANT | {"Ana": ana})
        assert answer_of(written(folder, index, replies, judge)).text == text


def test_the_gate_opens_in_the_middle_and_the_answer_goes_on(
    folder: Path, index: SyncIndex
) -> None:
    replies = {"six in": "At six. That is all.", "by Ana": "By Ana."}
    ana = Reading(relevance=0.6, span=(0, 8), confidence=0.9)
    judge = Gate(again_after="six", readings=RELEVANT | {"Ana": ana})
    events = written(folder, index, replies, judge)
    first, again = (event for event in events if isinstance(event, Decision))
    assert (first.after, again.after, again.retrieve) == ("", "At six.", True)
    answer = answer_of(events)
    assert answer.text is not None
    assert answer.text.split() == ["At", "six.", "By", "Ana."]
    assert [Path(each.source).name for each in answer.citations] == ["garden.md", "staff.md"]
    # What was shown already is not read again.
    found = [event for event in events if isinstance(event, Found)]
    assert "garden.md" not in {Path(each.source).name for each in found[1].passages}


def test_an_answer_that_is_too_uncertain_is_withheld(folder: Path, index: SyncIndex) -> None:
    for grade, text in (("full", "At six."), ("none", None)):
        judge = Gate(readings={"six": RELEVANT["six"]}, grade=grade)
        events = written(folder, index, {"six": "At six."}, judge, min_confidence=0.6)
        assert answer_of(events).text == text


def test_weights_are_three_numbers() -> None:
    assert Weights.parse("2, 0,0.25") == Weights(relevance=2.0, support=0.0, utility=0.25)
    for text in ("", "1,2", "1,2,3,4", "a,b,c", "1,-1,0", "1,nan,0", "1,inf,0"):
        with pytest.raises(ConfigurationError, match="three numbers of at least 0"):
            Weights.parse(text)


def test_a_sum_is_not_interrupted(folder: Path, index: SyncIndex) -> None:
    """After the first decision nothing is asked while it is worked out."""
    writer = ChatWriter(replying(folder, {"": "At six. Plus two, so eight. That is all."}))
    judge = Gate(first=0.1, again_after="six", readings=RELEVANT)
    panel = Panel("told", dict.fromkeys(PARTS, judge), Thresholds(), writer=writer, writes=True)
    events = list(ask("What is 6 + 2?", panel=panel, index=index))
    assert kinds(events) == ["Decision", *["Stated"] * 3, "Answer"]


def test_where_the_gate_stays_shut_the_answer_goes_on_by_itself(
    folder: Path, index: SyncIndex
) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]})
    events = written(folder, index, {"six": "At six. It is so. And on."}, judge)
    decisions = [event for event in events if isinstance(event, Decision)]
    assert [each.retrieve for each in decisions] == [True, False, False]
    assert answer_of(events).text == "At six. It is so. And on."
    assert len(answer_of(events).citations) == 1


def test_where_nothing_is_relevant_other_words_are_tried_once(
    folder: Path, index: SyncIndex
) -> None:
    replies = {"": "oysters coast", "found nothing": "oysters coast"}
    events = written(folder, index, replies, Gate())
    (reworded,) = (event for event in events if isinstance(event, Reworded))
    assert reworded.query == "oysters coast"
    assert kinds(events).count("Found") == 2
    answer = answer_of(events)
    assert (answer.text, answer.reason) == (None, NOT_THERE)
    assert (answer.retrieved, answer.citations) == (True, ())


def test_where_the_gate_wants_no_look_up_it_answers_from_memory(
    folder: Path, index: SyncIndex
) -> None:
    judge = Gate(first=0.1, utility=4)
    events = written(folder, index, {"": "Nobody knows. It is so."}, judge)
    answer = answer_of(events)
    # The documents have the question's words, so they were read, and say nothing.
    assert (answer.text, answer.retrieved) == ("Nobody knows. It is so.", True)
    assert (answer.citations, answer.support, answer.utility) == ((), None, 4)
    assert 0.9 < answer.confidence <= 1


def test_what_needs_documents_is_not_made_up_without_any(folder: Path) -> None:
    answer = answer_of(written(folder, None, {"": "At nine."}, Gate()))
    assert (answer.text, answer.reason) == (None, NO_DOCUMENTS)
    answer = answer_of(written(folder, None, {"": "At nine."}, Gate(), retrieve="never"))
    assert answer.text == "At nine."


@pytest.mark.parametrize(("grade", "kept"), [("full", True), ("none", False)])
def test_what_is_not_borne_out_can_be_left_out(
    folder: Path, index: SyncIndex, grade: Grade, kept: bool
) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]}, grade=grade)
    events = written(folder, index, {"six": "At six."}, judge, require_support=True)
    answer = answer_of(events)
    assert answer.text == ("At six." if kept else None)
    assert answer.reason == (None if kept else NOT_THERE)
    assert answer_of(written(folder, index, {"six": "At six."}, judge)).support == grade


def test_more_beams_find_what_begins_worse_and_ends_better(folder: Path, index: SyncIndex) -> None:
    """The second passage's first sentence scores less; its second one is worth it."""

    class Grading(Gate):
        def utility(self, question: str, answer: str, passage: object) -> float | None:
            return {"At six.": 4.0, "So it is.": 1.0, "By Ana.": 3.5, "Surely.": 5.0}.get(answer)

    replies = {"six in": "At six. So it is.", "by Ana": "By Ana. Surely."}
    same = Reading(relevance=0.8, span=(0, 8), confidence=0.9)
    judge = Grading(readings={"six": same, "Ana": same})
    weights = Weights(utility=1.0)
    for beams, text in ((1, "At six. So it is."), (2, "By Ana. Surely.")):
        answer = answer_of(written(folder, index, replies, judge, beams=beams, weights=weights))
        assert answer.text == text


def test_quoting_can_be_asked_for(folder: Path, index: SyncIndex) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]})
    events = written(folder, index, {"six": "At six."}, judge, style="quote")
    assert answer_of(events).text == TEXTS["garden.md"][:8]
    assert not any(isinstance(event, Stated) for event in events)


def test_who_cannot_write_is_told_so(index: SyncIndex) -> None:
    panel = Panel("told", dict.fromkeys(PARTS, Gate()), Thresholds())
    with pytest.raises(ConfigurationError, match="Nobody here writes sentences"):
        list(ask(QUESTION, panel=panel, index=index, settings=AskSettings(style="write")))


def test_readings_are_told_in_their_order(folder: Path, index: SyncIndex) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]})
    events = written(folder, index, {"six": "At six."}, judge)
    reads = [event for event in events if isinstance(event, Read)]
    answer = answer_of(events)
    assert answer.readings == tuple(event.reading for event in reads)
    assert answer.passages == tuple(event.passage for event in reads)


def test_nothing_is_written_from_a_version_that_a_newer_one_has_replaced(
    folder: Path, tmp_path: Path
) -> None:
    text = "Beds\n\nOn {date} we said that the beds are watered at {hour} by whoever has the key."
    for name, date, hour in (("a", "1 May 2020", "six"), ("b", "1 May 2024", "nine")):
        (tmp_path / f"{name}.md").write_text(text.format(date=date, hour=hour))
    with SyncIndex.temporary() as index:
        list(index.add([tmp_path]))
        older = Reading(relevance=0.95, span=(0, 8), confidence=0.9)
        newer = Reading(relevance=0.6, span=(0, 8), confidence=0.9)
        judge = Gate(readings={"six": older, "nine": newer})
        replies = {"six": "At six.", "nine": "At nine."}
        assert answer_of(written(folder, index, replies, judge)).text == "At nine."


def test_a_server_that_reads_messages_writes_from_the_best_passages_at_once(
    folder: Path, index: SyncIndex
) -> None:
    engine = Served("At six in the evening. By Ana, the second gardener.")
    writer = MessageWriter(scripted_model(folder, engine))
    judge = Gate(again_after="six", readings=RELEVANT)
    panel = Panel("told", dict.fromkeys(PARTS, judge), Thresholds(), writer=writer, writes=True)
    assert "nothing is looked up in the middle" in panel.remarks[0]
    events = list(ask(QUESTION, panel=panel, index=index))
    assert kinds(events) == ["Decision", "Found", *["Read"] * 3, *["Stated"] * 2, "Answer"]
    answer = answer_of(events)
    assert answer.text == "At six in the evening. By Ana, the second gardener."
    cited = [Path(each.citation.source).name for each in answer.stated if each.citation]
    assert cited == ["garden.md", "staff.md"]
    assert TEXTS["old.md"] not in engine.asked[-1]


def test_an_answer_without_a_word_is_none(folder: Path, index: SyncIndex) -> None:
    judge = Gate(readings={"six": RELEVANT["six"]})
    answer = answer_of(written(folder, index, {"six": " "}, judge))
    assert (answer.text, answer.reason) == (None, NOT_THERE)
