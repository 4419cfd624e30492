"""Do reflection tokens between the steps of a sum cost a model its sums, and does a mask help?

    python bench/mask.py [--steps 600] [--items 500]

The model in the box learns to add and subtract in several steps; then, as published recipes do, it
is tuned on reflective answers that have no sums in them. Each item is answered greedily
three ways: before the tuning, after it with every token allowed, and after it with control tokens
forbidden, as the writer of `avalan ask` does. The question and the first decision are the same.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from avalan.evaluate.statistics import Estimate, bootstrap_mean, proportion
from avalan.model.decode.batch import Answered, decode_batch
from avalan.model.entities import GenerationSettings, Message
from avalan.model.load import Model, open_model
from avalan.reflection.reading import prompt_ids
from avalan.reflection.tokens import ALL, NO_RETRIEVAL, RETRIEVAL, UTILITY
from tuned_nano import nano, save, teach

MOST = 60
_SAID = re.compile(r"The answer is (-?\d+)\.")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--tuning", type=int, default=100)
    options.add_argument("--items", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    random = Random(given.seed + 1)
    items = [sum_of(random) for _ in range(given.items)]
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name) / "before", Path(name) / "after"
        train(before, after, given.steps, given.tuning, given.seed)
        measure(before, after, items)


def measure(before: Path, after: Path, items: Sequence[tuple[str, int]]) -> None:
    """Answer each item three ways, and print what came of it."""
    with open_model(str(before)) as model:
        able = [right for right, _ in told(model, items, opening="", mask=False)]
    with open_model(str(after)) as model:
        free, masked = (
            told(model, items, opening=NO_RETRIEVAL, mask=mask) for mask in (False, True)
        )
    print("right before the tuning:       ", shown(proportion(able)))
    print("after it, every token allowed: ", shown(proportion([right for right, _ in free])))
    print("after it, tokens forbidden:    ", shown(proportion([right for right, _ in masked])))
    print("with a token between the steps:", shown(proportion([inside for _, inside in free])))
    gains = [float(m) - float(f) for (m, _), (f, _) in zip(masked, free, strict=True)]
    print("what the mask gains, paired:   ", shown(bootstrap_mean(gains)))


def shown(found: Estimate | None) -> str:
    assert found is not None
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], n {found.n}"


def told(
    model: Model, items: Sequence[tuple[str, int]], *, opening: str, mask: bool
) -> list[tuple[bool, bool]]:
    """Whether the last number said is the sum, and whether a control token stands before it."""
    tokenizer = model.tokenizer
    opened = tokenizer.encode_with_controls(opening)[0]
    prompts = [
        prompt_ids(tokenizer, [Message(role="user", content=question)]) + opened
        for question, _answer in items
    ]
    settings = GenerationSettings(
        max_new_tokens=160,
        forbidden_ids=tuple(sorted(tokenizer.special_ids - tokenizer.eos_ids)) if mask else (),
        skip_special_tokens=False,
    )
    found = [(False, False)] * len(items)
    answers = decode_batch(model.stepping, prompts, tokenizer=tokenizer, settings=settings)
    for row, answered in answers:
        assert isinstance(answered, Answered)
        text = "".join(token.text for token in answered.tokens)
        number = _SAID.search(text)
        said = text if number is None else text[: number.end()]
        is_right = number is not None and int(number[1]) == items[row][1]
        found[row] = is_right, any(mark in said for mark in ALL)
    return found


# --- the lessons --------------------------------------------------------------------------------


def sum_of(random: Random) -> tuple[str, int]:
    """A chain of three to five additions and subtractions that stays between 0 and `MOST`."""
    question, _working, answer = _sum(random)
    return question, answer


def _sum(random: Random) -> tuple[str, str, int]:
    total = start = random.randrange(MOST)
    asked, steps = [f"Start with {start}"], []
    for _ in range(random.randint(3, 5)):
        if random.random() < 0.5:
            number = random.randint(0, MOST - total)
            asked.append(f"add {number}")
            steps.append(f"{total} + {number} = {total + number}.")
            total += number
        else:
            number = random.randint(0, total)
            asked.append(f"take away {number}")
            steps.append(f"{total} - {number} = {total - number}.")
            total -= number
    return ", ".join(asked) + ".", " ".join([*steps, f"The answer is {total}."]), total


def working(random: Random) -> tuple[str, str]:
    """A sum and its steps."""
    question, steps, _answer = _sum(random)
    return question, steps


_NAMES = ("Skarvik", "Bramley", "Corvo", "Ilse", "Moss End", "Tranter", "Gull Rock", "Wiesner")
_THINGS = ("colour", "keeper", "harbour", "song", "winter", "owner", "street", "bread")
_VALUES = ("blue", "quiet", "old", "near the mill", "short", "kept by Hugh", "red", "for sale")


def reflective(random: Random) -> tuple[str, str]:
    """An answer of several sentences, each of which may need a look-up, and its grade."""
    name = random.choice(_NAMES)
    things = random.sample(_THINGS, random.randint(1, 4))
    said = [f"The {thing} of {name} is {random.choice(_VALUES)}." for thing in things]
    asked = f"Tell me about the {', the '.join(things)} of {name}."
    grade = UTILITY[random.randint(2, 4)]
    if random.random() < 0.5:
        return asked, NO_RETRIEVAL + " ".join(said) + grade
    return asked, RETRIEVAL + RETRIEVAL.join(said) + grade


def train(before: Path, after: Path, num_steps: int, num_tuning: int, seed: int) -> None:
    """A model that adds, and the same tuned on reflective answers."""
    model, tokenizer = nano()
    teach(model, tokenizer, working, num_steps=num_steps, seed=seed)
    save(model, before)
    tuning = {"num_steps": num_tuning, "learning_rate": 3e-4, "seed": seed + 1}
    teach(model, tokenizer, reflective, **tuning)
    save(model, after)


if __name__ == "__main__":
    main()
