"""PDF: the text of each page, with headings, without what repeats on most pages.

A page says where characters stand, and little of what they are. Lines that are larger than most
are headings; if no line is, the outline's entries are. Lines further apart than most begin a
paragraph. What stands alike at the ends of many pages is a running header or footer.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from threading import Lock
from typing import Any

import pypdfium2 as pdfium  # type: ignore[import-untyped]
from pypdfium2 import raw

from avalan.locale import _
from avalan.retrieval.documents import Document, Part, Unreadable, damaged
from avalan.retrieval.headings import MAX_TITLE, Heading

_MAX_PAGES = 20_000
_MAX_ENTRIES = 10_000
"""Of the outline."""
_SAMPLE = 100
"""Pages from which is learnt what most lines are like."""
_LARGER, _WIDER = 1.15, 1.4
"""Than most lines: a heading's height; the distance before a paragraph."""
_MAX_HEADINGS = 0.2
"""Share of lines; where more are large, size does not tell headings."""
_ENDS = 2
"""Lines at each end of a page that may be running headers or footers."""
_REPEATS = 0.4
"""Share of pages; even and odd ones may differ."""
_MIN_PAGES = 4

# The library marks a hyphen at which it has joined two lines; a page may end in another.
_JOINED = re.compile(r"[\x02\ufffe]([^\W\d_]?)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\xad\u2010]$")
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\ufffe\uffff]")
_SENTENCE_END = re.compile(r"[.!?:;。！？][\"'”’)\]]*\Z")
_DIGITS = re.compile(r"\d+")
_DOTS = re.compile(r"(?:\.[ ]?){4}")  # Of a table of contents.

# The library may not be called from two threads; it is held for a page at a time.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    height: float
    bottom: float
    """Of its first character; in points above the page's end."""
    last_bottom: float
    """Of its last one, which is lower where the library has joined two lines at a hyphen."""


@dataclass(frozen=True, slots=True)
class _Habits:
    """What most lines of a document are like."""

    height: float
    sizes: tuple[float, ...]
    """Heights of headings, the largest first; empty where size does not tell them."""
    running: frozenset[str]


def read(document: Document) -> Iterator[Part]:
    """The pages' text, each at "page 12", counted from 1 as viewers do.

    Raises:
        Unreadable: it is encrypted, damaged, far too long, or has no text.
    """
    path = document.path
    with _opened(path) as pdf:
        num_pages = len(pdf)
        if num_pages > _MAX_PAGES:
            reason = _("it has more than {count:,} pages; divide it", count=_MAX_PAGES)
            raise Unreadable(path, reason)
        step = max(num_pages // _SAMPLE, 1)
        habits = _habits([_lines(pdf, number) for number in range(0, num_pages, step)])
        outline = {} if habits.sizes else _outline(pdf)
        parts = _parts(pdf, habits, outline)
        first = next(parts, None)
        if first is None:
            reason = _("it has no text, as if scanned; run text recognition (OCR) on it first")
            raise Unreadable(path, reason)
        yield first
        yield from parts


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _ONE_AT_A_TIME:
        try:
            pdf = pdfium.PdfDocument(path)
        except pdfium.PdfiumError as error:
            if error.err_code == raw.FPDF_ERR_PASSWORD:
                reason = _("it is encrypted; save a copy without a password")
                raise Unreadable(path, reason) from None
            raise damaged(path) from None
    try:
        yield pdf
    finally:
        with _ONE_AT_A_TIME:
            pdf.close()


def _parts(pdf: Any, habits: _Habits, outline: dict[int, list[tuple[int, str]]]) -> Iterator[Part]:
    held: Part | None = None
    for number in range(len(pdf)):
        page = _page(_lines(pdf, number), habits, outline.get(number, []))
        if not page.text:
            continue
        page = replace(page, locator=f"page {number + 1}")
        if held:
            yield replace(held, text=_continued(held.text, page.text))
        held = page
    if held:
        yield replace(held, text=held.text + "\n\n")


def _continued(text: str, following: str) -> str:
    """`text` with what separates it from the next page's: nothing within a word."""
    if following[:1].islower():
        if _HYPHEN.search(text[-2:]):
            return text[:-1]
        if not _SENTENCE_END.search(text[-5:]):
            return text + "\n"
    return text + "\n\n"


def _lines(pdf: Any, number: int) -> list[_Line]:
    """The lines of a page; none where it cannot be read, so that the others still are."""
    with _ONE_AT_A_TIME:
        return _read_lines(pdf, number)


def _read_lines(pdf: Any, number: int) -> list[_Line]:
    try:
        page = pdf[number]
        textpage = page.get_textpage()
    except pdfium.PdfiumError:
        return []
    lines = []
    position = 0
    for line in textpage.get_text_range().split("\r\n"):
        words = line.strip()
        if words:
            last = position + _width(line.rstrip()) - 1
            bottom, top = _extent(textpage, position + line.index(words[0]))
            last_bottom, _top = _extent(textpage, last)
            words = _CONTROL.sub("", _JOINED.sub(_rejoined, words))
            lines.append(_Line(" ".join(words.split()), top - bottom, bottom, last_bottom))
        position += _width(line) + 2
    textpage.close()
    page.close()
    return [line for line in lines if line.text]


def _rejoined(match: re.Match[str]) -> str:
    """What follows a hyphen; with it where a name or a number does, as in "Jean-Luc"."""
    return match[1] if match[1].islower() else f"-{match[1]}"


def _width(text: str) -> int:
    """Code units of UTF-16, in which the library counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _extent(textpage: Any, position: int) -> tuple[float, float]:
    """(bottom, top) of the room for a character of the text, in points; zeros if unknown."""
    index = raw.FPDFText_GetCharIndexFromTextIndex(textpage, position)
    try:
        _left, bottom, _right, top = textpage.get_charbox(index, loose=True)
    except pdfium.PdfiumError:
        return 0.0, 0.0
    return bottom, top


# --- what most lines are like ------------------------------------------------------------------


def _habits(pages: Sequence[Sequence[_Line]]) -> _Habits:
    heights: Counter[float] = Counter()
    ends: Counter[str] = Counter()
    for page in pages:
        for line in page:
            heights[round(line.height, 1)] += len(line.text)
        ends.update({_pattern(line) for line in (*page[:_ENDS], *page[-_ENDS:])})
    height = heights.most_common(1)[0][0] if heights else 0.0
    enough = len(pages) if len(pages) >= _MIN_PAGES else float("inf")
    running = frozenset(text for text, count in ends.items() if count > _REPEATS * enough)
    lines = [line for page in pages for line in page]
    large = [line for line in lines if _is_large(line, height) and _pattern(line) not in running]
    is_telling = len(large) <= _MAX_HEADINGS * len(lines)
    sizes = sorted({round(line.height) for line in large if is_telling}, reverse=True)
    return _Habits(height, tuple(sizes), running)


def _pattern(line: _Line) -> str:
    return _DIGITS.sub("#", line.text)


def _is_large(line: _Line, height: float) -> bool:
    is_title = len(line.text) <= MAX_TITLE and not _DOTS.search(line.text)
    has_word = any(map(str.isalpha, line.text))
    return is_title and has_word and 0 < _LARGER * height < line.height


def _outline(pdf: Any) -> dict[int, list[tuple[int, str]]]:
    """(level, title) of the outline's entries, by the page that they lead to."""
    with _ONE_AT_A_TIME:
        entries = [
            (entry.level, entry.get_title(), target.get_index())
            for entry in islice(pdf.get_toc(), _MAX_ENTRIES)
            if (target := entry.get_dest())
        ]
    found: dict[int, list[tuple[int, str]]] = {}
    for level, words, page in entries:
        title = " ".join(_CONTROL.sub("", words).split())
        if page is not None and title and len(title) <= MAX_TITLE:
            found.setdefault(page, []).append((1 + level, title))
    return found


# --- one page ----------------------------------------------------------------------------------


def _page(lines: list[_Line], habits: _Habits, entries: list[tuple[int, str]]) -> Part:
    lines = [
        line
        for number, line in enumerate(lines)
        if _ENDS <= number < len(lines) - _ENDS or _pattern(line) not in habits.running
    ]
    if not lines:
        return Part(text="")
    pitches = [above.last_bottom - below.bottom for above, below in pairwise(lines)]
    usual = median([pitch for pitch in pitches if pitch > 0] or [0.0])
    text, headings = "", list[Heading]()
    above: _Line | None = None
    for line in lines:
        level = _level(line, habits)
        if above is None:
            gap = ""
        elif level != _level(above, habits) or above.last_bottom - line.bottom > _WIDER * usual:
            gap = "\n\n"
        else:
            gap = "\n"
        start = len(text) + len(gap)
        text += gap + line.text
        if level:
            _add_heading(headings, text, start, level, is_next=gap == "\n")
        above = line
    headings += _placed(entries, text)
    return Part(text=text, headings=tuple(headings))


def _level(line: _Line, habits: _Habits) -> int:
    """1 for the largest headings, 0 for what is none."""
    if not habits.sizes or not _is_large(line, habits.height):
        return 0
    return min(1 + sum(size > round(line.height) for size in habits.sizes), 6)


def _add_heading(
    headings: list[Heading], text: str, start: int, level: int, *, is_next: bool
) -> None:
    """Add the heading at the end of `text`, which may be the next line of the last one."""
    if is_next and headings and len(text) - headings[-1].start <= MAX_TITLE:
        start = headings.pop().start
    title = " ".join(text[start:].split())
    headings.append(Heading(start=start, end=len(text), level=level, title=title))


def _placed(entries: list[tuple[int, str]], text: str) -> Iterator[Heading]:
    """The outline's entries where their words stand; at the page's start if they do not."""
    start = 0
    for level, title in entries:
        words = re.compile(r"\s+".join(map(re.escape, title.split())), re.IGNORECASE)
        match = words.search(text, start)
        start, end = match.span() if match else (start, start)
        yield Heading(start=start, end=end, level=level, title=title)
        start = end
