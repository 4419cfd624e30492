"""Reading records: what they ask, what they show, what an honest reader says, in which shares."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data import worlds
from avalan.data.reading import (
    ABSTENTION,
    reading_record,
    sentences_record,
    simple_reading_record,
)
from avalan.data.worlds import Level, Relation, WorldPassage
from avalan.reflection.record import LossWeights, Record

SEEDS = st.integers(0, 2**32 - 1)
LEVELS: tuple[Level, ...] = ("train", "G0", "G1", "G2")
EITHER = pytest.mark.parametrize("simple", [False, True], ids=["any", "simple"])
RECORDS = [
    reading_record(Random(seed), "train", identifier=str(seed), split="train")
    for seed in range(1500)
]


def made(seed: int, level: Level, *, simple: bool = False) -> tuple[WorldPassage, Record]:
    """A record, and the passage that it is about: its first draws."""
    make = simple_reading_record if simple else reading_record
    page = (worlds.simple_passage if simple else worlds.passage)(Random(seed), level)
    return page, make(Random(seed), level, identifier="x", split="train")


TEMPLATES: dict[str, list[Relation]] = {}
for domain in worlds.domains():
    for relation in domain.relations:
        for template in relation.questions:
            TEMPLATES.setdefault(template, []).append(relation)


def asked(record: Record, page: WorldPassage) -> set[tuple[str, str]]:
    """Relations and subjects that an unchanged question asks for; empty if noise changed it."""
    question = record.messages[-1].content
    found = set()
    for name in {fact.subject for fact in page.facts}:
        for spelling in (name, name[:1].upper() + name[1:]):
            template = question.replace(spelling, "{s}")
            found |= {(relation.name, name) for relation in TEMPLATES.get(template, ())}
    return found


def stated(page: WorldPassage) -> set[tuple[str, str]]:
    return {(fact.relation.name, fact.subject) for fact in page.facts}


# --- what is said ---------------------------------------------------------------------------------


@EITHER
@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_an_answer_is_a_span_of_the_last_passage_and_is_cited(
    seed: int, level: Level, simple: bool
) -> None:
    page, record = made(seed, level, simple=simple)
    (segment,) = record.segments
    if segment.support is None:
        return
    last = segment.passages[-1]
    assert segment.span is not None
    assert last.text[slice(*segment.span)] == segment.text
    assert last.text == page.text
    assert last.relevant
    assert segment.cite == (last.pid,)
    assert not any(passage.relevant for passage in segment.passages[:-1])


@EITHER
@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_a_right_answer_is_a_fact_of_the_passage(seed: int, level: Level, simple: bool) -> None:
    page, record = made(seed, level, simple=simple)
    (segment,) = record.segments
    if segment.support in ("full", "partial"):
        spans = {fact.span for fact in page.facts} | {fact.sentence for fact in page.facts}
        assert segment.span in spans
        assert record.answers == (segment.text,)


@EITHER
@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_what_is_not_answered_is_not_in_the_passage(seed: int, level: Level, simple: bool) -> None:
    page, record = made(seed, level, simple=simple)
    (segment,) = record.segments
    if segment.support is None:
        assert segment.text == ABSTENTION
        assert record.answers == ()
        assert not any(passage.relevant for passage in segment.passages)
        assert not asked(record, page) & stated(page)
    elif segment.support == "full" and (candidates := asked(record, page)):
        assert candidates & stated(page)


def test_the_check_above_recognises_most_questions() -> None:
    seen = [made(seed, "train") for seed in range(200)]
    unanswered = [pair for pair in seen if pair[1].segments[0].support is None]
    assert sum(bool(asked(record, page)) for page, record in unanswered) > len(unanswered) / 4


def test_a_wrong_answer_is_judged_and_not_taught() -> None:
    wrong = [record for record in RECORDS if record.segments[0].support == "none"]
    assert wrong
    for record in wrong:
        assert record.loss == LossWeights(text=0.0)
        assert record.utility == 1
        assert record.segments[0].text not in record.answers
    assert all(
        record.loss == LossWeights() for record in RECORDS if record.segments[0].support != "none"
    )


def test_utility_follows_the_rule() -> None:
    pairs = {(record.segments[0].support, record.utility) for record in RECORDS}
    assert pairs == {("full", 5), ("partial", 3), ("none", 1), (None, 2), (None, 1)}


def test_simple_reading_is_one_short_passage_without_noise() -> None:
    for seed in range(300):
        page, record = made(seed, "train", simple=True)
        (passage,) = record.segments[0].passages
        assert len(page.facts) <= 4
        # Everything that it says is a statement.
        gaps = passage.text
        for fact in page.facts:
            gaps = gaps.replace(passage.text[slice(*fact.sentence)], "", 1)
        assert gaps.strip() == ""


# --- shares ---------------------------------------------------------------------------------------


@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_each_sentence_is_decided_upon_and_stands_in_a_page_shown(seed: int, level: Level) -> None:
    record = sentences_record(Random(seed), level, identifier="x", split="train")
    assert 2 <= len(record.segments) == len(record.answers) <= 4
    page = ""
    said = [segment.text or "" for segment in record.segments]
    assert "".join(said) == " ".join(record.answers)
    for segment, answer in zip(record.segments, record.answers, strict=True):
        assert (segment.decision == "retrieve") == bool(segment.passages)
        assert segment.decision in ("retrieve", "continue")
        page = segment.passages[-1].text if segment.passages else page
        assert answer in page
    assert record.segments[0].decision == "retrieve"
    assert record.segments[0].span is not None


def test_about_a_third_cannot_be_answered() -> None:
    support = Counter(record.segments[0].support for record in RECORDS)
    assert 0.25 < support[None] / len(RECORDS) < 0.38
    assert 0.04 < support["none"] / len(RECORDS) < 0.12
    assert 0.01 < support["partial"] / len(RECORDS) < 0.05


def test_one_to_four_passages_are_shown() -> None:
    counts = Counter(len(record.segments[0].passages) for record in RECORDS)
    assert set(counts) == {1, 2, 3, 4}
    assert 0.5 < counts[1] / len(RECORDS) < 0.75


def test_questions_and_domains_vary() -> None:
    assert len({record.messages[-1].content for record in RECORDS}) > 0.99 * len(RECORDS)
    domains = Counter(record.source["domain"] for record in RECORDS)
    assert set(domains) == {domain.name for domain in worlds.domains()}


@EITHER
@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_the_seed_decides_the_record(seed: int, level: Level, simple: bool) -> None:
    assert made(seed, level, simple=simple) == made(seed, level, simple=simple)
