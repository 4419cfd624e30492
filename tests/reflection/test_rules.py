"""The baseline: its gate, its BM25, and what it quotes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.calibrate import Calibrator
from avalan.reflection.rules import (
    RulesJudge,
    bm25,
    coverage,
    is_worked_out,
    quotable,
    retrieval_rule,
    sentence_of,
)
from avalan.retrieval.entities import Passage


def passage(text: str, *, heading: str = "", score: float = 2.0) -> Passage:
    end = len(text.encode())
    return Passage(
        source="/a.md",
        start=0,
        end=end,
        text=text,
        heading=heading,
        lexical=score,
        offsets_in="file",
    )


@pytest.mark.parametrize(
    ("question", "worked_out"),
    [
        ("What is 12 * 7 - 3?", True),
        ("how many minutes are there in a week", True),
        ("Write a Python function that sorts names", True),
        ("Please fix this code: def f(x): return x", True),
        ("SELECT name FROM users: what does it do?", True),
        ("What does clause 3 say about rent?", False),
        ("Who may use the function room?", False),
        ("What is the dress code at the gala?", False),
    ],
)
def test_sums_and_programs_are_worked_out(question: str, *, worked_out: bool) -> None:
    assert is_worked_out(question) is worked_out


@pytest.mark.parametrize(
    "question",
    [
        "What is the weather in Oslo today?",
        "What does our policy say about refunds?",
        "Who holds the record now, according to the handbook?",
    ],
)
def test_what_changes_is_private_or_must_be_cited_is_looked_up(question: str) -> None:
    assert retrieval_rule(question) > 0.5


@pytest.mark.parametrize(
    "question",
    ["What is 12 * 7?", "write a haiku about rain", "What is a metaphor?", "hello there"],
)
def test_tasks_sums_and_common_knowledge_are_not(question: str) -> None:
    assert retrieval_rule(question) < 0.5


def test_without_a_cue_the_rule_does_not_know() -> None:
    assert retrieval_rule("when are the beds watered?") == 0.5


def test_bm25_by_hand() -> None:
    """Two documents of 2 and 4 words; "tea" is in both, "hot" in the second."""
    scores = bm25(["tea", "hot"], [["tea", "cold"], ["tea", "hot", "tea", "pot"]])

    common, rare = math.log(1 + 0.5 / 2.5), math.log(1 + 1.5 / 1.5)
    short, long = 1.2 * (0.25 + 0.75 * 2 / 3), 1.2 * (0.25 + 0.75 * 4 / 3)
    assert scores[0] == pytest.approx(common * 2.2 / (1 + short))
    assert scores[1] == pytest.approx(common * 2 * 2.2 / (2 + long) + rare * 2.2 / (1 + long))


def test_bm25_of_nothing() -> None:
    assert bm25(["tea"], []) == []
    assert bm25(["tea"], [[], []]) == [0, 0]


def quoted(question: str, text: str, **fields: object) -> str | None:
    reading = RulesJudge().read(question, passage(text, **fields))  # type: ignore[arg-type]
    return None if reading.span is None else text[slice(*reading.span)]


def test_the_sentence_that_shares_most_is_quoted() -> None:
    text = "The greenhouse opens at seven. The beds are watered at six. Dogs stay outside."
    assert quoted("When are the beds watered?", text) == "The beds are watered at six."
    assert quoted("Where do lions sleep?", text) is None


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        (
            "What does a pass statement do?",
            'The "pass" statement\n****\n\n  pass_stmt ::= "pass"\n\n"pass" does nothing at all.\n',
            '"pass" does nothing at all.',
        ),
        ("When is the tea ready?", "# The tea\n\nTea is ready at six.\n", "Tea is ready at six."),
        ("When is the tea ready?", "# The tea\nTea is ready at six.\n", "Tea is ready at six."),
        ("When is tea?", "Tea\n===\nIt is six at tea.", "It is six at tea."),
        ("Are dogs allowed?", "Dogs:\n\n- Dogs stay outside.\n- No cats.", "Dogs stay outside."),
        (
            "What is spam?",
            "spam_stmt: spam\n\nThe spam statement does nothing.",
            "The spam statement does nothing.",
        ),
        ("What is spam?", "Spam spam\n\nThis is what spam is.", "This is what spam is."),
    ],
)
def test_headings_grammar_and_labels_are_not_quoted_where_there_is_a_sentence(
    question: str, text: str, expected: str
) -> None:
    assert quoted(question, text) == expected


def test_where_there_is_no_sentence_the_rest_may_be_quoted() -> None:
    assert quoted("What is the code?", "Code\n====\n\nThe code 4711\n") == "The code 4711"
    assert quoted("What is the code?", "code 4711") == "code 4711"


PIECES = st.sampled_from(["# T\n", "T\n===\n", "- ", "Words in a row. ", "\n\n", "a_b: c\n"])


@given(st.lists(PIECES).map("".join))
def test_what_can_be_quoted_lies_in_the_text_in_order(text: str) -> None:
    spans = quotable(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert bool(spans) == bool(text.strip())


def test_the_features_are_shares_of_the_questions_words() -> None:
    text = "The beds are watered at six. The key is in the shed."
    question = "Where is the shed key kept at six?"
    reading = RulesJudge().read(question, passage(text, heading="Keeping"))
    # The last sentence has shed and key; six stands before it, kept nowhere ("keep" is no "kept").
    assert reading.features["sentence_coverage"] == pytest.approx(2 / 4)
    assert reading.features["passage_coverage"] == pytest.approx(3 / 4)
    assert reading.features["passage_bm25"] == 2.0
    assert reading.relevance == reading.features["passage_coverage"]
    assert reading.confidence == reading.features["sentence_coverage"]


def test_headings_count_as_context_and_endings_do_not_matter() -> None:
    reading = RulesJudge().read(
        "When are roses watered?", passage("We water at six.", heading="Rose bed")
    )
    assert reading.features["sentence_coverage"] == 1.0


def test_a_calibrator_turns_the_features_into_the_confidence() -> None:
    judge = RulesJudge(reading=Calibrator(weights={"sentence_coverage": 2.0}, bias=-1.0))
    reading = judge.read("Dogs?", passage("Dogs stay outside."))
    assert reading.confidence == pytest.approx(1 / (1 + math.exp(-1)))


def test_rules_have_no_memory_and_cost_no_tokens() -> None:
    assert RulesJudge().remember("What is 2 + 2?") is None
    assert RulesJudge().usage().prompt_tokens == 0


def test_a_sentence_is_quoted_without_the_heading_above_it() -> None:
    text = "# Beds\nThe beds are watered at six. Dogs stay outside."
    assert text[slice(*sentence_of(text, (17, 24)))] == "The beds are watered at six."
    # Who points at the heading itself gets it.
    assert text[slice(*sentence_of(text, (2, 6)))] == "Beds\nThe beds are watered at six."
    assert text[slice(*sentence_of(text, (20, 41)))] == text[7:]


def test_coverage_is_the_share_of_the_questions_words_in_sentence_and_heading() -> None:
    sentence = "The beds are watered at six."
    assert coverage("When are the old beds watered?", sentence, "") == pytest.approx(2 / 3)
    assert coverage("garden beds", sentence, "The garden") == 1
    assert coverage("", sentence, "") == 0
