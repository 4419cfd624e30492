"""Headings: what is one in each kind of text, and what only looks like one."""

import pytest

from avalan.retrieval.headings import Heading, HeadingFinder, Layout, follow, title


def found(layout: Layout, *blocks: str) -> list[tuple[int, str]]:
    finder = HeadingFinder(layout)
    return [(heading.level, heading.title) for text in blocks for heading in finder.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# One\n\n### Three ###\n", [(1, "One"), (3, "Three")]),
        ("# C# and F#\n", [(1, "C# and F")]),
        ("#hashtag\n####### seven\n    # code\n#\n", []),
        ("One\n===\n\nTwo\r\n---\r\n", [(1, "One"), (2, "Two")]),
        ("---\ntitle: x\n---\n\n# One\n", [(1, "One")]),
        ("A paragraph\nof two lines\n---\n", []),
        ("```\n# comment\n```\n# One\n", [(1, "One")]),
        ("~~~~\n# comment\n~~~\n# comment\n~~~~\n# One\n", [(1, "One")]),
        ("  ## Spaced   out  \n", [(2, "Spaced out")]),
        ("# " + "long " * 50 + "\n", []),
    ],
)
def test_markdown(text: str, expected: list[tuple[int, str]]) -> None:
    assert found("markdown", text) == expected


@pytest.mark.parametrize("layout", ["text", "rest"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Top\n***\n\nSub\n===\n\nTop again\n*********\n",
            [(1, "Top"), (2, "Sub"), (1, "Top again")],
        ),
        ("=====\n Top\n=====\n\nSub\n=====\n", [(1, "Top"), (2, "Sub")]),
        ("Words.\n\n------\n\nMore words.\n", []),
        ("Wrapped lines\nof a paragraph\n----\n", []),
        ("Name   Age\n----   ---\n", []),
        ("A title longer than its line\n---\n", []),
        ("# not a heading here\n", []),
    ],
)
def test_underlined_titles(layout: Layout, text: str, expected: list[tuple[int, str]]) -> None:
    assert found(layout, text) == expected


def test_python_definitions() -> None:
    text = "class A(B):\n    @cached\n    async def f(self):\n        pass\n\n\ndef g(): ...\n"
    assert found("python", text) == [(1, "class A"), (5, "def f"), (1, "def g")]


def test_a_heading_spans_its_marks_and_lines() -> None:
    text = "x\n\n=====\nTitle\n=====\nbody\n"
    (heading,) = HeadingFinder("rest").find(text)
    assert text[heading.start : heading.end] == "=====\nTitle\n====="


def test_a_finder_remembers_fences_and_styles_from_block_to_block() -> None:
    assert found("markdown", "```\n", "# comment\n", "```\n# One\n") == [(1, "One")]
    assert found("rest", "Top\n***\n", "Sub\n===\n", "Top\n***\n")[2] == (1, "Top")


def test_a_heading_ends_those_of_its_level_and_below() -> None:
    headings = [
        Heading(start=0, end=0, level=level, title=words)
        for level, words in [(1, "A"), (2, "B"), (3, "C"), (2, "D")]
    ]
    assert title(follow((), headings)) == "A > D"
    assert title(follow((), headings[:3])) == "A > B > C"


def test_a_page_whose_title_is_its_first_heading_says_it_once() -> None:
    # An HTML page's <title> and <h1> are often the same.
    trail = tuple(
        Heading(level=level, title=name, start=0, end=1)
        for level, name in enumerate(("Tools", "Tools", "Search"))
    )
    assert title(trail) == "Tools > Search"
