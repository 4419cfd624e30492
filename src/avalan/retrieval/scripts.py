"""Scripts that put no spaces between words, made searchable by their characters.

SQLite's full-text search knows words by what stands between them, so that to it a whole Chinese
clause is one word. Here its characters are set apart before they are indexed, and a question asks
for each pair of neighbours, as Lucene's CJKBigramFilter does. Korean puts spaces, but glues
particles to its nouns, and is treated alike. Text without such characters stays as it is.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

_MARK = "\x1f"
"""The unit separator: one byte, and to the full-text search no part of a word."""

_CHINESE = "\u3005-\u3007\u3100-\u312f\u31a0-\u31bf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_CHINESE += "\U00020000-\U0003ffff"
_JAPANESE = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_KOREAN = "\uac00-\ud7a3"
_SOUTH_EAST = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
_UNSPACED = _CHINESE + _JAPANESE + _KOREAN + _SOUTH_EAST

_CHARACTER = f"[{_UNSPACED}]"
_JOINT = rf"(?<=[{_UNSPACED}])(?=\w)|(?<=\w)(?=[{_UNSPACED}])"
_RUN = f"[{_UNSPACED}]+|[^{_UNSPACED}]+"
_MARKS = re.compile(f"{_MARK}({_MARK}?)")


def spaced(text: str) -> str:
    """`text` with a mark between characters that would stand in one word; `joined` undoes it.

    A mark that the text itself has is doubled. None that is set stands beside another, because it
    stands between two characters of words.
    """
    text = text.replace(_MARK, _MARK * 2)
    return _compiled(_JOINT).sub(_MARK, text) if _is_unspaced(text) else text


def joined(text: str) -> str:
    """The text that `spaced` was given."""
    return _MARKS.sub(r"\1", text) if _MARK in text else text


def phrases(word: str) -> Iterator[str]:
    """What to look for in spaced texts in order to find `word`: it, or each two neighbours in it.

    Pairs, because a single character stands in too many words and a question holds whole clauses.
    """
    for run in _runs(word):
        if len(run) < 3 or not _is_unspaced(run):
            yield spaced(run)
        else:
            yield from (spaced(run[i : i + 2]) for i in range(len(run) - 1))


def without_vowel_signs(text: str) -> str:
    """`text` without the signs above and below its South East Asian letters.

    The full-text search drops them too, and a word would end at each.
    """
    if not _is_unspaced(text):
        return text
    return "".join(character for character in text if not _is_sign(character))


def _runs(word: str) -> list[str]:
    """Its parts with and without spaces between words, in turn."""
    if word.isascii():
        return [word] if word else []
    return _compiled(_RUN).findall(word)


def _is_unspaced(text: str) -> bool:
    return not text.isascii() and _compiled(_CHARACTER).search(text) is not None


def _is_sign(character: str) -> bool:
    is_sign = unicodedata.category(character)[0] == "M"
    return is_sign and _compiled(_CHARACTER).match(character) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled where a text has more than ASCII: it takes 6 ms, which most questions need not."""
    return re.compile(pattern)
