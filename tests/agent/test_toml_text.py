"""What is written as TOML reads back exactly."""

import tomllib
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avalan.agent.toml_text import toml_text

# Quotes, backslashes and line ends in every order are where a writer goes wrong.
TEXTS = st.one_of(st.text(), st.text(alphabet="\"\\\n\r\t'#u0 ", max_size=12))
VALUES = st.one_of(TEXTS, st.integers(), st.booleans())


@given(values=st.dictionaries(st.sampled_from(["role", "task", "use_cache"]), VALUES))
@example(values={"role": '"""\n""""\\"'})
@example(values={"role": 'a\n\\"'})
def test_any_value_reads_back_exactly(values: dict[str, str | int | bool]) -> None:
    sections = {"agent": values, "run": values}

    found = tomllib.loads(toml_text(sections))

    assert found == sections
    assert [type(value) for value in found["run"].values()] == list(map(type, values.values()))


@given(text=TEXTS)
def test_no_control_character_is_written(text: str) -> None:
    written = toml_text({"agent": {"role": text}})
    assert not [c for c in written if unicodedata.category(c) == "Cc" and c not in "\n\t"]


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u2028", "\ufeff", "\x9b"])
def test_what_would_reorder_or_hide_text_is_spelled_out(character: str) -> None:
    written = toml_text({"agent": {"role": f"a{character}b"}})
    assert f"\\u{ord(character):04x}" in written
    assert character not in written


def test_several_lines_are_written_as_lines() -> None:
    assert toml_text({"agent": {"role": 'You are "x".\nBe brief.\n'}, "run": {"n": 1}}) == (
        '[agent]\nrole = """\nYou are "x".\nBe brief.\n"""\n\n[run]\nn = 1\n'
    )
