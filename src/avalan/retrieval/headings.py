"""Find the headings of a text: Markdown, underlined titles, definitions, the names of columns.

A finder lives as long as its document and reads it block by block, since what a line means can
depend on what came before: an open code fence, or which underline was used first.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from textwrap import shorten

from avalan.retrieval.formats import code, csv

Layout = str
"""As `formats.Format.layout` names it."""

MAX_TITLE = 200
"""Characters; what is longer is not a heading."""

_MARKDOWN = re.compile(
    r"^ {0,3}(?:(?P<marks>\#{1,6})(?=[ \t\r\n]|\Z)[^\r\n]*|(?P<fence>`{3,}|~{3,})[^\r\n]*)"
    r"|^(?:={2,}|-{2,})[ \t]*\r?$",
    re.MULTILINE,
)
_UNDERLINE = re.compile(r"""^([=\-~^"*#+_'`])\1{2,}[ \t]*\r?$""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A title and where it stands."""

    start: int
    end: int
    """Characters of the block it was found in; underlines, overlines and marks included."""
    level: int
    """1 is the highest that a text's own marks can give; 0 is an HTML page's title."""
    title: str


Trail = tuple[Heading, ...]
"""The headings that a place stands under, outermost first."""


def follow(trail: Trail, headings: Iterable[Heading]) -> Trail:
    """The trail after `headings`: each ends those of its own level and below."""
    for heading in headings:
        trail = (*(above for above in trail if above.level < heading.level), heading)
    return trail


def title(trail: Trail) -> str:
    """The trail as one line, as in "Sequences > Lists"; what repeats what is above is left out."""
    return " > ".join(dict.fromkeys(heading.title for heading in trail))


class HeadingFinder:
    """Finds the headings in the blocks of one document, in their order."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._fence = ""
        # reStructuredText gives no underline a level: the first style met is the highest.
        self._styles: list[str] = []

    def find(self, block: str) -> tuple[Heading, ...]:
        """The headings of the next block; offsets are into it."""
        if self._layout == "markdown":
            return tuple(self._markdown(block))
        if self._layout in code.FAMILIES:
            return tuple(
                _heading(match.start(), match.end(), 1 + indent, name)
                for match, indent, name in code.definitions(self._layout, block)
                if len(name) <= MAX_TITLE
            )
        if self._layout == "csv":
            return tuple(self._columns(block))
        return () if self._layout == "none" else tuple(self._underlined(block))

    def _columns(self, block: str) -> Iterator[Heading]:
        """The names of a table's columns stand above all of its rows."""
        self._layout = "none"
        words, end = csv.columns(block)
        if words:
            yield _heading(0, end, 1, shorten(words, MAX_TITLE, placeholder=" …"))

    def _markdown(self, block: str) -> Iterator[Heading]:
        for match in _MARKDOWN.finditer(block):
            if fence := match["fence"]:
                self._turn_fence(fence, match[0])
            elif self._fence:
                continue
            elif marks := match["marks"]:
                words = match[0].strip().strip("#").strip()
                if words and len(words) <= MAX_TITLE:
                    yield _heading(match.start(), match.end(), len(marks), words)
            elif found := _title_above(block, match):
                level = 1 if match[0][0] == "=" else 2
                yield _heading(found.start, match.end(), level, found.words)

    def _turn_fence(self, fence: str, line: str) -> None:
        if not self._fence:
            self._fence = fence
        elif fence.startswith(self._fence) and not line.strip().strip(fence[0]):
            self._fence = ""

    def _underlined(self, block: str) -> Iterator[Heading]:
        for match in _UNDERLINE.finditer(block):
            if found := _title_above(block, match):
                style = match[1] * (2 if found.overlined else 1)
                if style not in self._styles:
                    self._styles.append(style)
                level = self._styles.index(style) + 1
                yield _heading(found.start, match.end(), level, found.words)


@dataclass(frozen=True, slots=True)
class _Title:
    start: int
    words: str
    overlined: bool


def _title_above(block: str, underline: re.Match[str]) -> _Title | None:
    """The title that `underline` belongs to, if it is one: a line of its own, not too long."""
    start, line = _line_before(block, underline.start())
    above_start, above = _line_before(block, start)
    rule = underline[0].strip()
    overlined = bool(above) and above.strip() == rule
    words = line.strip()
    is_title = (
        any(map(str.isalnum, words))
        and len(words) <= MAX_TITLE
        and len(rule) >= min(len(words), 4)
        and (overlined or (not above.strip() and not line[0].isspace()))
    )
    return _Title(above_start if overlined else start, words, overlined) if is_title else None


def _line_before(block: str, position: int) -> tuple[int, str]:
    """Where the line before the one at `position` starts, and its text; "" above the first."""
    end = max(position - 1, 0)
    start = block.rfind("\n", 0, end) + 1
    return start, block[start:end]


def _heading(start: int, end: int, level: int, words: str) -> Heading:
    return Heading(start=start, end=end, level=level, title=" ".join(words.split()))
