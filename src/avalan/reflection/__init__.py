"""Reflection: the tokens, the record, the judges, the gate and the loop that asks."""

from typing import Any

from avalan import extras

_HOMES = {
    "ask": "asking",
    "AskSettings": "settings",
    "Panel": "panel",
    "open_panel": "panel",
    **dict.fromkeys(
        (
            "Answer",
            "Citation",
            "Decision",
            "Drafted",
            "Event",
            "Found",
            "Read",
            "Reworded",
            "Stated",
        ),
        "events",
    ),
}
"""Where the names that programs use are made; nothing is loaded before it is named."""

__all__ = [*_HOMES]  # noqa: PLE0604 -- the names are those of a table.


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(extras.load(f"avalan.reflection.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
