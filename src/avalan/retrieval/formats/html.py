"""The text of an HTML page, and its headings.

Scripts, styles and templates are dropped, entities are decoded, white space is folded as a browser
would, and what a browser sets apart stands on lines of its own. A page's title is its first line.
"""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser

from avalan.retrieval import documents
from avalan.retrieval.headings import MAX_TITLE, Heading

_DROPPED = frozenset({"script", "style", "template", "svg", "math"})
_SET_APART = """
address article aside blockquote body details dialog div dl fieldset figcaption figure footer form
h1 h2 h3 h4 h5 h6 header hr main nav ol p pre section summary table title ul
"""
_PARAGRAPHS = frozenset(_SET_APART.split())
_LINES = frozenset({"br", "caption", "dd", "dt", "legend", "li", "option", "tr"})
_CELLS = frozenset({"td", "th"})
_LEVELS = {"title": 0, "h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_MARKUP = re.compile(r"<[A-Za-z/!?]")
_SPACE = re.compile(r"\s+")


def read(document: documents.Document) -> Iterator[documents.Part]:
    """The page's text, at paragraphs."""
    for text, headings in Extraction(documents.BLOCK_CHARS).blocks(document.pieces()):
        yield documents.Part(text=text, headings=headings)


class Extraction(HTMLParser):
    """One page's text, given out in blocks as it is read."""

    def __init__(self, block_chars: int) -> None:
        super().__init__(convert_charrefs=True)
        self._block_chars = block_chars
        self._parts: list[str] = []
        self._length = 0
        # What separates the next word from what stands there: "", " ", "\t", "\n" or "\n\n".
        self._gap = ""
        self._is_empty = True
        self._dropped = 0
        self._preformatted = 0
        self._bullet = False
        self._headings: list[Heading] = []
        self._ready: list[tuple[str, tuple[Heading, ...]]] = []
        self._heading: tuple[int, int] | None = None

    def blocks(self, pieces: Iterable[str]) -> Iterator[tuple[str, tuple[Heading, ...]]]:
        """The extracted text in blocks of about the size asked for, each with its headings."""
        for piece in pieces:
            self.feed(piece)
            yield from self._taken()
        self._finish()
        self._end_heading()
        if not self._is_empty:
            self._append("\n")
            self._flush()
        yield from self._taken()

    def parse_html_declaration(self, i: int) -> int:
        """Pass over `<![…>`, a comment to browsers; the library stumbles over some of it."""
        if self.rawdata.startswith("<![", i):
            return self.parse_bogus_comment(i)
        return super().parse_html_declaration(i)

    def _finish(self) -> None:
        """Read what was held back; a tag, comment or script that never ends is dropped.

        As in browsers; and `close`, which would look for tags in it, takes quadratic time.
        """
        rest, self.rawdata = self.rawdata, ""
        if not self.cdata_elem and not _MARKUP.match(rest):
            self.handle_data(unescape(rest))

    def _taken(self) -> list[tuple[str, tuple[Heading, ...]]]:
        ready, self._ready = self._ready, []
        return ready

    def _flush(self) -> None:
        self._ready.append(("".join(self._parts), tuple(self._headings)))
        self._parts, self._headings, self._length = [], [], 0

    # --- what the parser meets --------------------------------------------------------------

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag in _DROPPED:
            self._dropped += 1
        self._separate(tag)
        if tag in _LEVELS:
            self._end_heading()
            self._heading = (_LEVELS[tag], -1)
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "li":
            self._bullet = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only void and foreign elements close themselves; `<div/>` opens a div, as in browsers."""
        if tag not in _DROPPED:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag in _DROPPED:
            self._dropped = max(self._dropped - 1, 0)
        elif tag in _LEVELS:
            self._end_heading()
        elif tag == "pre":
            self._preformatted = max(self._preformatted - 1, 0)
        self._separate(tag)

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if self._dropped:
            return
        if self._preformatted:
            lines = data.replace("\r\n", "\n")
            if lines := lines.lstrip("\n") if self._gap else lines:
                self._word(lines)
            return
        if data[:1].isspace():
            self._widen(" ")
        words = _SPACE.sub(" ", data).strip()
        if words:
            self._word(words)
            if data[-1].isspace():
                self._widen(" ")

    # --- putting the text together ----------------------------------------------------------

    def _separate(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._widen("\n\n")
        elif tag in _LINES:
            self._widen("\n")
        elif tag in _CELLS:
            self._widen("\t")

    def _widen(self, gap: str) -> None:
        """The widest of the gaps between two words stays."""
        self._gap = max(self._gap, gap, key=("", " ", "\t", "\n", "\n\n").index)

    def _word(self, text: str) -> None:
        self._keep_bounded()
        if not self._is_empty:
            self._append(self._gap)
        self._gap = ""
        if self._bullet:
            self._append("- ")
            self._bullet = False
        if self._heading and self._heading[1] < 0:
            self._heading = (self._heading[0], self._length)
        self._append(text)

    def _keep_bounded(self) -> None:
        if self._heading and 0 <= self._heading[1] < self._length - 4 * MAX_TITLE:
            self._heading = None  # It was never closed; what it holds is no title.
        at_paragraph = self._gap == "\n\n" or self._length >= 4 * self._block_chars
        if self._length >= self._block_chars and at_paragraph and not self._heading:
            self._flush()

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        self._is_empty = False

    def _end_heading(self) -> None:
        if self._heading is None:
            return
        level, start = self._heading
        self._heading = None
        if start < 0:
            return
        words = " ".join("".join(self._parts)[start:].split())
        if len(words) <= MAX_TITLE:
            self._headings.append(Heading(start=start, end=self._length, level=level, title=words))
