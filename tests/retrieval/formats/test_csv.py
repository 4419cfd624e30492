"""Tables as text: records are never divided, and their columns' names stand above them."""

import csv
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval.chunks import MAX, split
from avalan.retrieval.formats.csv import columns, record_ends
from avalan.retrieval.headings import HeadingFinder

CELLS = st.text(st.sampled_from('ab1 ,"\n\r;é'), max_size=8)


def records(text: str) -> list[str]:
    ends = [0, *record_ends(text)]
    return [text[start:end] for start, end in pairwise(ends)]


@given(st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8))
def test_records_are_those_of_the_library(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    text = path.read_bytes().decode()
    assert len(records(text)) == len(rows)
    assert "".join(records(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ["a,b\n", "1,2\n"]),
        ("a\r\nb\rc", ["a\r\n", "b\r", "c"]),
        ('a,"b\n""c"""\nd', ['a,"b\n""c"""\n', "d"]),
        ('5" pipe\n6" pipe\n', ['5" pipe\n', '6" pipe\n']),
        ('a,"never closed\nb\n', ['a,"never closed\n', "b\n"]),
        ("\n\na", ["\n", "\n", "a"]),
        ("", []),
    ],
)
def test_records(text: str, expected: list[str]) -> None:
    assert records(text) == expected


@pytest.mark.parametrize("unit", ['"', ',"', ',""', ',"x""', "\n", '"\n', ","])
def test_strange_tables_are_read_in_linear_time(unit: str) -> None:
    text = unit * 100_000
    assert "".join(records(text)) == text
    columns(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name,age\nAnna,30\n", "name, age"),
        ('"full name";town\n', "full name, town"),
        ("name\tage\n", "name, age"),
        ("\ufeffname,age", "name, age"),
        ("name\nAnna\n", "name"),
        ("Anna,30\nBo,41\n", ""),
        ("name,,age\n", ""),
        ("a,a\n", ""),
        ("name,age,\n", ""),
        ("\n", ""),
        ("", ""),
    ],
)
def test_a_first_record_without_numbers_names_the_columns(text: str, names: str) -> None:
    assert columns(text)[0] == names


def test_every_chunk_is_whole_records_under_the_names_of_the_columns() -> None:
    text = "name,note\n" + "".join(f'Anna {n},"lives in\nhouse {n}"\n' for n in range(200))
    finder = HeadingFinder("csv")
    found = split(text, finder.find(text), cuts="csv")
    assert len(found) > 5
    for chunk in found:
        assert chunk.heading == "name, note"
        assert len(chunk.text) <= MAX
        assert chunk.text.startswith(("Anna", "name"))
        assert chunk.text.endswith('"')
        assert text[chunk.start : chunk.end] == chunk.text
    assert finder.find("a,b\n") == ()  # Later blocks have no header.
