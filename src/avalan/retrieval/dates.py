"""The date that a document gives itself: in its name, in its front matter or in its first lines.

Of two versions that contradict each other the newer one counts, so a date is better missed than
wrong: 02/09/2024 may be two days and is none, and so is a date that is far down in the text.
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import cache

_FIRST = 600
"""Characters from the beginning in which a document says when it is from."""
_MONTHS = {
    name: number
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    )
    for number, name in enumerate(names.split(), 1)
}
_NAMES = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = rf"""
      (?<![\d-])(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})(?![\d-])
    | (?<![\d.])(?P<dots>\d{{1,2}}\.\s?\d{{1,2}}\.\s?\d{{4}})(?!\d|\.\d)
    | \b(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s+(?:of\s+|de\s+)?(?P<month>{_NAMES})\.?,?
      \s+(?:de\s+|del\s+)?(?P<year>\d{{4}})\b
    | \b(?P<us_month>{_NAMES})\.?\s+(?P<us_day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<us_year>\d{{4}})\b
    | \b(?P<only_month>{_NAMES})\.?\s+(?:de\s+)?(?P<only_year>\d{{4}})\b
    """


def date_of(name: str, text: str) -> date | None:
    """When a document is from, as it says itself; None where it does not.

    Args:
        name: of its file, where a date counts first.
        text: from its beginning.
    """
    return next(iter((*_dates(name), *_dates(text[:_FIRST]))), None)


def _dates(text: str) -> Iterator[date]:
    for match in _pattern().finditer(text.replace("_", " ")):
        found = _date(match)
        if found is not None:
            yield found


@cache
def _pattern() -> re.Pattern[str]:
    """Compiled when it is first wanted: it takes 3 ms, and most answers want no date."""
    return re.compile(_DATE, re.VERBOSE | re.IGNORECASE)


def _date(match: re.Match[str]) -> date | None:
    if match["iso"]:
        year, month, day = map(int, match["iso"].split("-"))
    elif match["dots"]:
        day, month, year = map(int, match["dots"].split("."))
    elif match["month"]:
        day, month, year = int(match["day"]), _month(match["month"]), int(match["year"])
    elif match["only_month"]:
        day, month, year = 1, _month(match["only_month"]), int(match["only_year"])
    else:
        day, month = int(match["us_day"]), _month(match["us_month"])
        year = int(match["us_year"])
    try:
        return date(year, month, day)
    except ValueError:  # The 31st of February, or 13 as a month.
        return None


def _month(name: str) -> int:
    return _MONTHS[name.lower()]
