"""The loop with judges that are told what to say, over real indexes."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.model.entities import Grade
from avalan.reflection.calibrate import Calibrator
from avalan.reflection.events import Answer, Citation, Decision, Drafted, Event, Found, Read
from avalan.reflection.judge import Draft, Reading
from avalan.reflection.loop import NO_DOCUMENTS, NOT_KNOWN, NOT_THERE, AskSettings, ask
from avalan.reflection.panel import Panel
from avalan.reflection.settings import Retrieve
from avalan.reflection.trust import MAX_LEAD
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex

from .conftest import MakePanel, ToldJudge

QUESTION = "When are the beds watered?"
SURE = Draft(text="At six.", confidence=0.9, utility=5)
UNSURE = Draft(text="At nine.", confidence=0.3, utility=2)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SyncIndex]:
    """Three documents, of which two share words with the question."""
    (tmp_path / "garden.md").write_text("The beds are watered at six in the evening.\n")
    (tmp_path / "pool.txt").write_text("Flower beds beside the pool: watered by nobody.\n")
    (tmp_path / "dogs.txt").write_text("Dogs stay outside.\n")
    with SyncIndex.temporary() as made:
        list(made.add([tmp_path / name for name in ("garden.md", "pool.txt", "dogs.txt")]))
        yield made


def reading(text: str, quote: str, confidence: float, **more: object) -> Reading:
    start = text.index(quote)
    span = (start, start + len(quote))
    return Reading(relevance=0.9, span=span, confidence=confidence, **more)  # type: ignore[arg-type]


GARDEN = reading(
    "The beds are watered at six in the evening.", "at six", 0.8, support="full", utility=4
)
POOL = reading("Flower beds beside the pool: watered by nobody.", "nobody", 0.6)


def told(panel: Panel, index: SyncIndex | None, **settings: object) -> list[Event]:
    return list(ask(QUESTION, panel=panel, index=index, settings=AskSettings(**settings)))  # type: ignore[arg-type]


def answer_of(events: list[Event]) -> Answer:
    assert isinstance(events[-1], Answer)
    return events[-1]


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


# --- when something is looked up ----------------------------------------------------------------


def test_a_look_up_is_decided_searched_read_cited_and_answered(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    judge = ToldJudge(need=0.7, draft=SURE, readings={"evening": GARDEN, "pool": POOL})

    events = told(panel_of(judge), index)

    assert kinds(events) == [Decision, Found, Read, Read, Citation, Answer]
    assert events[0] == Decision(
        retrieve=True, probability=0.7, threshold=0.5, judge="told", way="told"
    )
    answer = answer_of(events)
    assert (answer.text, answer.support, answer.utility) == ("at six", "full", 4)
    assert (answer.retrieved, answer.confidence, answer.reason) == (True, 0.8, None)
    assert answer.citations == (events[4],)
    assert answer.citations[0].sentence == "The beds are watered at six in the evening."
    assert answer.sure
    assert not answer.abstained
    assert "remember" not in judge.asked


@pytest.mark.parametrize(("sure", "is_sure"), [(0.8, True), (0.81, False)])
def test_a_quotation_below_the_second_threshold_is_given_with_reserve(
    panel_of: MakePanel, index: SyncIndex, sure: float, is_sure: bool
) -> None:
    judge = ToldJudge(need=0.7, readings={"evening": GARDEN})
    answer = answer_of(told(panel_of(judge, sure=sure), index))
    assert (answer.text, answer.sure) == ("at six", is_sure)


def test_an_answer_is_trusted_in_view_of_the_other_quotations(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    by_lead = Calibrator(weights={"lead": 1.0}, bias=0.0)
    rival = replace(POOL, confidence=0.5)
    judge = ToldJudge(need=0.7, readings={"evening": GARDEN, "pool": rival})
    answer = answer_of(told(panel_of(judge, answer=by_lead), index))
    # The odds of the quotation are 4, of its rival 1.
    assert (answer.text, answer.confidence) == ("at six", pytest.approx(0.8))
    # What quotes nothing is no rival, however confident.
    silent = Reading(relevance=1.0, span=None, confidence=1.0)
    judge = ToldJudge(need=0.7, readings={"evening": GARDEN, "pool": silent})
    answer = answer_of(told(panel_of(judge, answer=by_lead), index))
    assert answer.confidence == pytest.approx(1 / (1 + math.exp(-MAX_LEAD)))


def test_what_documents_a_program_is_trusted_as_such(
    panel_of: MakePanel, index: SyncIndex, tmp_path: Path
) -> None:
    judge = ToldJudge(need=0.7, readings={"evening": GARDEN, "water": GARDEN})
    panel = panel_of(judge, answer=Calibrator(weights={"technical": 1.0}, bias=0.0))
    assert answer_of(told(panel, index)).confidence == pytest.approx(0.5)
    manual = tmp_path / "manual.txt"
    manual.write_text('The "water" method, or beds.water(), waters; at six in __exit__.\n')
    with SyncIndex.temporary(embedder="none") as made:
        list(made.add([manual]))
        assert answer_of(told(panel, made)).confidence == pytest.approx(1 / (1 + math.exp(-1)))


def test_an_answer_below_the_fitted_confidence_is_not_given_unless_asked_for(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    panel = panel_of(ToldJudge(need=0.7, readings={"evening": GARDEN}), answer_from=0.9)
    assert answer_of(told(panel, index)).text is None
    assert answer_of(told(panel, index, min_confidence=0.8)).text == "at six"


def test_the_least_confidence_is_that_of_the_answer(panel_of: MakePanel, index: SyncIndex) -> None:
    judge = ToldJudge(need=0.7, readings={"evening": GARDEN})
    doubtful = Calibrator(weights={}, bias=0.0)
    for least, text in ((0.5, "at six"), (0.51, None)):
        panel = panel_of(judge, answer=doubtful, reading=0.99)
        assert answer_of(told(panel, index, min_confidence=least)).text == text


@pytest.mark.parametrize(
    ("retrieve", "need", "draft", "looks_up", "text"),
    [
        ("adaptive", 0.9, SURE, True, "at six"),
        ("adaptive", 0.1, SURE, True, "at six"),
        ("adaptive", 0.1, UNSURE, True, "at six"),
        ("adaptive", 0.1, None, True, "at six"),
        ("always", 0.1, SURE, True, "at six"),
        ("always", 0.9, UNSURE, True, "at six"),
        ("never", 0.9, SURE, False, "At six."),
        ("never", 0.1, UNSURE, False, None),
        ("never", 0.9, None, False, None),
    ],
)
def test_what_is_done_with_documents(
    panel_of: MakePanel,
    index: SyncIndex,
    retrieve: Retrieve,
    need: float,
    draft: Draft | None,
    looks_up: bool,
    text: str | None,
) -> None:
    judge = ToldJudge(need=need, draft=draft, readings={"evening": GARDEN})

    answer = answer_of(told(panel_of(judge), index, retrieve=retrieve))

    assert (answer.retrieved, answer.text) == (looks_up, text)
    # The verdict is the gate's, whatever was done.
    assert (answer.decision.retrieve, answer.decision.probability) == (need > 0.5, need)
    assert bool(answer.passages) == bool(answer.readings) == looks_up
    assert answer.reason == (None if text else NOT_KNOWN)


@pytest.mark.parametrize("retrieve", ["adaptive", "always", "never"])
@pytest.mark.parametrize("need", [0.1, 0.9])
@pytest.mark.parametrize("draft", [SURE, UNSURE, None])
def test_without_documents_the_answer_is_from_memory_or_says_how_to_add_some(
    panel_of: MakePanel, retrieve: Retrieve, need: float, draft: Draft | None
) -> None:
    judge = ToldJudge(need=need, draft=draft)

    answer = answer_of(told(panel_of(judge), None, retrieve=retrieve))

    assert (answer.retrieved, answer.passages, answer.citations) == (False, (), ())
    assert answer.decision.retrieve == (need > 0.5)
    assert answer.text == ("At six." if draft is SURE else None)
    assert answer.abstained == (draft is not SURE)
    assert answer.reason == (None if draft is SURE else NO_DOCUMENTS)
    assert "avalan index add" in NO_DOCUMENTS
    assert "--docs" in NO_DOCUMENTS


@pytest.mark.parametrize(
    ("question", "looks_up"),
    [
        ("When are the beds watered?", True),
        ("When are the pool beds watered?", True),
        ("When are the beds weeded?", False),
        ("What are you?", False),
        ("dogs", False),
        ("Dogs?", True),
    ],
)
def test_memory_steps_back_where_a_sentence_has_all_words_of_the_question(
    panel_of: MakePanel, index: SyncIndex, question: str, looks_up: bool
) -> None:
    """A small model is sure of the captains of all ships; the documents know theirs."""
    judge = ToldJudge(need=0.1, draft=SURE, readings={"evening": GARDEN})
    answer = answer_of(list(ask(question, panel=panel_of(judge), index=index)))
    assert answer.retrieved == looks_up


def test_what_the_documents_mention_but_do_not_say_is_still_remembered(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    events = told(panel_of(ToldJudge(need=0.1, draft=SURE)), index)
    assert kinds(events)[:3] == [Decision, Drafted, Found]
    answer = answer_of(events)
    assert (answer.text, answer.citations, answer.retrieved) == ("At six.", (), True)


@pytest.mark.parametrize(("retrieve", "need"), [("adaptive", 0.9), ("always", 0.1)])
def test_what_was_to_be_looked_up_and_is_not_there_is_not_remembered_instead(
    panel_of: MakePanel, index: SyncIndex, retrieve: str, need: float
) -> None:
    """A small model has a number for every question; who needs a document is not told one."""
    judge = ToldJudge(need=need, draft=SURE)
    events = told(panel_of(judge), index, retrieve=retrieve)
    answer = answer_of(events)
    assert (answer.text, answer.retrieved, answer.citations) == (None, True, ())
    assert Drafted not in kinds(events)


def test_an_unconfident_draft_is_told_but_never_given(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    judge = ToldJudge(need=0.1, draft=UNSURE)

    events = told(panel_of(judge), index)

    assert events[1] == Drafted(text="At nine.", confidence=0.3, threshold=0.5, judge="told")
    assert (answer_of(events).text, answer_of(events).reason) == (None, NOT_THERE)


def test_the_memory_threshold_is_the_panels(panel_of: MakePanel, index: SyncIndex) -> None:
    judge = ToldJudge(need=0.1, draft=UNSURE)
    assert answer_of(told(panel_of(judge, memory=0.3), index)).text == "At nine."
    assert answer_of(told(panel_of(judge, memory=0.31), index)).text is None


@pytest.mark.parametrize(
    ("calibrated", "given_", "need", "looks_up"),
    [
        (0.5, None, 0.5, True),
        (0.5, None, 0.49, False),
        (0.2, None, 0.3, True),
        (0.2, 0.4, 0.3, False),
        (0.9, 0.0, 0.0, True),
        (0.1, 1.0, 0.99, False),
    ],
)
def test_the_look_up_threshold_is_calibrated_unless_given(
    panel_of: MakePanel,
    index: SyncIndex,
    calibrated: float,
    given_: float | None,
    need: float,
    looks_up: bool,
) -> None:
    judge = ToldJudge(need=need, draft=SURE)
    decision = told(panel_of(judge, need=calibrated), index, threshold=given_)[0]
    assert isinstance(decision, Decision)
    assert decision.retrieve == looks_up
    assert decision.threshold == (calibrated if given_ is None else given_)


# --- what is read and quoted --------------------------------------------------------------------


def test_the_most_confident_reading_wins(panel_of: MakePanel, index: SyncIndex) -> None:
    sure_of_the_pool = reading("Flower beds beside the pool: watered by nobody.", "nobody", 0.81)
    judge = ToldJudge(readings={"evening": GARDEN, "pool": sure_of_the_pool})
    assert answer_of(told(panel_of(judge), index)).text == "nobody"


def test_of_two_equal_readings_the_better_rank_wins(panel_of: MakePanel, index: SyncIndex) -> None:
    whole = Reading(relevance=0.5, span=(0, 10), confidence=0.7)
    answer = answer_of(told(panel_of(ToldJudge(readings={"": whole})), index))
    assert answer.text == answer.passages[0].text[:10]
    assert answer.text != answer.passages[1].text[:10]


@pytest.mark.parametrize(
    ("calibrated", "given_", "text"),
    [
        (0.5, None, "at six"),
        (0.8, None, "at six"),
        (0.81, None, None),
        (0.81, 0.7, "at six"),
        (0.2, 0.9, None),
    ],
)
def test_a_reading_counts_from_the_calibrated_or_the_given_confidence_on(
    panel_of: MakePanel, index: SyncIndex, calibrated: float, given_: float | None, text: str | None
) -> None:
    judge = ToldJudge(readings={"evening": GARDEN})
    events = told(panel_of(judge, reading=calibrated), index, min_confidence=given_)
    answer = answer_of(events)
    assert (answer.text, answer.reason) == (text, None if text else NOT_THERE)
    assert bool(answer.citations) == bool(text)


def test_a_confident_reading_that_quotes_nothing_is_no_answer(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    judge = ToldJudge(readings={"": Reading(relevance=1.0, span=None, confidence=1.0)})
    assert answer_of(told(panel_of(judge), index)).reason == NOT_THERE


def test_nothing_found_is_an_abstention(panel_of: MakePanel, index: SyncIndex) -> None:
    events = list(ask("Zeppelins?", panel=panel_of(ToldJudge()), index=index))
    assert kinds(events) == [Decision, Found, Answer]
    assert events[1] == Found(passages=(), num_read=0)
    assert (answer_of(events).reason, answer_of(events).retrieved) == (NOT_THERE, True)


@pytest.mark.parametrize(("top_k", "num_listed"), [(1, 10), (5, 10), (10, 10), (12, 12), (40, 15)])
def test_ten_or_top_k_passages_are_listed_and_top_k_are_read(
    panel_of: MakePanel, tmp_path: Path, top_k: int, num_listed: int
) -> None:
    for number in range(15):
        (tmp_path / f"{number}.txt").write_text(f"Note {number}: the beds. " + "More. " * number)
    judge = ToldJudge()
    with SyncIndex.temporary() as index:
        list(index.add([tmp_path]))
        events = told(panel_of(judge), index, top_k=top_k)

    answer = answer_of(events)
    assert len(answer.passages) == num_listed
    assert len(answer.readings) == judge.asked.count("read") == min(top_k, 15)
    read = [event for event in events if isinstance(event, Read)]
    assert [event.rank for event in read] == list(range(len(read)))
    assert [event.passage for event in read] == list(answer.passages[: len(read)])
    scores = [passage.score for passage in answer.passages]
    assert scores == sorted(scores, reverse=True)


# --- citations ----------------------------------------------------------------------------------

WORDS = st.sampled_from(["beds ", "naïve ", "数据 ", "🙂", "six. ", "\n\n", "\r\n", "# T\n", "\t"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(WORDS, max_size=30).map("".join),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    data=st.data(),
)
def test_a_citation_is_exactly_its_bytes_of_the_file(
    tmp_path: Path, panel_of: MakePanel, words: str, encoding: str, data: st.DataObject
) -> None:
    text = f"{words}The beds, watered."
    if encoding == "cp1252":
        text = text.encode("cp1252", "ignore").decode("cp1252")
    path = tmp_path / "notes.txt"
    path.write_bytes(text.encode(encoding))
    with SyncIndex.temporary() as index:
        list(index.add([path]))
        passage = index.search(QUESTION)[0]
        start = data.draw(st.integers(0, len(passage.text) - 1))
        span = (start, data.draw(st.integers(start + 1, len(passage.text))))
        judge = ToldJudge(
            readings={passage.text: Reading(relevance=1.0, span=span, confidence=0.9)}
        )
        answer = answer_of(told(panel_of(judge), index))

    (citation,) = answer.citations
    assert answer.text == citation.text == passage.text[slice(*span)]
    assert (citation.source, citation.offsets_in) == (str(path), "file")
    held = path.read_bytes()[citation.start : citation.end]
    plain = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
    assert held.decode(plain) == citation.text


def test_a_citation_of_a_page_counts_in_its_extracted_text(
    tmp_path: Path, panel_of: MakePanel
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<h1>Gärten</h1><p>The beds &amp; pots are watered at <b>six</b>.</p>")
    quote = Reading(relevance=1.0, span=None, confidence=0.9)

    class Quoting(ToldJudge):
        def read(self, question: str, passage: Passage) -> Reading:
            return reading(passage.text, "pots are watered at six", quote.confidence)

    with SyncIndex.temporary() as index:
        list(index.add([page]))
        answer = answer_of(told(panel_of(Quoting()), index))
        extracted = index.text(str(page)).encode()

    (citation,) = answer.citations
    assert citation.offsets_in == "extracted"
    assert extracted[citation.start : citation.end].decode() == citation.text
    assert citation.text == "pots are watered at six"


# --- grades, costs, checks ----------------------------------------------------------------------


def critic() -> ToldJudge:
    """A judge that grades what others quote."""
    return ToldJudge("critic", grade="partial", utility=3.2)


def test_a_quotation_without_grades_is_graded_by_others(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    grading, rules = critic(), ToldJudge("rules", readings={"pool": POOL})

    judges = (grading, grading, rules, rules, rules, grading)
    answer = answer_of(told(panel_of(*judges), index))

    assert (answer.text, answer.support, answer.utility) == ("nobody", "partial", 3)
    assert grading.asked[-2:] == [f"supports {QUESTION} nobody", "utility of nobody"]
    assert answer.timings["critique_s"] >= 0


@pytest.mark.parametrize(("by_critic", "support"), [(False, "full"), (True, "partial")])
def test_a_quotation_is_graded_by_the_judge_of_support(
    panel_of: MakePanel, index: SyncIndex, by_critic: bool, support: str
) -> None:
    grading, model = critic(), ToldJudge("model", readings={"evening": GARDEN})
    judges = (grading, grading, model, model, model, grading if by_critic else model)
    answer = answer_of(told(panel_of(*judges), index))
    assert (answer.support, answer.utility) == (support, 4)
    assert answer.graded_by == ("critic" if by_critic else "model")


def test_rules_that_judge_support_leave_it_open(panel_of: MakePanel, index: SyncIndex) -> None:
    grading, rules = critic(), ToldJudge("rules", readings={"pool": POOL})
    judges = (grading, grading, rules, rules, rules, rules)
    answer = answer_of(told(panel_of(*judges), index))
    assert (answer.text, answer.support, answer.graded_by) == ("nobody", None, "")


def test_rules_alone_give_no_grades(panel_of: MakePanel, index: SyncIndex) -> None:
    answer = answer_of(told(panel_of(ToldJudge("rules", readings={"pool": POOL})), index))
    assert (answer.text, answer.support, answer.utility) == ("nobody", None, None)
    assert (answer.graded_by, "critique_s" in answer.timings) == ("", False)


@pytest.mark.parametrize(
    ("said", "shown"),
    [("full", "full"), ("partial", "partial"), ("contradicted", "none"), ("none", "none")],
)
def test_the_judge_of_support_is_asked_about_question_and_answer(
    panel_of: MakePanel, index: SyncIndex, said: Grade, shown: str
) -> None:
    grading, reader = critic(), ToldJudge("reader", readings={"pool": POOL}, grade=said)
    judges = (grading, grading, reader, reader, reader, reader)
    answer = answer_of(told(panel_of(*judges), index))
    # Who only decides and remembers has no say about what others quote.
    assert (answer.support, answer.utility, answer.graded_by) == (shown, None, "reader")
    assert reader.asked[-1] == f"supports {answer.question} nobody"


def test_each_part_of_a_reading_comes_from_its_judge(panel_of: MakePanel, index: SyncIndex) -> None:
    def says(name: str, relevance: float, confidence: float, span: tuple[int, int]) -> ToldJudge:
        reading = Reading(relevance=relevance, span=span, confidence=confidence)
        return ToldJudge(name, readings={"pool": reading})

    gate = ToldJudge("rules")
    relevant, spans, sure = (
        says("a", 0.2, 0.3, (0, 2)), says("b", 0.4, 0.5, (0, 3)), says("c", 0.6, 0.7, (0, 4)),
    )  # fmt: skip
    panel = panel_of(gate, gate, relevant, spans, sure, gate)
    answer = answer_of(told(panel, index))
    (reading,) = [each for each in answer.readings if each.span]
    assert (reading.relevance, reading.span, reading.confidence) == (0.2, (0, 3), 0.7)
    assert panel.reading.name == "b+a+c"
    assert answer.usage.completion_tokens == sum(
        len(judge.asked) for judge in (gate, relevant, spans, sure)
    )


def test_each_part_is_judged_by_its_judge(panel_of: MakePanel, index: SyncIndex) -> None:
    judges = [
        ToldJudge("gate", need=0.1),
        ToldJudge("memory", draft=UNSURE),
        ToldJudge("reader", readings={"evening": GARDEN}),
    ]
    events = told(panel_of(*judges), index)
    assert [event.judge for event in events if hasattr(event, "judge")] == [
        "gate",
        "memory",
        "reader",
        "reader",
    ]
    assert [set(judge.asked) for judge in judges] == [{"need"}, {"remember"}, {"read"}]


def test_usage_is_what_this_question_cost(panel_of: MakePanel, index: SyncIndex) -> None:
    judge = ToldJudge(readings={"evening": GARDEN})
    panel = panel_of(judge)
    told(panel, index)

    usage = answer_of(told(panel, index)).usage

    # Three calls (one decision, two passages), five words each.
    assert (usage.prompt_tokens, usage.completion_tokens) == (15, 3)


def test_timings_are_seconds_of_each_step_and_of_all(panel_of: MakePanel, index: SyncIndex) -> None:
    before = perf_counter()
    answer = answer_of(told(panel_of(ToldJudge(readings={"evening": GARDEN})), index))
    passed = perf_counter() - before
    steps = {"decision_s", "search_s", "reading_s"}
    assert set(answer.timings) == steps | {"total_s"}
    total = answer.timings["total_s"]
    assert 0 <= sum(answer.timings[step] for step in steps) <= total <= passed
    from_memory = answer_of(told(panel_of(ToldJudge(need=0.0, draft=SURE)), None))
    assert set(from_memory.timings) == {"decision_s", "memory_s", "total_s"}


def test_a_question_is_asked_without_the_space_around_it(panel_of: MakePanel) -> None:
    events = list(ask("  Why? \n", panel=panel_of(ToldJudge()), index=None))
    assert answer_of(events).question == "Why?"


@pytest.mark.parametrize(
    ("question", "settings_", "sentence"),
    [
        (" \n", {}, "The question is empty"),
        ("?", {"threshold": 7.0}, "--threshold is 7, but a probability lies between 0 and 1"),
        ("?", {"threshold": float("nan")}, "--threshold is nan"),
        ("?", {"min_confidence": -0.1}, "--min-confidence is -0.1"),
        ("?", {"top_k": 0}, "--top-k is 0, but at least 1"),
        ("?", {"beams": 0}, "--beams is 0, but at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_done(
    panel_of: MakePanel, question: str, settings_: dict[str, float], sentence: str
) -> None:
    judge = ToldJudge()
    with pytest.raises(ConfigurationError, match=sentence):
        ask(question, panel=panel_of(judge), index=None, settings=AskSettings(**settings_))  # type: ignore[arg-type]
    assert not judge.asked
