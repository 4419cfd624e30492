"""What becomes of files and passages while an index is written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A document is new in the index."""

    source: str
    num_passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A document's file had changed, and so have its passages."""

    source: str
    num_passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A document's file is as it was."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A document is no longer in the index, because its folder no longer has it as text."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Some more passages can be found by their meaning."""

    num_passages: int
    """How many have got a vector just now."""
    num_left: int
    """How many have none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file or folder that was passed over."""

    path: str
    reason: str


FileEvent = Added | Replaced | Unchanged | Dropped | Skipped
"""What became of a file."""
Event = FileEvent | Embedded
