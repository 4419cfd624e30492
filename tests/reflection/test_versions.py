"""Of versions that contradict each other, the newer one counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from avalan.reflection.judge import Reading
from avalan.reflection.loop import ask
from avalan.reflection.versions import Quoted, Versions
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex

from .conftest import MakePanel, ToldJudge

RULES = (
    "# Rules\n\nIssued on {date}.\n\nA book may be kept for {days} days by everybody. Whoever "
    "keeps it longer pays {price} crowns for each week, and no more than the book has cost.\n"
)
VERSIONS = {
    "rules-old.md": {"date": "2 May 2021", "days": "ten", "price": "two"},
    "rules.md": {"date": "6 February 2023", "days": "14", "price": "two"},
    "rules-new.md": {"date": "20 March 2025", "days": "21", "price": "two"},
}
OTHER = "# Talk\n\nOn 1 June 2026 somebody said that elsewhere they lend every book for 60 days.\n"
UNDATED = "# Draft\n\n" + RULES.split("\n\n", 2)[2].format(days="7", price="two")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SyncIndex]:
    """Three versions of rules, one that says no date, and a page that only speaks of them."""
    texts = {name: RULES.format(**values) for name, values in VERSIONS.items()}
    for name, text in (texts | {"talk.md": OTHER, "draft.md": UNDATED}).items():
        (tmp_path / name).write_text(text)
    with SyncIndex.temporary() as made:
        list(made.add([tmp_path]))
        yield made


def source(index: SyncIndex, name: str) -> str:
    return index.find(name)


def quoted(index: SyncIndex, name: str, words: str, confidence: float) -> tuple[Passage, Reading]:
    (passage,) = index.passages(source(index, name))
    start = passage.text.index(words)
    span = (start, start + len(words))
    return passage, Reading(relevance=0.9, span=span, confidence=confidence)


def test_a_version_is_newer_if_it_says_so_and_shares_the_words(index: SyncIndex) -> None:
    versions = Versions(index)
    old, now, new, talk, draft = (
        source(index, name)
        for name in ("rules-old.md", "rules.md", "rules-new.md", "talk.md", "draft.md")
    )
    assert versions.is_newer(new, now)
    assert versions.is_newer(now, old)
    assert not versions.is_newer(now, new)
    assert not versions.is_newer(now, now)
    assert not versions.is_newer(talk, new)
    assert not versions.is_newer(draft, old)
    assert not versions.is_newer(new, draft)


QUESTION = "How long may a book be kept?"


def test_the_newest_is_quoted_and_the_others_are_named(index: SyncIndex) -> None:
    found = [
        quoted(index, "rules.md", "14 days", 0.9),
        quoted(index, "rules-old.md", "ten days", 0.6),
        quoted(index, "rules-new.md", "21 days", 0.5),
        quoted(index, "talk.md", "60 days", 0.7),
    ]
    passages, readings = zip(*found, strict=True)
    chosen = Versions(index).newest(QUESTION, passages, readings, 0, least=0.4)
    assert chosen == Quoted(rank=2, superseded=(0, 1))
    # What is not confident enough to be quoted is no newer answer.
    chosen = Versions(index).newest(QUESTION, passages, readings, 0, least=0.55)
    assert chosen == Quoted(rank=0, superseded=(1,))


def test_a_version_whose_year_is_named_is_meant(index: SyncIndex) -> None:
    found = [
        quoted(index, "rules.md", "14 days", 0.9),
        quoted(index, "rules-new.md", "21 days", 0.5),
    ]
    passages, readings = zip(*found, strict=True)
    question = f"{QUESTION} By the rules of 2023?"
    assert Versions(index).newest(question, passages, readings, 0, least=0.1) == Quoted(rank=0)


def test_versions_that_agree_contradict_nobody(index: SyncIndex) -> None:
    found = [
        quoted(index, "rules-new.md", "two crowns", 0.9),
        quoted(index, "rules.md", "two crowns", 0.8),
    ]
    passages, readings = zip(*found, strict=True)
    chosen = Versions(index).newest("What does it cost?", passages, readings, 0, least=0.1)
    assert chosen == Quoted(rank=0)


def test_the_answer_is_the_newer_one_and_shows_the_older(
    panel_of: MakePanel, index: SyncIndex
) -> None:
    readings = {
        values["date"]: quoted(index, name, f"{values['days']} days", confidence)[1]
        for (name, values), confidence in zip(VERSIONS.items(), (0.7, 0.9, 0.6), strict=True)
    }
    *_, end = ask(QUESTION, panel=panel_of(ToldJudge(readings=readings)), index=index)
    assert end.text == "21 days"
    assert end.citations[0].dated == "2025-03-20"
    assert {(each.dated, each.text) for each in end.superseded} == {
        ("2023-02-06", "14 days"),
        ("2021-05-02", "ten days"),
    }
