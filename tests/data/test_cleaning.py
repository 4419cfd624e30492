"""What a data set leaves out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from avalan.data.cleaning import RUN, Cleaner, key, runs, texts_of_tests
from avalan.errors import ConfigurationError
from avalan.model.entities import Message
from avalan.reflection.record import Record, RecordPassage, Segment

WORDS = "the keeper of the north light rows out each evening at six with his oil and bread"


def record(question: str, *, text: str = "", kind: str = "reading", name: str = "r") -> Record:
    passages = (RecordPassage(pid="p", text=text, relevant=True),) if text else ()
    return Record(
        id=name,
        messages=(Message(role="user", content=question),),
        segments=(Segment(decision="retrieve", passages=passages),),
        source={"kind": kind},
    )


def test_the_same_again_is_left_out_whatever_its_case_and_spaces() -> None:
    cleaner = Cleaner()
    assert cleaner.reason(record("When does it open?")) is None
    assert cleaner.reason(record("when  does it OPEN?")) == "repeated"
    assert cleaner.reason(record("When does it close?")) is None
    # Another page makes another record of the same question.
    assert cleaner.reason(record("When does it open?", text="At nine.")) is None


def test_a_key_tells_where_texts_begin() -> None:
    assert key(record("ab", text="c")) != key(record("a", text="bc"))


def test_a_run_of_words_that_a_test_has_is_left_out() -> None:
    words = WORDS.split()
    assert len(words) > RUN
    cleaner = Cleaner([f"Somebody wrote: {WORDS}."])
    inside = " ".join(words[1 : 1 + RUN])
    assert cleaner.reason(record("Who?", text=f"Once {inside.upper()}, so they say.")) == "tested"
    shorter = " ".join(words[1:RUN])
    assert cleaner.reason(record("Who?", text=f"Once {shorter} again.")) is None


def test_a_short_question_of_a_test_is_left_out_whole() -> None:
    question = "Which of the two mills has the older wheel?"
    cleaner = Cleaner([question])
    assert cleaner.reason(record(question.lower())) == "tested"
    assert cleaner.reason(record(f"{question} And why?")) is None
    # What is too short is asked by everybody.
    assert not list(runs("What is the capital of France?"))


def test_nearly_the_same_is_left_out_of_what_was_written() -> None:
    one = "Which ferry leaves the harbour of Garvel on a Sunday in the winter timetable?"
    two = "Which ferry leaves the harbour of Garvel on a Sunday in the winter timetables?"
    other = "How many sacks of flour may a member of the co-operative carry home at once?"
    cleaner = Cleaner()
    written = [
        cleaner.reason(record(text, kind="textbook", name=text)) for text in (one, two, other)
    ]
    assert written == [None, "alike", None]
    # Programs' records always look alike.
    assert cleaner.reason(record(two, kind="reading")) is None


def test_what_is_left_out_is_not_remembered() -> None:
    cleaner = Cleaner([WORDS])
    bad = record("Who?", text=WORDS)
    assert cleaner.reason(bad) == "tested"
    assert cleaner.reason(bad) == "tested"
    assert cleaner.reason(replace(bad, segments=(Segment(decision="none"),))) is None


def test_tests_are_json_lines_or_plain_text(tmp_path: Path) -> None:
    row = {"question": "Who?", "prompt": "When?", "text": "Page.", "answers": ["no"], "id": 3}
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jsonl").write_text(json.dumps(row) + "\n\nnot json\n")
    (tmp_path / "b.txt").write_text("one line\nanother\n")
    assert set(texts_of_tests([tmp_path])) == {"Who?", "When?", "Page.", "not json"}
    assert list(texts_of_tests([tmp_path / "b.txt"])) == ["one line", "another"]


def test_tests_that_are_not_there_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(texts_of_tests([tmp_path / "none.jsonl"]))
    with pytest.raises(ConfigurationError, match=r"no \*\.jsonl"):
        list(texts_of_tests([tmp_path]))
