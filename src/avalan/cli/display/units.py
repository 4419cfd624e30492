"""Numbers for people."""

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


def seconds_text(seconds: float) -> str:
    """`34 ms`, `1.2 s`, `3 min 20 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}".removesuffix(".0")
