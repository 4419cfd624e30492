"""Words as shells write them: quotes taken off what was typed, and put on what is offered.

Nothing here is ever given to a shell to be evaluated. What is offered was named by other people
(files, models), so in bash, which inserts an offer as it is, every sign that a shell could obey
is escaped; zsh and fish do that themselves.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from avalan.cli.completion import Candidate

_BREAKS = frozenset("=:@")
"""Signs at which bash cuts words (its COMP_WORDBREAKS, less those that end a command's words)."""


class Plain(NamedTuple):
    """A word without its quotes."""

    text: str
    quote: str
    """The quote that is still open, or nothing."""


def plain(word: str) -> Plain:
    """Take off quotes and backslashes; variables and the like stay as they are written."""
    text: list[str] = []
    quote = ""
    signs = iter(word)
    for sign in signs:
        if sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
        elif sign == "\\" and quote != "'":
            text.append(_escaped(next(signs, ""), quote))
        else:
            text.append(sign)
    return Plain("".join(text), quote)


def _escaped(sign: str, quote: str) -> str:
    return "\\" + sign if quote and sign not in '$`"\\' else sign


class Line(NamedTuple):
    """What bash has of a command line."""

    words: list[str]
    """Whole words before the current one, without quotes."""
    current: Plain
    kept: str
    """The beginning of the current word, without quotes, that bash leaves as it is."""


def bash_line(fragments: Sequence[str]) -> Line:
    """Join again what bash has cut at `=` and `:`.

    Args:
        fragments: of COMP_WORDS, those after the command up to the current one; at least one.
    """
    words: list[str] = []
    start = ""
    joins = False
    for fragment in fragments:
        cuts = bool(fragment) and set(fragment) <= _BREAKS
        if words and (cuts or joins):
            start = words.pop() + (fragment if cuts else "")
            words.append(start if cuts else start + fragment)
        else:
            start = ""
            words.append(fragment)
        joins = cuts
    *before, current = words or [""]
    return Line([plain(word).text for word in before], plain(current), plain(start).text)


def bash_replies(line: Line, candidates: Iterable[Candidate]) -> Iterator[str]:
    """What bash may insert in place of the current fragment."""
    for candidate in candidates:
        if candidate.word.startswith(line.current.text):
            reply = _quoted(candidate.word[len(line.kept) :], line.current.quote)
            if reply is not None:
                yield reply


def _quoted(text: str, quote: str) -> str | None:
    """`text` for a place inside `quote`; None where it cannot be written there."""
    if quote == "'":
        return None if "'" in text else text
    if quote == '"':
        # History expansion reads even what is escaped there.
        return None if "!" in text else re.sub(r'([$`"\\])', r"\\\1", text)
    return re.sub(r"([^\w%+=:@,./-])", r"\\\1", text)
