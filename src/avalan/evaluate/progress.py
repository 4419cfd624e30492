"""How far a measurement is: told after each example, for whoever wants to show it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

One = TypeVar("One")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An example is done."""

    who: str
    """The panel or judge that is measured."""
    what: str
    """The level, or the part that is calibrated."""
    done: int
    num: int


Tell = Callable[[Step], None]


def unheard(step: Step) -> None:
    """For callers that do not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Tells of the examples of one measurement."""

    tell: Tell = unheard
    who: str = ""
    what: str = ""

    def following(self, items: Iterable[One], num: int) -> Iterator[One]:
        """The `num` items as they come; each is told."""
        for done, item in enumerate(items, 1):
            self.tell(Step(who=self.who, what=self.what, done=done, num=num))
            yield item
