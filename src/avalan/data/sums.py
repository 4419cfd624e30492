"""Sums of several steps, with the steps: what a model that reflects must still be able to do."""

from dataclasses import dataclass
from random import Random

MOST = 60
"""No total on the way is larger."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A chain of additions and subtractions."""

    question: str
    steps: str
    """Each step as a sentence, then the answer's."""
    answer: int


def chain(rng: Random) -> Sum:
    """Three to five steps that stay between 0 and `MOST`."""
    total = start = rng.randrange(MOST)
    asked, steps = [f"Start with {start}"], []
    for _ in range(rng.randint(3, 5)):
        if rng.random() < 0.5:
            number = rng.randint(0, MOST - total)
            asked.append(f"add {number}")
            steps.append(f"{total} + {number} = {total + number}.")
            total += number
        else:
            number = rng.randint(0, total)
            asked.append(f"take away {number}")
            steps.append(f"{total} - {number} = {total - number}.")
            total -= number
    return Sum(", ".join(asked) + ".", " ".join([*steps, f"The answer is {total}."]), total)
