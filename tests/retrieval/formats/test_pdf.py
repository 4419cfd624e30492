"""PDF: the words of each page, where a person finds them, and nothing that only repeats."""

from collections.abc import Callable
from pathlib import Path

import pytest

from avalan.retrieval.documents import Block, Unreadable, survey

Make = Callable[..., bytes]


def blocks(folder: Path, data: bytes) -> list[Block]:
    path = folder / "a.pdf"
    path.write_bytes(data)
    return list(survey(path).blocks())


def text_of(folder: Path, data: bytes) -> str:
    return "".join(block.text for block in blocks(folder, data))


def body(*texts: str, top: float = 700.0) -> list[tuple[float, float, float, str]]:
    return [(72.0, top - 14 * number, 12.0, text) for number, text in enumerate(texts)]


def test_each_page_is_a_place(tmp_path: Path, make_pdf: Make) -> None:
    (block,) = blocks(tmp_path, make_pdf([body("First."), [], body("Third."), body("Fourth.")]))
    assert block.text == "First.\n\nThird.\n\nFourth.\n\n"
    assert block.places == ((0, "page 1"), (8, "page 3"), (16, "page 4"))
    assert block.locator(0, 6) == "page 1"
    assert block.locator(8, 23) == "page 3–4"


def test_hyphens_at_the_ends_of_lines_and_pages_are_undone(tmp_path: Path, make_pdf: Make) -> None:
    first = body("The kettle is de-", "scaled on Mon-", "day. Then it is filled and", "heated un-")
    text = text_of(tmp_path, make_pdf([first, body("til it boils. Well-", "Known.")]))
    assert text.replace("\n", " ").strip() == (
        "The kettle is descaled on Monday. Then it is filled and heated until it boils. Well-Known."
    )


def test_a_sentence_goes_on_over_the_end_of_a_page(tmp_path: Path, make_pdf: Make) -> None:
    text = text_of(tmp_path, make_pdf([body("The key hangs"), body("behind the door.")]))
    assert text == "The key hangs\nbehind the door.\n\n"


def test_what_repeats_at_the_ends_of_most_pages_is_dropped(tmp_path: Path, make_pdf: Make) -> None:
    pages = [
        [
            (72.0, 760.0, 9.0, "The handbook"),
            *body(f"{word} words.", "And more of them.", f"And {word} still."),
            (300.0, 30.0, 9.0, f"- {number} -"),
        ]
        for number, word in enumerate(["Hot", "Cold", "Warm", "Green", "Black", "White"], 1)
    ]
    text = text_of(tmp_path, make_pdf(pages))
    assert "handbook" not in text
    assert "- 3 -" not in text
    assert text.count("And more of them.") == 6  # Repeated too, but not at an end of the page.


def test_larger_lines_are_headings_and_their_sizes_are_levels(
    tmp_path: Path, make_pdf: Make
) -> None:
    page = [
        (72.0, 760.0, 24.0, "Hot drinks"),
        (72.0, 720.0, 16.0, "Green tea and what"),
        (72.0, 702.0, 16.0, "goes with it"),
        *body(*["It brews for two minutes, and no longer than that."] * 9, top=680),
        (72.0, 530.0, 16.0, "Coffee"),
        *body(*["It takes four minutes, whatever the beans may be."] * 9, top=510),
    ]
    (block,) = blocks(tmp_path, make_pdf([page]))
    assert [(found.level, found.title) for found in block.headings] == [
        (1, "Hot drinks"),
        (2, "Green tea and what goes with it"),
        (2, "Coffee"),
    ]
    for found in block.headings:
        assert " ".join(block.text[found.start : found.end].split()) == found.title
    assert "\n\nCoffee\n\nIt takes" in block.text


def test_where_no_line_is_larger_the_outline_gives_the_headings(
    tmp_path: Path, make_pdf: Make
) -> None:
    pages = [body("Words before.", "Green  tea", "Two minutes."), body("Four minutes.")]
    (block,) = blocks(tmp_path, make_pdf(pages, outline=["Green tea", "Coffee"]))
    first, second = block.headings
    assert (first.title, second.title) == ("Green tea", "Coffee")
    assert block.text[first.start : first.end] == "Green tea"
    assert (second.start, second.end) == (block.text.index("Four"),) * 2  # Its words are nowhere.


def test_a_table_of_contents_has_no_headings(tmp_path: Path, make_pdf: Make) -> None:
    page = [(72.0, 760.0, 24.0, "Green tea . . . . . . 7"), *body(*["Some words of it."] * 9)]
    (block,) = blocks(tmp_path, make_pdf([page]))
    assert block.headings == ()


def test_lines_further_apart_begin_a_paragraph(tmp_path: Path, make_pdf: Make) -> None:
    page = [*body("One line.", "Another.", "A third."), *body("Apart.", "Its end.", top=640)]
    assert text_of(tmp_path, make_pdf([page])) == (
        "One line.\nAnother.\nA third.\n\nApart.\nIts end.\n\n"
    )


@pytest.mark.parametrize(
    ("pages", "options", "reason"),
    [
        ([[], []], {}, "it has no text, as if scanned; run text recognition"),
        ([body("Words.")], {"encrypted": True}, "it is encrypted; save a copy without a password"),
    ],
)
def test_what_cannot_be_read_says_why(
    tmp_path: Path, make_pdf: Make, pages: list[object], options: dict[str, bool], reason: str
) -> None:
    with pytest.raises(Unreadable) as caught:
        text_of(tmp_path, make_pdf(pages, **options))
    assert caught.value.reason.startswith(reason)


def test_what_is_no_pdf_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="it is damaged, or not what its name says"):
        text_of(tmp_path, b"%PDF-1.4 and then nothing")


def test_two_documents_may_be_read_at_once(tmp_path: Path, make_pdf: Make) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf([body("First.")] * 3))
    first, second = survey(path).blocks(), survey(path).blocks()
    assert next(first).text == next(second).text == "First.\n\n" * 3
