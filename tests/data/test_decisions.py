"""Decision records follow docs/decision-labels.md: the kind of a prompt fixes its decision."""

import re
from collections import Counter
from importlib.resources import files
from itertools import product
from random import Random
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data import decisions, worlds
from avalan.data.decisions import ADMISSION, BEYOND_KINDS, RETRIEVE_KINDS, decision_record, phrases
from avalan.data.worlds import Level
from avalan.reflection.record import Record, Split

SEEDS = st.integers(0, 2**32 - 1)


def made(seed: int, level: Level = "train") -> Record:
    return decision_record(Random(seed), level, identifier="x", split="train")


@given(seed=SEEDS, level=st.sampled_from(("train", "G0", "G1")))
def test_the_kind_of_a_prompt_fixes_decision_reply_and_utility(seed: int, level: Level) -> None:
    record = made(seed, level)
    kind, (segment,) = record.source["kind"], record.segments
    assert segment.decision == ("retrieve" if kind in RETRIEVE_KINDS else "none")
    assert not segment.passages
    if kind in BEYOND_KINDS:
        assert (segment.text, record.utility) == (ADMISSION, 1)
    elif kind == "memory":
        assert segment.text
        assert record.utility in (4, 5)
    else:
        # The decision alone is taught; the end stays open.
        assert (segment.text, record.utility) == (None, None)


def test_both_decisions_and_every_kind_occur() -> None:
    records = [made(seed) for seed in range(3000)]
    kinds = Counter(record.source["kind"] for record in records)
    assert set(kinds) == {*phrases().patterns, "memory"}
    assert 0.35 < kinds["memory"] / len(records) < 0.45
    retrieved = sum(record.segments[0].decision == "retrieve" for record in records)
    assert 0.26 < retrieved / len(records) < 0.34


def test_the_levels_ask_half_and_half_and_recall_nothing() -> None:
    records = [made(seed, "G1") for seed in range(1000)]
    assert all(record.source["kind"] != "memory" for record in records)
    retrieved = sum(record.segments[0].decision == "retrieve" for record in records)
    assert 0.44 < retrieved / len(records) < 0.56


@pytest.mark.parametrize("kind", phrases().patterns)
def test_every_pattern_can_be_filled(kind: str) -> None:
    for pattern in phrases().patterns[kind]:
        text = decisions.filled(pattern, phrases().slots, Random(0))
        assert text
        assert not set("{}") & set(text)


@pytest.mark.parametrize("kind", phrases().patterns)
def test_every_kind_has_patterns_for_training_and_for_g1(kind: str) -> None:
    patterns = phrases().patterns[kind]
    seen = worlds.allowed_wordings(patterns, "train")
    held_out = worlds.allowed_wordings(patterns, "G1")
    assert len(seen) >= 40
    assert len(held_out) >= 4
    assert not set(seen) & set(held_out)
    assert {*seen, *held_out} == set(patterns)


def test_every_level_but_g2_asks_from_the_training_kinds() -> None:
    held_out = {text for domain in decisions.held_out() for text in prompts_of(domain)}
    levels: tuple[Level, ...] = ("train", "G0", "G1")
    for level in levels:
        assert not held_out & {made(seed, level).messages[-1].content for seed in range(400)}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_g2_asks_half_and_half_from_the_domains_of_its_split(split: Split) -> None:
    records = [
        decision_record(Random(seed), "G2", identifier="x", split=split) for seed in range(600)
    ]
    retrieved = sum(record.segments[0].decision == "retrieve" for record in records)
    assert 0.44 < retrieved / len(records) < 0.56
    allowed = {
        text
        for domain in decisions.held_out()
        if domain.split == split
        for text in prompts_of(domain)
    }
    asked = {record.messages[-1].content for record in records}
    # The others were typed carelessly.
    assert len(asked & allowed) > len(asked) / 2
    others = {t for d in decisions.held_out() if d.split != split for t in prompts_of(d)}
    assert not asked & others


@pytest.mark.parametrize("domain", decisions.held_out(), ids=lambda domain: domain.name)
def test_a_held_out_domain_asks_for_both_and_shares_no_words_with_training(
    domain: decisions.HeldOut,
) -> None:
    assert {kind in RETRIEVE_KINDS for kind in domain.patterns} == {True, False}
    assert set(domain.patterns) <= set(phrases().patterns)
    assert all(prompts_of(domain))
    folder = files("avalan.data")
    trained = [folder / "phrases.toml", *(folder / "worlds").iterdir()]
    texts = "\n".join(file.read_text(encoding="utf-8") for file in trained).lower()
    names = {name for slot, names in domain.slots.items() if slot != "n" for name in names}
    assert not [name for name in names if re.search(rf"\b{re.escape(name.lower())}\b", texts)]
    asked = {pattern for patterns in phrases().patterns.values() for pattern in patterns}
    assert not asked & prompts_of(domain)


def prompts_of(domain: decisions.HeldOut) -> set[str]:
    """Every prompt that the domain can make."""
    found = set()
    for patterns in domain.patterns.values():
        for pattern in patterns:
            used = [name for _, name, _, _ in Formatter().parse(pattern) if name]
            for values in product(*(domain.slots[name] for name in used)):
                found.add(pattern.format(**dict(zip(used, values, strict=True))))
    return found


def test_sums_are_right() -> None:
    signs = {"×": "*", "x": "*", "times": "*", "÷": "/", "divided by": "/", "−": "-"}
    signs |= {"minus": "-", "plus": "+"}
    for seed in range(300):
        expression, result = decisions._sum(Random(seed))
        for sign, plain in signs.items():
            expression = expression.replace(sign, plain)
        left, operator, right = expression.split()
        a, b, c = int(left), int(right), int(result)
        # A quotient is exact, so it is checked as a product.
        assert {"+": a + b, "-": a - b, "*": a * b, "/": a}[operator] == (
            b * c if operator == "/" else c
        )


def test_no_fact_is_told_twice_with_two_answers() -> None:
    replies: dict[str, str] = {}
    for prompt, reply in (*phrases().facts, *phrases().talk, *phrases().definitions):
        assert prompt.strip()
        assert reply.strip()
        assert replies.setdefault(prompt.lower(), reply) == reply


def test_what_is_taught_by_heart_can_be_listed() -> None:
    assert ("What is the capital of France?", "Paris") in {
        (question, answer.rstrip(".")) for question, answer in decisions.known_questions()
    }
