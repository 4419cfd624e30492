"""Splitting: what a chunk is, where the cuts fall, and that none could have fallen better."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval import chunks
from avalan.retrieval.chunks import MAX, TARGET, Chunk, split
from avalan.retrieval.formats import Cuts
from avalan.retrieval.headings import HeadingFinder, Layout
from avalan.retrieval.sentences import Piece, around, sentences

# What documents are made of, the awkward included: several alphabets, line ends, white space of
# all kinds, marks that combine, and runs longer than a chunk.
WORDS = ["A word", "naïve", "数据库。", "🙂", "e\u0301", "Mr. X", "3.5", "…", "?", "! ", ". "]
SPACE = [" ", "\n", ".\n", "\r\n", "\n\n", "\r\n\r\n", "\r", "\t", "\u00a0", "\u2028", "\x0c"]
MARKS = ["# T\n", "\nTitle\n=====\n", "\n- item", "\n1. item", "\n| a | b |", "```\n", "def f():\n"]
LONG = ["x" * 700, "word " * 150, " " * 1500, "A sentence of some words. " * 12, "\n" * 9]
TEXTS = st.lists(st.sampled_from([*WORDS, *SPACE, *MARKS, *LONG]), max_size=40).map("".join)
LAYOUTS = st.sampled_from(["text", "markdown", "rest", "python"])


def split_as(text: str, layout: Layout) -> list[Chunk]:
    cuts: Cuts = "code" if layout == "python" else "prose"
    return split(text, HeadingFinder(layout).find(text), cuts=cuts)


def prose(num_sentences: int) -> str:
    return " ".join(f"This is the sentence with the number {n}." for n in range(num_sentences))


@given(TEXTS, LAYOUTS)
def test_a_chunk_is_exactly_the_span_it_names(text: str, layout: Layout) -> None:
    for chunk in split_as(text, layout):
        assert text[chunk.start : chunk.end] == chunk.text


@given(TEXTS, LAYOUTS)
def test_chunks_are_in_order_and_only_white_space_lies_between_them(
    text: str, layout: Layout
) -> None:
    found = split_as(text, layout)
    ends = [0, *(chunk.end for chunk in found)]
    starts = [*(chunk.start for chunk in found), len(text)]
    for end, start in zip(ends, starts, strict=True):
        assert end <= start
        assert not text[end:start].strip()


@given(TEXTS, LAYOUTS)
def test_no_chunk_is_longer_than_the_limit_or_blank(text: str, layout: Layout) -> None:
    for chunk in split_as(text, layout):
        assert chunk.text.strip()
        assert len(chunk.text) <= MAX


@given(st.lists(st.tuples(st.integers(1, MAX), st.sampled_from([0.0, 0.1, 0.25, 1.0])), max_size=9))
def test_no_other_division_costs_less(shape: list[tuple[int, float]]) -> None:
    """The recursion against every division there is."""
    pieces, start = [], 0
    for length, cut in shape:
        pieces.append(Piece(start, start + length, cut if pieces else 0.0))
        start += length + 1

    found = chunks._pack(pieces)

    def cost(spans: list[tuple[int, int]]) -> float:
        cuts = {piece.start: piece.cut for piece in pieces}
        return sum(cuts[start] + ((end - start - TARGET) / TARGET) ** 2 for start, end in spans)

    def divisions() -> list[list[tuple[int, int]]]:
        count = len(pieces)
        every = []
        for num_cuts in range(count):
            for places in combinations(range(1, count), num_cuts):
                groups = [pieces[a:b] for a, b in pairwise((0, *places, count))]
                every.append([(group[0].start, group[-1].end) for group in groups])
        return [spans for spans in every if all(end - start <= MAX for start, end in spans)]

    if pieces:
        assert cost(found) == pytest.approx(min(map(cost, divisions())))
    else:
        assert found == []


def test_short_paragraphs_share_a_chunk_and_long_ones_do_not() -> None:
    short = "\n\n".join(["Two short lines.", "They belong together."])
    long = "\n\n".join([prose(16), prose(16)])

    assert [chunk.text for chunk in split(short)] == [short]
    assert [chunk.text for chunk in split(long)] == [prose(16), prose(16)]


def test_a_paragraph_too_long_for_a_chunk_is_cut_between_sentences_into_even_parts() -> None:
    found = split(prose(50))  # 2,039 characters

    assert all(chunk.text.startswith("This") and chunk.text.endswith(".") for chunk in found)
    assert [len(chunk.text) for chunk in found] == [686, 696, 655]


def test_a_small_rest_is_not_left_alone() -> None:
    """889 and 159 characters: a cut within the first is better than a fragment."""
    text = prose(22) + "\n\n" + prose(4)
    assert [len(chunk.text) for chunk in split(text)] == [522, 529]


def test_headings_separate_chunks_and_name_them() -> None:
    text = "# Cats\n\nThey purr.\n\n## Food\n\nFish.\n\n# Dogs\n\nThey bark.\n"

    found = [(chunk.heading, chunk.text) for chunk in split_as(text, "markdown")]

    assert found == [
        ("Cats", "# Cats\n\nThey purr."),
        ("Cats > Food", "## Food\n\nFish."),
        ("Dogs", "# Dogs\n\nThey bark."),
    ]


def test_a_heading_with_nothing_below_it_joins_the_next() -> None:
    text = "# Cats\n\n## Food\n\nFish.\n"
    (chunk,) = split_as(text, "markdown")
    assert (chunk.heading, chunk.text) == ("Cats > Food", text.strip())


def test_a_block_stands_under_the_headings_before_it() -> None:
    above = HeadingFinder("markdown").find("# Cats\n")
    text = "They purr.\n\n## Food\n\nFish.\n"

    found = split(text, HeadingFinder("markdown").find(text), above=above)

    assert [chunk.heading for chunk in found] == ["Cats", "Cats > Food"]


def test_code_is_cut_before_definitions_and_keeps_its_indentation() -> None:
    body = "".join(f"    line_{n} = {n}  # what this line is for\n" for n in range(12))
    text = f"import os\n\n\ndef first():\n{body}\n\n@cached\ndef second():\n{body}"

    found = split_as(text, "python")

    assert [chunk.text.splitlines()[0] for chunk in found] == ["import os", "@cached"]
    assert [chunk.heading for chunk in found] == ["", "def second"]


def test_a_method_too_long_for_a_chunk_is_cut_at_a_blank_line() -> None:
    half = "".join(f"        value_{n} = compute({n}, 'something')\n" for n in range(14))
    text = f"class Thing:\n    def method(self):\n{half}\n{half}"

    found = split_as(text, "python")

    assert [chunk.text.splitlines()[0] for chunk in found] == [
        "class Thing:",
        "        value_0 = compute(0, 'something')",
    ]
    assert found[1].heading == "class Thing > def method"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "Stop." She did.', ['He said "Stop."', "She did."]),
        ("Mr. Pratt met Dr. Lee, i.e. Ann.", ["Mr. Pratt met Dr. Lee, i.e. Ann."]),
        ("It costs 3.5 dollars at 6 a.m. Monday.", ["It costs 3.5 dollars at 6 a.m. Monday."]),
        ("J. S. Bach wrote it. Yes.", ["J. S. Bach wrote it.", "Yes."]),
        ("He paused... then spoke.", ["He paused... then spoke."]),
        ("1. Assemble it. 2. Press it.", ["1. Assemble it.", "2. Press it."]),
        ("5.1. Booting it. Press it.", ["5.1. Booting it.", "Press it."]),
        ("Read on.\n\n- D.3.4. Set the time.", ["Read on.", "- D.3.4. Set the time."]),
        ("It is version 5.1. Press it.", ["It is version 5.1.", "Press it."]),
        ("Wrapped\nline. And\nanother.", ["Wrapped\nline.", "And\nanother."]),
        ("Needs:\n- eggs\n- milk", ["Needs:", "- eggs", "- milk"]),
        ("A title\n\nA paragraph", ["A title", "A paragraph"]),
        ("A title\r\n\r\nA\r\nparagraph", ["A title", "A\r\nparagraph"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("  padded.  ", ["padded."]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_the_sentences_around_a_span() -> None:
    text = "One comes. Two comes later. Three never comes."

    def sentence(quote: str) -> str:
        start = text.index(quote)
        return text[slice(*around(text, (start, start + len(quote))))]

    assert sentence("later") == "Two comes later."
    assert sentence("comes. Two") == "One comes. Two comes later."


@pytest.mark.parametrize(
    "unit", [".", ' "', "\n \n", "# ", "-\n", "@a\n", "`", "x", "=\n", "A. ", "1. ", "|", "a\n\n"]
)
def test_strange_texts_are_split_in_linear_time(unit: str) -> None:
    """Each takes milliseconds; anything quadratic would take minutes and be noticed."""
    text = unit * 10_000
    for layout in ("text", "markdown", "python"):
        chunks = split_as(text, layout)  # type: ignore[arg-type]
        assert all(text[chunk.start : chunk.end].strip() for chunk in chunks)
