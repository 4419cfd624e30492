"""From files to ranked passages: documents → chunks → index → passages, with exact offsets."""

from typing import Any

from avalan import extras

__all__ = ["Index"]


def __getattr__(name: str) -> Any:
    if name == "Index":
        return extras.load("avalan.retrieval.shared").Index
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
