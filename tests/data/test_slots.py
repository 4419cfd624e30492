"""The slot generators: each makes what its name says, and names keep to their split."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.data import slots
from avalan.data.worlds import domains
from avalan.errors import ConfigurationError

SEEDS = st.integers(0, 2**32 - 1)

SHAPES = {
    "year": r"\d{4}",
    "age": r"\d{1,2}",
    "count": r"[a-z]+|\d{1,3}(,\d{3})*|\d+",
    "code": r"[A-Z]{1,3}[-/ ]?\d{2,4}",
    "version": r"\d{1,2}(\.\d{1,2}){1,2}",
    "score": r"\d(-|–| to )\d",
    "percent": r"\d{1,2}(%| per cent|\.5%)",
    "email": r"[a-z]+@[a-z]+(\.[a-z]+)+",
    "phone": r"0\d{2} \d{3} \d{4}",
    "url": r"(www\.|https://)?[a-z]+(\.[a-z]+)+/[a-z]+",
    "filename": r"[a-z_]+\.[a-z]+",
    "setting": r"[a-z]+(_[a-z]+){1,2}",
    "command": r"[a-z]+ [a-z]+( --[a-z]+| -[a-z])?",
    "distance": r"\d+(\.\d)? (km|miles|metres|kilometres)",
    "temperature": r"-?\d+(\.\d)? (°C|degrees|°F)",
    "duration": r"([a-z]+|\d+) (second|minute|hour|day|week|month|year)s",
    "money": r"[£$€]\d{1,3}(,\d{3})*(\.\d\d)?|\d{1,3}(,\d{3})*(\.\d\d)? (euros|crowns)",
    "weekday": r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
    "order": r"order [A-Z]{1,3}[-/ ]?\d{2,4}",
}


@pytest.mark.parametrize(("slot", "shape"), SHAPES.items())
def test_a_slot_makes_what_it_says(slot: str, shape: str) -> None:
    for seed in range(150):
        assert re.fullmatch(shape, slots.fill(slot, Random(seed)))


@given(slot=st.sampled_from(sorted(slots.SLOTS)), seed=SEEDS)
def test_every_slot_makes_one_line_without_braces_and_surplus_spaces(slot: str, seed: int) -> None:
    text = slots.fill(slot, Random(seed))
    assert text == " ".join(text.split()) != ""
    assert not set("{}[]<>") & set(text)


@given(slot=st.sampled_from(sorted(slots.SLOTS)), seed=SEEDS)
def test_the_seed_decides_what_is_made(slot: str, seed: int) -> None:
    assert slots.fill(slot, Random(seed)) == slots.fill(slot, Random(seed))


def test_an_unknown_slot_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="no slot 'moon'; choose one of: person"):
        slots.fill("moon", Random(0))


def test_the_worlds_use_known_slots_only() -> None:
    used = {domain.subject for domain in domains()}
    used |= {r.answer for domain in domains() for r in domain.relations if r.answer}
    assert used <= set(slots.SLOTS)


@given(seed=SEEDS, syllables=st.integers(1, 4))
def test_a_pseudo_word_is_a_short_lower_case_word(seed: int, syllables: int) -> None:
    word = slots.pseudo_word(Random(seed), syllables=syllables)
    assert re.fullmatch(r"[a-z]{3,30}", word)


def test_four_names_in_five_belong_to_training() -> None:
    names = {slots.fill("person", Random(seed)) for seed in range(5000)}
    share = sum(map(slots.in_training, names)) / len(names)
    # 204 of 256 values of a hash; five standard deviations are 0.03.
    assert abs(share - 204 / 256) < 0.03


def test_a_name_keeps_its_split_for_ever_and_in_any_case() -> None:
    assert [slots.in_training(name) for name in ("Ada Brill", "Ashford", "Nortia", "Kestrel")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert slots.in_training("ADA brill") == slots.in_training("Ada Brill")
