"""What happens while a model is downloaded, and how a caller far above comes to see it.

with watching(print):
    hub.resolve("Qwen/Qwen3-0.6B")
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Another program downloads the same model; it goes first."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The download begins."""

    name: str
    commit: str
    sizes: dict[str, int]
    """File → bytes, of those that are not here yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStarted:
    """A file is on its way; `num_bytes` of it were here from an earlier try."""

    file: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAdvanced:
    """A file has `num_bytes` now."""

    file: str
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBroken:
    """The transfer of a file broke off and goes on in `wait_s` seconds."""

    file: str
    reason: str
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFinished:
    """A file is here, and its hash is the hub's."""

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The whole model is here."""

    folder: Path


Event = Waiting | Started | FileStarted | FileAdvanced | FileBroken | FileFinished | Finished

_watcher: ContextVar[Callable[[Event], object]] = ContextVar("watcher", default=lambda _: None)


@contextmanager
def watching(watcher: Callable[[Event], object]) -> Iterator[None]:
    """Whatever is downloaded inside is told to `watcher`, from the thread that downloads."""
    before = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(before)


def tell(event: Event) -> None:
    """Tell whoever is watching."""
    _watcher.get()(event)
