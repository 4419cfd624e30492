"""Do reflection tokens between the steps of a sum cost a model its sums, and does a mask help?

    python bench/mask.py [--steps 1600] [--tuning 120] [--items 500] [--able FOLDER]

The model in the box learns to add and subtract in several steps; then, as published recipes do, it
is tuned on reflective answers that have no sums in them: each sentence begins with a decision, and
half of them are looked up, each with its passage. Each item is answered greedily: before the
tuning; after it with every token allowed; the same where the host answers a look-up between the
steps with a passage, as it would; and with control tokens forbidden, as the writer of `avalan ask`
does. Question and first decision are the same.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from avalan.data import sums
from avalan.evaluate.statistics import Estimate, bootstrap_mean, proportion
from avalan.model.decode.batch import Answered, decode_batch, never
from avalan.model.entities import GenerationSettings, Message
from avalan.model.load import Model, open_model
from avalan.reflection.reading import prompt_ids
from avalan.reflection.tokens import (
    ALL,
    NO_RETRIEVAL,
    PARAGRAPH,
    PARAGRAPH_END,
    RELEVANT,
    RETRIEVAL,
    UTILITY,
)
from tuned_nano import nano, save, teach

MOST_LOOK_UPS = 8
_SAID = re.compile(r"The answer is (-?\d+)\.")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=1600)
    options.add_argument("--tuning", type=int, default=120)
    options.add_argument("--rate", type=float, default=3e-4, help="of the tuning")
    options.add_argument("--able", type=Path, help="keep the model that adds here, or take it")
    options.add_argument("--items", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    random = Random(given.seed + 1)
    items = [
        (made.question, made.answer) for made in (sums.chain(random) for _ in range(given.items))
    ]
    with tempfile.TemporaryDirectory() as name:
        before = given.able or Path(name) / "before"
        if not before.exists():
            model, tokenizer = nano()
            teach(model, tokenizer, working, num_steps=given.steps, seed=given.seed)
            save(model, before)
        after = Path(name) / "after"
        model, tokenizer = nano(before)
        tuning = {"num_steps": given.tuning, "learning_rate": given.rate, "seed": given.seed + 1}
        teach(model, tokenizer, reflective, **tuning)
        save(model, after)
        measure(before, after, items)


def measure(before: Path, after: Path, items: Sequence[tuple[str, int]]) -> None:
    """Answer each item four ways, and print what came of it."""
    with open_model(str(before)) as model:
        able = told(model, items, opening="", mask=False)
    with open_model(str(after)) as model:
        free = told(model, items, opening=NO_RETRIEVAL, mask=False)
        hosted = told(model, items, opening=NO_RETRIEVAL, mask=False, host=True)
        masked = told(model, items, opening=NO_RETRIEVAL, mask=True)
    print("right before the tuning:           ", shown(rights(able)))
    print("after it, every token allowed:     ", shown(rights(free)))
    print("… and look-ups answered:           ", shown(rights(hosted)))
    print("after it, tokens forbidden:        ", shown(rights(masked)))
    print("with a token between the steps:    ", shown(proportion([inside for _, inside in free])))
    for name, arm in (("every token allowed", free), ("look-ups answered", hosted)):
        gains = [float(m) - float(f) for (m, _), (f, _) in zip(masked, arm, strict=True)]
        print(f"what the mask gains on {name}, paired:", shown(bootstrap_mean(gains)))
    lost = [float(b) - float(m) for (b, _), (m, _) in zip(able, masked, strict=True)]
    print("what the tuning costs under the mask, paired:", shown(bootstrap_mean(lost)))


def rights(found: Sequence[tuple[bool, bool]]) -> Estimate | None:
    return proportion([right for right, _ in found])


def shown(found: Estimate | None) -> str:
    assert found is not None
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}], n {found.n}"


def told(
    model: Model, items: Sequence[tuple[str, int]], *, opening: str, mask: bool, host: bool = False
) -> list[tuple[bool, bool]]:
    """Whether the last number said is the sum, and whether a control token stands before it.

    Args:
        host: answer each look-up with a passage, as `avalan ask` would if it did not mask.
    """
    tokenizer = model.tokenizer
    opened = tokenizer.encode_with_controls(opening)[0]
    (look_up,) = tokenizer.encode_with_controls(RETRIEVAL)[0]
    random = Random(0)
    prompts = [
        prompt_ids(tokenizer, [Message(role="user", content=question)]) + opened
        for question, _answer in items
    ]
    said = [""] * len(items)
    open_items = list(range(len(items)))
    for _ in range(MOST_LOOK_UPS if host else 1):
        settings = GenerationSettings(
            max_new_tokens=160,
            forbidden_ids=tuple(sorted(tokenizer.special_ids - tokenizer.eos_ids)) if mask else (),
            skip_special_tokens=False,
        )
        answers = decode_batch(
            model.stepping,
            [prompts[row] for row in open_items],
            tokenizer=tokenizer,
            settings=settings,
            until=(lambda tokens: tokens[-1].token_id == look_up) if host else never,
        )
        going_on = []
        for place, answered in answers:
            assert isinstance(answered, Answered)
            row = open_items[place]
            said[row] += "".join(token.text for token in answered.tokens)
            if host and answered.tokens and answered.tokens[-1].token_id == look_up:
                prompts[row] += [token.token_id for token in answered.tokens]
                prompts[row] += tokenizer.encode_with_controls(passage(random)[0])[0]
                going_on.append(row)
        open_items = going_on
    return [graded(text, answer) for text, (_question, answer) in zip(said, items, strict=True)]


def graded(text: str, answer: int) -> tuple[bool, bool]:
    number = _SAID.search(text)
    before = text if number is None else text[: number.end()]
    is_right = number is not None and int(number[1]) == answer
    return is_right, any(mark in before for mark in ALL)


# --- the lessons --------------------------------------------------------------------------------


def working(random: Random) -> tuple[str, str]:
    """A sum and its steps."""
    made = sums.chain(random)
    return made.question, made.steps


_NAMES = ("Skarvik", "Bramley", "Corvo", "Ilse", "Moss End", "Tranter", "Gull Rock", "Wiesner")
_THINGS = ("colour", "keeper", "harbour", "song", "winter", "owner", "street", "bread")
_VALUES = ("blue", "quiet", "old", "near the mill", "short", "kept by Hugh", "red", "for sale")


def passage(random: Random) -> tuple[str, str]:
    """A passage of a few facts, and one of them."""
    name = random.choice(_NAMES)
    things = random.sample(_THINGS, random.randint(2, 3))
    facts = [f"The {thing} of {name} is {random.choice(_VALUES)}." for thing in things]
    return f"{PARAGRAPH}{' '.join(facts)}{PARAGRAPH_END}", random.choice(facts)


def reflective(random: Random) -> tuple[str, str]:
    """An answer of several sentences, each decided upon, half of them looked up, and its grade."""
    said, asked = [], []
    for _ in range(random.randint(1, 4)):
        shown, fact = passage(random)
        looked_up = random.random() < 0.5
        mark = RETRIEVAL + shown + RELEVANT if looked_up else NO_RETRIEVAL
        said.append(mark + fact)
        asked.append(fact[4:].split(" is ")[0])
    question = f"Tell me about the {', the '.join(asked)}."
    return question, "".join(said) + UTILITY[random.randint(2, 4)]


if __name__ == "__main__":
    main()
