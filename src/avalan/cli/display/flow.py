"""Text that flows: wrapped once, line by line, while it is still being written.

A line that is followed by another never changes again, whatever comes after it, so it can be
committed to the terminal's scrollback. Nothing of the text is lost: the lines, with a line break
where the text has one, are the text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from avalan.cli.console import cell_width, neutralise
from avalan.cli.display.layout import Piece, merged

Line = list[Piece]
TAB = "    "
GUTTER = "¦ "
"""What stands before a line of reasoning."""


@lru_cache(maxsize=1 << 16)
def columns(text: str) -> int:
    """Columns that `text` takes, at most; the same few texts are asked about in every frame."""
    return cell_width(text)


def columns_of(line: Line) -> int:
    """Columns that a line takes, at most."""
    return sum(columns(text) for text, _ in line)


# They join what is before them with what follows: a family of emoji is one picture.
_ZERO_WIDTH_JOINER = "\u200d"
_SELECTORS = "\ufe0e\ufe0f"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text, as one token added it."""

    text: str
    style: str = ""
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """The end of a text that is not committed yet: less than a line, mostly."""

    spans: tuple[Span, ...] = ()

    @property
    def reasoning(self) -> bool:
        """Whether the text is in the model's reasoning at the moment."""
        return bool(self.spans) and self.spans[-1].reasoning


def advance(flow: Flow, spans: Iterable[Span], width: int) -> tuple[list[Line], Flow]:
    """Add to a text.

    Returns:
        The lines that are finished, and what is left of the text.
    """
    finished: list[Line] = []
    held: list[Span] = list(flow.spans)
    for span in spans:
        if not held and not span.text:
            continue
        if held and held[-1].reasoning != span.reasoning:
            done = lines_of(held, width)
            finished += [*(done[:-1] if _ends_a_line(held) else done), []]
            held = []
        held.append(span)
    lines = lines_of(held, width, gutter=False)
    reasoning = bool(held) and held[-1].reasoning
    finished += [_with_gutter(line, reasoning) for line in lines[:-1]]
    # An empty span remembers which of the two texts goes on.
    last = tuple(Span(text, style, reasoning) for text, style in lines[-1] or [("", "")])
    return finished, Flow(last if held else ())


def _ends_a_line(spans: Sequence[Span]) -> bool:
    """Whether nothing stands on the last line."""
    return "".join(span.text for span in spans)[-1:] in ("", "\n")


def last_line(flow: Flow, width: int) -> Line:
    """The line that is being written."""
    return lines_of(flow.spans, width)[-1]


def lines_of(spans: Sequence[Span], width: int, *, gutter: bool = True) -> list[Line]:
    """The lines of one text, its reasoning or its answer."""
    reasoning = bool(spans) and spans[-1].reasoning
    room = width - columns(GUTTER) if reasoning else width
    lines = fold([(span.text, span.style) for span in spans], room)
    return [_with_gutter(line, reasoning and gutter) for line in lines]


def _with_gutter(line: Line, reasoning: bool) -> Line:
    return [(GUTTER, "reasoning"), *line] if reasoning else line


def fold(pieces: Iterable[Piece], width: int) -> list[Line]:
    """Lines of at most `width` columns, broken between words, spaces hanging over the end.

    Wide scripts break between any two characters; a word that is wider than a line is cut. Control
    characters are made visible, because as pictures they take columns.
    """
    folding = _Folding(max(width, 2))
    for text, style in pieces:
        for part in _PARTS.findall(neutralise(text).replace("\t", TAB)):
            folding.add(part, style)
    return folding.lines()


_PARTS = re.compile(r"\n| +|[!-~]+|[^\n -~]")
"""A line break, spaces, a word of ASCII, or one other character."""


class _Folding:
    """The lines so far, and the word that may still move to the next one."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._lines: list[Line] = [[]]
        self._used = 0
        self._word: Line = []
        self._size = 0
        self._has_wide = False

    def add(self, part: str, style: str) -> None:
        if part == "\n":
            self._place()
            self._break()
        elif part[0] == " ":
            self._place()
            self._put(part, "", len(part))  # Nothing to see, and no underline under it.
        else:
            is_wide = _is_wide(part)
            if self._word and not self._belongs(part, is_wide):
                self._place()
            self._word.append((part, style))
            self._size += columns(part)
            self._has_wide = self._has_wide or is_wide

    def lines(self) -> list[Line]:
        self._place()
        return [merged(line) for line in self._lines]

    def _belongs(self, part: str, is_wide: bool) -> bool:
        """Whether there is no place for a break before `part`."""
        if _joins(part) or self._word[-1][0] == _ZERO_WIDTH_JOINER:
            return True
        return not is_wide and not self._has_wide

    def _place(self) -> None:
        if not self._word:
            return
        if self._used and self._used + self._size > self._width:
            self._break()
        if self._used + self._size <= self._width:
            self._lines[-1] += self._word
            self._used += self._size
        else:
            self._cut()
        self._word, self._size, self._has_wide = [], 0, False

    def _cut(self) -> None:
        for cluster, style, size in _clusters(self._word):
            if self._used and self._used + size > self._width:
                self._break()
            self._put(cluster, style, size)

    def _put(self, text: str, style: str, size: int) -> None:
        self._lines[-1].append((text, style))
        self._used += size

    def _break(self) -> None:
        self._lines.append([])
        self._used = 0


def _clusters(word: Line) -> Iterator[tuple[str, str, int]]:
    """Characters with what is joined to them, and the columns that they take together."""
    held, style = "", ""
    for character, its_style in ((each, its) for text, its in word for each in text):
        if held and not _joins(character) and held[-1] != _ZERO_WIDTH_JOINER:
            yield held, style, columns(held)
            held = ""
        style = style if held else its_style
        held += character
    if held:
        yield held, style, columns(held)


def _joins(part: str) -> bool:
    if part.isascii():
        return False
    return part == _ZERO_WIDTH_JOINER or part in _SELECTORS or columns(part) == 0


def _is_wide(part: str) -> bool:
    return not part.isascii() and columns(part) > 1
