"""Tables: every word whole and every cell there, however narrow the terminal."""

from hypothesis import given
from hypothesis import strategies as st

from avalan.cli.console import cell_width
from avalan.cli.display.table import drawn, split_markdown

ROWS = [["garden.md", 12, "watered at six in the evening"], ["b.md", 7, None]]
HEADERS = ["document", "size", "text"]
CELLS = st.lists(st.sampled_from(["one", "two three", "", "a-longer-word", "日本", "12"]))


def table(width: int | None, headers: list[str] = HEADERS, rows: object = ROWS) -> list[str]:
    lines = drawn(headers, rows, width)  # type: ignore[arg-type]
    return ["".join(text for text, _ in line) for line in lines]


def test_where_there_is_room_each_row_is_a_line() -> None:
    expected = [
        "document   size  text",
        "garden.md    12  watered at six in the evening",
        "b.md          7",
    ]
    assert table(None) == table(80) == table(47) == expected


def test_where_there_is_less_text_takes_several_lines_and_numbers_do_not() -> None:
    assert table(36) == [
        "document   size  text",
        "garden.md    12  watered at six in",
        "                 the evening",
        "b.md          7",
    ]


def test_where_words_have_no_room_beside_each_other_a_row_is_a_block() -> None:
    assert table(20) == [
        "document  garden.md",
        "size      12",
        "text",
        "  watered at six in",
        "  the evening",
        "",
        "document  b.md",
        "size      7",
    ]


def test_a_cell_without_a_header_is_the_title_of_its_block() -> None:
    rows = [["cross-fitted accuracy", "0.75 [0.68, 0.81]"]]
    assert table(20, ["", "judged by bundled"], rows) == [
        "cross-fitted",
        "accuracy",
        "judged by bundled",
        "  0.75 [0.68, 0.81]",
    ]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4), st.integers(16, 60))
def test_no_word_is_split_and_none_is_lost(
    rows: list[tuple[list[str], list[str], list[str]]], width: int
) -> None:
    cells = [[" ".join(cell) for cell in row] for row in rows]
    lines = table(width, ["a", "b", "c"], cells)
    words = [word for row in cells for cell in row for word in cell.split()]
    shown = [word for line in lines for word in line.split() if word not in ("a", "b", "c")]
    # Wide scripts break between any two characters.
    assert "".join(shown).count("日") == "".join(words).count("日") == "".join(shown).count("本")
    assert sorted(filter(str.isascii, shown)) == sorted(filter(str.isascii, words))
    assert all(cell_width(line) <= width for line in lines)


MARKDOWN = "Before.\n\n| a | b |\n|---|---:|\n| **one** `x` | 2 |\n| p \\| q |\n\nAfter | all.\n"


def test_a_markdown_table_that_fits_stays_markdown() -> None:
    assert "".join(map(str, split_markdown(MARKDOWN, 40))) == MARKDOWN


def test_a_markdown_table_that_does_not_fit_is_taken_out() -> None:
    before, made, after = split_markdown(MARKDOWN, 8)
    assert (before, after) == ("Before.\n\n", "\n\nAfter | all.\n")
    assert made == (["a", "b"], [["one x", "2"], ["p | q", ""]])
