"""The questions on Python's reference: well-formed, and answered where they say."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from avalan.cli.demonstration import topics

FILES = sorted((Path(__file__).parents[1] / "data" / "python").glob("*.questions.jsonl"))
QUESTIONS: list[dict[str, Any]] = [
    json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()
]


def folded(text: str) -> str:
    return " ".join(text.split())


def test_there_are_enough_of_each_kind() -> None:
    test = [each for each in QUESTIONS if each["split"] == "test"]
    assert len(test) >= 300
    assert Counter(each["kind"] for each in test)["hard"] >= 100
    assert {each["split"] for each in QUESTIONS} == {"validation", "test"}


def test_no_question_stands_twice() -> None:
    assert len({each["id"] for each in QUESTIONS}) == len(QUESTIONS)
    assert len({folded(each["question"]).lower() for each in QUESTIONS}) == len(QUESTIONS)


def test_a_page_s_questions_are_all_of_one_split() -> None:
    splits: dict[str, set[str]] = {}
    for each in QUESTIONS:
        splits.setdefault(each["document"], set()).add(each["split"])
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="they quote the pages of Python 3.11")
def test_every_answer_stands_in_its_page_and_in_those_that_repeat_it() -> None:
    pages = {name: folded(text) for name, text in topics().items()}
    for each in QUESTIONS:
        assert each["answer"] in topics()[each["document"]], each["id"]
        answer = folded(each["answer"])
        repeating = {name for name, text in pages.items() if answer in text}
        assert repeating <= {each["document"], *each["also"]}, each["id"]
