"""Records from a file of JSON lines: read by split, and a broken line is named."""

import json
from pathlib import Path
from random import Random

import pytest

from avalan.data.mixture import one
from avalan.data.record_files import read_records
from avalan.errors import ConfigurationError
from avalan.reflection.record import to_json


def line(number: int, split: str = "train") -> str:
    made = one("decisions", Random(number), "train", identifier=f"r{number}", split="train")
    return json.dumps(to_json(made) | {"split": split})


def test_the_records_of_one_split_come_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join([line(1), line(2, "test"), "", line(3)]) + "\n")
    assert [record.id for record in read_records(path, "train")] == ["r1", "r3"]
    assert [record.id for record in read_records(path, "test")] == ["r2"]


def changed(**fields: object) -> str:
    """A record as a line of JSON, with some fields otherwise."""
    return json.dumps({**json.loads(line(1)), **fields})


def segment(**fields: object) -> str:
    passage = {"pid": "p", "text": "some text", "relevant": True}
    return changed(
        segments=[{"decision": "retrieve", "text": "some", "passages": [passage], **fields}]
    )


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{", "it is no JSON (Expecting property name"),
        ("[" * 100_000, "it is no JSON"),
        ("[1]", "no JSON object"),
        ('{"schema": "other/1"}', "schema 'other/1'"),
        ('{"schema": "selfref/1", "id": "x", "messages": []}', "'segments'"),
        ('{"schema": "selfref/1", "messages": "hi"}', "its field 'messages' is 'hi'"),
        (
            '{"schema": "selfref/1", "segments": ["hi"]}',
            "'segments' is ['hi'], but it must be a list of objects",
        ),
        (changed(messages=[]), "it has no messages"),
        (changed(messages=[{"role": "user", "content": 5}]), "'messages[0].content' is 5"),
        (changed(split="dev"), "the split 'dev' is not one of train, validation, test"),
        (changed(loss={"text": "x"}), "'loss.text' is 'x', but it must be a number"),
        (changed(answers=[3]), "'answers' is [3], but it must be a list of texts"),
        (changed(utility=True), "'utility' is True, but it must be a whole number"),
        (changed(utility=None, segments=[{"decision": "plain"}]), "a plain segment has no text"),
        (segment(span=[]), "'segments[0].span' is [], but it must be two whole numbers"),
        (segment(support="maybe"), "the support 'maybe' is not one of"),
        (segment(passages=[{"pid": "p", "text": "t", "relevant": "no"}]), "true or false"),
        (segment(text=7), "'segments[0].text' is 7, but it must be a text"),
    ],
)
def test_a_line_that_is_no_record_is_named_with_its_field(
    tmp_path: Path, broken: str, reason: str
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(f"{line(1)}\n{broken}\n")
    with pytest.raises(ConfigurationError, match=r"Line 2 of .*records.jsonl is no record") as told:
        list(read_records(path, "train"))
    assert reason in str(told.value)


def test_a_place_without_records_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There are no records at"):
        list(read_records(tmp_path / "absent.jsonl", "train"))


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        list(read_records(path, "train"))
