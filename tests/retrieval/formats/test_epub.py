"""EPUB: chapters in reading order, at their titles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from avalan.retrieval.documents import Block, Unreadable, survey

Make = Callable[..., bytes]


def block(folder: Path, data: bytes) -> Block:
    path = folder / "a.epub"
    path.write_bytes(data)
    (found,) = survey(path).blocks()
    return found


def test_chapters_come_in_the_order_of_the_spine_at_their_titles(
    tmp_path: Path, make_epub: Make
) -> None:
    chapters = {
        "z.xhtml": "<html><title>The book</title><h1>One</h1><p>First &amp; foremost.</p></html>",
        "a%20b.xhtml": "<p>Second.</p>",
    }
    data = make_epub(chapters, **{"book__a b.xhtml": chapters["a%20b.xhtml"]})
    found = block(tmp_path, data)
    assert found.text == "The book\n\nOne\n\nFirst & foremost.\n\nSecond.\n\n"
    assert [place for _, place in found.places] == ["One", "a b.xhtml"]


def test_an_xhtml_page_in_another_encoding_is_read(tmp_path: Path, make_epub: Make) -> None:
    assert "naïve" in block(tmp_path, make_epub({"1.xhtml": "\ufeff<p>naïve</p>"})).text


@pytest.mark.parametrize(
    "container",
    [
        "no xml",
        "<container/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><container><rootfile full-path="book/a.opf"/></container>',
        '<container><rootfile full-path="book/none.opf"/></container>',
        '<container><rootfile full-path="../../../etc/passwd"/></container>',
    ],
)
def test_what_is_no_book_is_damaged(tmp_path: Path, make_zip: Make, container: str) -> None:
    data = make_zip({"META-INF/container.xml": container, "book/a.opf": "<package/>"})
    with pytest.raises(Unreadable, match="it is damaged, or not what its name says"):
        block(tmp_path, data)


def test_a_book_that_is_protected_says_so(tmp_path: Path, make_epub: Make) -> None:
    locked = "<encryption><CipherReference URI='book/1.xhtml'/></encryption>"
    fonts = "<encryption><CipherReference URI='book/font.otf'/></encryption>"
    chapters = {"1.xhtml": "<p>Words.</p>"}
    with pytest.raises(Unreadable, match="it is protected against copying"):
        block(tmp_path, make_epub(chapters, **{"META-INF__encryption.xml": locked}))
    free = make_epub(chapters, **{"META-INF__encryption.xml": fonts})
    assert block(tmp_path, free).text == "Words.\n\n"
