"""Work begun ahead: done once, by a thread, and handed to whoever wants it first."""

import threading

import pytest

from avalan.model import ahead


def test_what_was_begun_is_handed_out_once() -> None:
    by: list[str] = []

    def work(number: int) -> int:
        by.append(threading.current_thread().name)
        return number + 1

    ahead.begin(work, 1)
    ahead.begin(work, 1)

    assert [ahead.result(work, 1), ahead.result(work, 1), ahead.result(work, 5)] == [2, 2, 6]
    assert [name.startswith("avalan-ahead") for name in by] == [True, False, False]


def test_what_fails_is_told_to_whoever_wants_it() -> None:
    def work() -> None:
        raise ValueError("no such file")

    ahead.begin(work)

    with pytest.raises(ValueError, match="no such file"):
        ahead.result(work)


def test_what_nobody_wants_any_more_is_waited_for() -> None:
    may_end, ended = threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait(5)
        ended.set()

    ahead.begin(work)
    may_end.set()
    ahead.settle()

    assert ended.is_set()
    assert ahead.result(lambda: 1) == 1
