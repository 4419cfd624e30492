"""Work that is begun in a thread before it is wanted, beside what else Python has to do.

A session is opened and a tokenizer parsed without the interpreter, which meanwhile can import
modules. What fails is told to whoever wants the result.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")

_workers = ThreadPoolExecutor(2, thread_name_prefix="avalan-ahead")
_begun: dict[Hashable, Future[Any]] = {}


def begin(work: Callable[..., object], *given: Hashable) -> None:
    """Let a thread begin with `work(*given)`; once, until its result is asked for."""
    if (work, given) not in _begun:
        _begun[work, given] = _workers.submit(work, *given)


def result(work: Callable[..., Result], *given: Hashable) -> Result:
    """What `work(*given)` gives: of the thread that began with it, or of its own.

    Raises:
        Exception: as `work` does.
    """
    begun = _begun.pop((work, given), None)
    if begun is None:
        return work(*given)
    found: Result = begun.result()
    return found


def settle() -> None:
    """Wait for whatever was begun and is not wanted any more."""
    while _begun:
        _begun.popitem()[1].exception()
