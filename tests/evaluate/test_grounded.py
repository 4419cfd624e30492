"""The task grounded-qa: the loop itself, over files in a temporary index."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avalan.evaluate.grounded import (
    FEW_WORDS,
    MAX_WORDS,
    Answered,
    answer,
    holds,
    indexed,
    is_real,
    score,
    summarise,
    tells,
)
from avalan.reflection.events import Citation
from avalan.reflection.panel import open_panel


def answered(stage: Any, panel: Any) -> list[Answered]:
    with indexed(stage.questions) as index:
        return list(answer(panel, index, stage.questions.questions, top_k=5))


def value(stage: Any, outcomes: list[Answered], figure: str) -> float | None:
    found = summarise(stage.questions.questions, outcomes)[figure]
    return found and found.value


def test_an_oracle_is_right_on_every_question(stage: Any) -> None:
    outcomes = answered(stage, stage.panel(stage.judge(stage.oracle)))
    assert [each.answer for each in outcomes] == ["two minutes", "four crowns", None]
    assert [each.score for each in outcomes] == [1.0, 1.0, 1.0]
    ones = ("exact match", "token F1", "rejection", "abstain prec.", "citation real", "recall")
    assert {name: value(stage, outcomes, name) for name in ones} == dict.fromkeys(ones, 1.0)
    assert value(stage, outcomes, "over-refusal") == 0.0
    assert value(stage, outcomes, "right page") == 1.0


def test_citations_and_selection_by_hand(stage: Any) -> None:
    """Of three answers the first two quote a page that answers, the last one an empty promise."""
    outcomes = answered(stage, stage.panel(stage.judge(stage.everything)))
    assert value(stage, outcomes, "cite precision") == pytest.approx(2 / 3)
    assert value(stage, outcomes, "cite recall") == 1.0
    # All are equally confident, so one of three is wrong at every coverage.
    assert value(stage, outcomes, "AURC") == pytest.approx(1 / 3)
    assert value(stage, outcomes, "cover at 90%") == 0.0
    told = [replace(each, confidence=0.9 - i / 10) for i, each in enumerate(outcomes)]
    assert value(stage, told, "AURC") == pytest.approx((0 + 0 + 1 / 3) / 3)
    assert value(stage, told, "cover at 90%") == pytest.approx(2 / 3)


def test_a_silent_judge_scores_only_where_silence_is_right(stage: Any) -> None:
    outcomes = answered(stage, stage.panel(stage.judge()))
    assert [each.score for each in outcomes] == [0.0, 0.0, 1.0]
    assert value(stage, outcomes, "score") == pytest.approx(1 / 3)
    assert value(stage, outcomes, "over-refusal") == 1.0
    assert value(stage, outcomes, "rejection") == 1.0
    assert value(stage, outcomes, "abstain prec.") == pytest.approx(1 / 3)
    assert value(stage, outcomes, "citation real") is None
    assert value(stage, outcomes, "recall") == 1.0


def test_a_judge_that_quotes_whatever_comes_first_is_graded_by_each_figure(stage: Any) -> None:
    outcomes = answered(stage, stage.panel(stage.judge(stage.everything)))
    assert [each.score for each in outcomes] == [1.0, 1.0, 0.0]
    assert value(stage, outcomes, "containment") == 1.0
    assert value(stage, outcomes, "exact match") == 0.0
    # Two words of 12 ("Tea Green tea …", without the dash) and two of ten ("The" is dropped).
    expected = (2 / (1 + 12 / 2) + 2 / (1 + 9 / 2)) / 2
    assert value(stage, outcomes, "token F1") == pytest.approx(expected)
    assert value(stage, outcomes, "rejection") == 0.0


def test_an_answer_below_the_panels_threshold_is_an_abstention(stage: Any) -> None:
    judge = stage.judge(stage.oracle, confidence=0.4)
    outcomes = answered(stage, stage.panel(judge, reading=0.5))
    assert [each.answer for each in outcomes] == [None, None, None]


def test_what_is_said_without_reserve_is_graded_with_its_sentence(stage: Any) -> None:
    outcomes = answered(stage, stage.panel(stage.judge(stage.everything, confidence=0.6), sure=0.6))
    assert value(stage, outcomes, "sure") == 1.0
    # All three are answered, and one has no answer.
    assert value(stage, outcomes, "right if sure") == pytest.approx(2 / 3)
    outcomes = answered(stage, stage.panel(stage.judge(stage.everything, confidence=0.6), sure=0.7))
    assert value(stage, outcomes, "sure") == 0.0
    assert value(stage, outcomes, "right if sure") is None


def test_a_sentence_tells_what_its_quotation_leaves_out(stage: Any) -> None:
    question = stage.questions.questions[0]
    assert tells(question, "/x/" + question.page, "minutes", "It takes two minutes.")
    assert not tells(question, "/x/" + question.page, "minutes", "It takes three minutes.")
    assert not tells(question, "/x/other.txt", "two minutes")
    assert not tells(question, "/x/" + question.page, "two minutes " + "and more " * MAX_WORDS)
    assert not tells(stage.questions.questions[2], "/x/" + question.page, "two minutes")


def test_a_right_answer_of_more_than_25_words_is_not_counted_as_short(stage: Any) -> None:
    first, second, third = answered(stage, stage.panel(stage.judge(stage.oracle)))
    assert value(stage, [first, second, third], "in 25 words") == 1.0
    at_length = " ".join(["word"] * (FEW_WORDS - 2) + ["two minutes"])
    for text, share in ((at_length, 1.0), (f"one {at_length}", 0.5)):
        outcomes = [replace(first, answer=text), second, third]
        assert value(stage, outcomes, "in 25 words") == share


def test_a_right_answer_that_is_too_long_scores_nothing(stage: Any) -> None:
    question = stage.questions.questions[0]
    exactly = " ".join(["word"] * (MAX_WORDS - 2) + ["two minutes"])
    assert score(question, exactly) == 1.0
    assert score(question, f"one {exactly}") == 0.0


def test_a_citation_is_real_only_if_its_bytes_are_the_answer(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_bytes("Été: two minutes.".encode())
    start = len("Été: ".encode())
    citation = Citation(
        source=str(page), start=start, end=start + 11, text="two minutes", offsets_in="file"
    )
    assert is_real(citation, "two minutes")
    assert not is_real(citation, "four crowns")
    assert not is_real(replace(citation, start=start - 1), "two minutes")
    assert not is_real(replace(citation, text="two minute"), "two minute")


def test_the_right_passage_is_on_the_right_page_and_holds_the_answer(stage: Any) -> None:
    question = stage.questions.questions[0]
    with indexed(stage.questions) as index:
        tea, boat = (index.search(words)[0] for words in ("tea", "boat"))
    assert holds(tea, question)
    assert not holds(boat, question)
    assert not holds(tea, replace(question, answers=("three minutes",)))
    assert not holds(tea, replace(question, page="boat.txt"))


def test_the_pages_are_gone_with_the_index(stage: Any) -> None:
    with indexed(stage.questions) as index:
        sources = [Path(document.source) for document in index.documents()]
        assert all(source.is_file() for source in sources)
    assert len(sources) == 2
    assert not any(source.exists() for source in sources)


def test_the_rules_take_the_same_way(stage: Any) -> None:
    with open_panel("rules") as panel:
        outcomes = answered(stage, panel)
    assert all(each.citation_real in (True, None) for each in outcomes)
    assert any(each.answer for each in outcomes)
