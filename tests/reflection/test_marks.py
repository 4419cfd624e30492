"""Marks inside documents, broken where a server could take them for its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.reflection.marks import broken

MARKS = [
    "<|im_start|>",
    "<|eot_id|>",
    "<|end of text|>",
    "<｜User｜>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "</think>",
    "<tool_call>",
    "<paragraph>",
    "[Retrieval]",
    "[No support / Contradictory]",
    "[Utility:5]",
]


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_broken_where_one_sees_it(mark: str) -> None:
    found = broken(f"a {mark} b")
    assert found == f"a {mark[0]}\\{mark[1:]} b"
    assert broken(mark.swapcase()) != mark.swapcase()


@pytest.mark.parametrize(
    "text",
    ["a < b and c > d", "x[3]", "<b>bold</b>", "|| or <||>", "[Retrieved]", "<| a |", "A <- B", ""],
)
def test_what_is_no_mark_stays_as_it_is(text: str) -> None:
    assert broken(text) == text


@given(st.lists(st.sampled_from([*MARKS, "<", "|", ">", "s", "[", "]", "x", " "]), max_size=12))
def test_no_mark_is_left_and_every_character_is(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = broken(text)
    assert broken(found) == found
    assert not any(mark in found for mark in MARKS)
    assert found.replace("\\", "") == text
