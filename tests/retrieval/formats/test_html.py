"""HTML: the text a reader sees, set out as a reader sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.retrieval.formats.html import Extraction

TAGS = ["<h1>", "</h1>", "<h2>A title</h2>", "<p>", "</p>", "<div>", "<br>", "<li>", "<td>"]
MORE = ["<pre>", "</pre>", "<script>x</script>", "<style>p{}</style>", "<b>", "</b>", "<!-- c -->"]
ODD = ["<", ">", "<![x", "<![CDATA[", "]]>", "<!", "<?", "</", "<a b='", '"', "<script>", "<!--"]
TEXT = ["&amp;", "&#233;", "&nbsp;", "&bad", "<title>T</title>", " words ", "é数", "\n", "\r\n"]
PAGES = st.lists(st.sampled_from([*TAGS, *MORE, *ODD, *TEXT]), max_size=40).map("".join)


def extracted(page: str, *, block_chars: int = 10_000) -> tuple[str, list[tuple[int, str]]]:
    blocks = list(Extraction(block_chars).blocks([page]))
    headings = [(found.level, found.title) for _, each in blocks for found in each]
    return "".join(text for text, _ in blocks), headings


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("<p>One  two\n three<br>four</p>", "One two three\nfour\n"),
        ("<p>in<b>side</b> <i>out</i></p>", "inside out\n"),
        ("<p>&lt;b&gt; &amp;amp; caf&eacute;&nbsp;&#8364;</p>", "<b> &amp; café €\n"),
        ("a<script>var a = '<p>no</p>';</script><style>p{}</style>b", "ab\n"),
        ("a<template><p>no</p></template><svg><title>no</title></svg>b", "a\n\nb\n"),
        ("<ul><li>One</li><li>Two</li></ul>", "- One\n- Two\n"),
        ("<table><tr><th>A<th>B<tr><td>1<td>2</table>", "A\tB\n1\t2\n"),
        ("<pre>\nif a:\n    <b>return</b> 1\n\n</pre>x", "if a:\n    return 1\n\n\n\nx\n"),
        ("<pre><span>a</span>\n<span>b</span></pre>", "a\nb\n"),
        ("no tags at all", "no tags at all\n"),
        ("<p>never closed <b>at all", "never closed at all\n"),
        ("<!-- comment --><!DOCTYPE html><p>One", "One\n"),
        ("<p>a < b & c", "a < b & c\n"),
        ("a <![if x]>b<![endif]> c <![x[y]]> d <![CDATA[e]]>", "a b c d\n"),
        ("<p>a <", "a <\n"),
        ("<p>a <b c='never closed, <p>so dropped", "a\n"),
        ("<p>a <!-- never closed, <p>so dropped", "a\n"),
        ("<script>only</script>  ", ""),
        ("", ""),
    ],
)
def test_text(page: str, text: str) -> None:
    assert extracted(page)[0] == text


def test_headings_are_the_titles_levels_and_spans() -> None:
    page = "<title>Site</title><h1>One <i>big</i>  thing</h1>text<h3>Deep</h3><h2></h2>"
    text, headings = extracted(page)
    assert text == "Site\n\nOne big thing\n\ntext\n\nDeep\n"
    assert headings == [(0, "Site"), (1, "One big thing"), (3, "Deep")]


def test_a_heading_that_is_never_closed_is_not_a_title_of_everything() -> None:
    assert extracted("<h1>A" + "<p>many words</p>" * 200)[1] == []
    assert extracted("<h1>One<h2>Two</h2>")[1] == [(1, "One"), (2, "Two")]


@given(PAGES, st.sampled_from([1, 7, 50]))
def test_blocks_change_nothing_but_where_the_text_is_divided(page: str, block_chars: int) -> None:
    assert extracted(page, block_chars=block_chars)[0] == extracted(page)[0]


@given(PAGES, st.integers(1, 20))
def test_a_page_may_come_in_pieces_of_any_size(page: str, size: int) -> None:
    pieces = [page[start : start + size] for start in range(0, len(page), size)]
    text = "".join(text for text, _ in Extraction(100).blocks(pieces))
    assert "".join(text.split()) == "".join(extracted(page)[0].split())


@given(PAGES)
def test_a_heading_spans_its_title(page: str) -> None:
    for text, headings in Extraction(20).blocks([page]):
        for heading in headings:
            assert " ".join(text[heading.start : heading.end].split()) == heading.title


def test_blocks_end_at_paragraphs() -> None:
    blocks = [text for text, _ in Extraction(10).blocks(["<p>Some words</p>" * 3])]
    assert blocks == ["Some words", "\n\nSome words", "\n\nSome words\n"]


@pytest.mark.parametrize("unit", ["<", "<a", "<!--", '<a b="', "&", "</", "<?", "<!", "<![x"])
def test_broken_pages_are_read_in_linear_time(unit: str) -> None:
    """Each takes milliseconds; anything quadratic would take minutes and be noticed."""
    for end in ("", ">", " tail</p>"):
        page = unit * 30_000 + end
        text, headings = extracted(page, block_chars=1000)
        assert (len(text) <= len(page) + 1, headings) == (True, [])
