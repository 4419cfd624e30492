"""Numbers for people."""

from avalan.locale import _, ngettext

_DAY_S = 86400
_BYTES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_COUNTS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))


def bytes_text(size: int) -> str:
    """`4.9 GB`: decimal units, as on the label of a disk."""
    for unit, name in _BYTES:
        if size >= unit:
            return f"{_short(size / unit)} {name}"
    return f"{size} B"


def count_text(count: float) -> str:
    """`8.6B`: thousands, millions, billions, trillions."""
    for unit, name in _COUNTS:
        if count >= unit:
            return f"{_short(count / unit)}{name}"
    return f"{count:.0f}"


_LONG_MIN = 120
"""From here on seconds say nothing."""


def seconds_text(seconds: float) -> str:
    """`34 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < _LONG_MIN:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def age(seconds: float) -> str:
    """`today`, `yesterday`, `12 days ago`, `5 months ago`."""
    days = int(max(seconds, 0) // _DAY_S)
    if days < 2:
        return (_("today"), _("yesterday"))[days]
    if days < 2 * 7:
        return ngettext("{n} day ago", "{n} days ago", days)
    if days < 2 * 30:
        return ngettext("{n} week ago", "{n} weeks ago", days // 7)
    if days < 2 * 365:
        return ngettext("{n} month ago", "{n} months ago", days // 30)
    return ngettext("{n} year ago", "{n} years ago", days // 365)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}".removesuffix(".0")
