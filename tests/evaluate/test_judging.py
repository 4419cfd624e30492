"""What a judge makes of the textbook, part by part: values by hand."""

from dataclasses import replace
from typing import Any

import pytest

from avalan.evaluate.judging import as_passage, pointed, upheld
from avalan.reflection.matching import normalise


def test_each_question_is_read_beside_its_page_and_beside_a_stranger(stage: Any) -> None:
    found = list(pointed(stage.judge(stage.oracle), stage.book))
    assert [each.own for each in found] == [True, False] * 3
    assert [each.answerable for each in found] == [True, False, True, False, False, False]
    assert [each.f1 for each in found] == [1, 0, 1, 0, 0, 0]
    assert [each.exact for each in found] == [1, 0, 1, 0, 0, 0]
    assert found[0].group == "tea.md"


def test_a_page_that_is_quoted_whole_is_half_right(stage: Any) -> None:
    own = next(iter(pointed(stage.judge(stage.everything), stage.book)))
    num_words = len(normalise(stage.book.pages[0].text).split())
    # Both words of "two minutes" are there: recall 1, precision 2 / num_words.
    assert own.f1 == pytest.approx(2 * 2 / (2 + num_words))
    assert own.exact == 0


def test_claims_are_graded_as_the_judge_says(stage: Any) -> None:
    found = list(upheld(stage.judge(), stage.book))
    assert [(each.grade, each.said) for each in found] == [(0, 0), (3, 3)]


def test_a_page_is_a_passage_below_its_title(stage: Any) -> None:
    passage = as_passage(replace(stage.book.pages[0], title="Brewing"))
    assert passage.heading == "Brewing"
    assert passage.text == stage.book.pages[0].text
    assert passage.locate(0, 4) == (0, 4)
