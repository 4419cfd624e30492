"""The record: what it holds, what it refuses, how it travels."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.model.entities import Message
from avalan.reflection.record import (
    SCHEMA,
    LossWeights,
    Record,
    RecordPassage,
    Segment,
    from_json,
    to_json,
)

PASSAGE = RecordPassage(pid="p1", text="The beds are watered at six.", relevant=True)


def record(*segments: Segment, **fields: Any) -> Record:
    question = Message(role="user", content="When?")
    return Record(id="r1", messages=(question,), segments=segments, **fields)


@pytest.mark.parametrize(
    ("segments", "fields", "problem"),
    [
        ([], {}, "it has no segments"),
        ([Segment(decision="none")], {"utility": 0}, "utility is 0, not 1 to 5"),
        ([Segment(decision="none")], {"utility": 6}, "utility is 6, not 1 to 5"),
        ([Segment(decision="look")], {}, "the decision 'look' is not one of"),  # type: ignore[arg-type]
        ([Segment(decision="none", support="full")], {}, "support but no passages"),
        (
            [Segment(decision="retrieve", passages=(PASSAGE,), cite=("p1", "p2"))],
            {},
            r"cites \['p2'\], which it was not shown",
        ),
        (
            [Segment(decision="retrieve", passages=(PASSAGE,), text="six.", span=(24, 27))],
            {},
            "a span does not hold the text",
        ),
        ([Segment(decision="none", text="six", span=(0, 3))], {}, "a span does not hold the text"),
    ],
)
def test_a_broken_record_says_what_is_wrong(
    segments: list[Segment], fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        record(*segments, **fields)


def test_a_span_holds_exactly_its_text() -> None:
    segment = Segment(decision="retrieve", passages=(PASSAGE,), text="six", span=(24, 27))
    assert record(segment).segments == (segment,)


TEXTS = st.text(max_size=12)
PASSAGES = st.builds(
    RecordPassage, pid=st.sampled_from(["a", "b"]), text=TEXTS, title=TEXTS, relevant=st.booleans()
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    passages = tuple(draw(st.lists(PASSAGES, max_size=2)))
    span, text = None, draw(st.none() | TEXTS)
    if passages and draw(st.booleans()):
        last = passages[-1].text
        start = draw(st.integers(0, len(last)))
        span = (start, draw(st.integers(start, len(last))))
        text = last[slice(*span)]
    return Segment(
        decision=draw(st.sampled_from(["retrieve", "none", "continue"])),  # type: ignore[arg-type]
        passages=passages,
        text=text,
        support=draw(st.sampled_from([None, "full", "partial", "none"])) if passages else None,
        cite=tuple(draw(st.sets(st.sampled_from([p.pid for p in passages])))) if passages else (),
        span=span,
    )


RECORDS = st.builds(
    Record,
    id=TEXTS,
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user"]), content=TEXTS),
        min_size=1,
        max_size=2,
    ).map(tuple),
    segments=st.lists(segments(), min_size=1, max_size=3).map(tuple),
    utility=st.none() | st.integers(1, 5),
    answers=st.lists(TEXTS, max_size=2).map(tuple),
    split=st.sampled_from(["train", "validation", "test"]),
    source=st.dictionaries(TEXTS, TEXTS, max_size=2),
    loss=st.builds(LossWeights, reflection=st.floats(0, 2), text=st.floats(0, 2)),
)


@given(RECORDS)
def test_a_record_survives_json(each: Record) -> None:
    assert from_json(json.loads(json.dumps(to_json(each)))) == each


def test_json_says_its_schema() -> None:
    assert to_json(record(Segment(decision="none")))["schema"] == SCHEMA == "selfref/1"


def changed(**changes: Any) -> dict[str, Any]:
    return {**to_json(record(Segment(decision="none"))), **changes}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (changed(schema="selfref/2"), "schema 'selfref/2'; 'selfref/1' is read here"),
        (changed(colour="red"), "'r1' breaks selfref/1.*colour"),
        ({"schema": SCHEMA, "id": "r1"}, "'r1' breaks selfref/1: 'segments'"),
        ({"schema": SCHEMA, "segments": []}, "'without id' breaks"),
        (changed(segments=[{"decision": "none", "mood": 1}]), "mood"),
        (changed(segments=[{"decision": "none", "support": "full"}]), "support but no passages"),
    ],
)
def test_broken_json_says_what_is_wrong(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        from_json(values)
