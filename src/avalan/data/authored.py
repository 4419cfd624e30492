"""Records from a user's own documents: one model asks and answers, another looks at it.

Of each passage the generator writes a question and quotes the answer; what is not in the passage
word for word is dropped. The reviewer, who sees question, passage and answer, says whether it
holds; where it is of two minds the adjudicator decides. Which models these are is the caller's:
each role is a function. What is dropped is counted by its reason.

Whether a question needs a look-up at all can be asked of the student itself, by what the passage
changes: how often it is right without and with it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from avalan.data.mixture import rng_for
from avalan.data.reading import ABSTENTION
from avalan.model.entities import Message
from avalan.reflection.instructions import withheld
from avalan.reflection.matching import best, contains
from avalan.reflection.record import Record, RecordPassage, Segment, Split
from avalan.retrieval.entities import Passage

Says = Callable[[Sequence[Message], Any], str]
"""A model that answers a conversation, held to a JSON schema where one is given."""
Chooses = Callable[[Sequence[Message], Sequence[str]], Sequence[float]]
"""A model's probability of each of a few words."""

DOCUMENTS = "documents"
"""The data set of all these records, in their source."""
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
    "additionalProperties": False,
}
_ASK = """\
Below is a passage from a document. Write one question that a person could ask who has not seen it \
and needs what it says, and the shortest answer, copied from the passage word for word. Reply with \
JSON: {{"question": "…", "answer": "…"}}

Passage:
{passage}"""
_LOOK = """\
Below are a passage, a question and an answer. Does the passage say that this is the answer? Reply \
with one word: yes or no.

Passage:
{passage}

Question: {question}
Answer: {answer}"""
_SURE, _UNSURE = 0.65, 0.35
"""A reviewer between them is of two minds."""
_FEWEST_WORDS = 15
"""Of a passage that is worth a question."""
_STRANGE_SHARE = 0.25
"""Of the records, those whose question stands beside another passage, which does not answer it."""
_WORTH = 0.2
"""How much more often a student must be right with the passage for a look-up to be needed."""
_BY_HEART = 0.8
"""From here on it knows by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who does what."""

    generator: Says
    reviewer: Chooses | None = None
    """None takes what the generator says."""
    adjudicator: Chooses | None = None
    """None drops what the reviewer is of two minds about."""
    student: Says | None = None
    """None: what is in a document needs a look-up."""
    num_samples: int = 4
    """Of the student, without the passage and with it."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the passages."""

    kept: Counter[str] = field(default_factory=Counter)
    """Records, by kind: `asked`, `strange` and `known`."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Passages, by why there is no record of them."""


def author(
    passages: Sequence[Passage],
    roles: Roles,
    tally: Tally,
    *,
    seed: int,
    validation: float = 0.1,
    start: int = 0,
) -> Iterator[Record | None]:
    """A record for each passage from number `start` on, or None where there is none.

    Each follows from the seed, its number and what the models say.

    Args:
        validation: share of the passages, in documents of their own, that is held out (0 to 1).
    """
    held = held_out(passages, seed=seed, share=validation)
    sides: dict[Split, list[Passage]] = {"train": [], "validation": []}
    for number, passage in enumerate(passages):
        sides["validation" if number in held else "train"].append(passage)
    for number in range(start, len(passages)):
        split: Split = "validation" if number in held else "train"
        rng = rng_for(seed, number)
        yield _record(passages[number], number, sides[split], roles, tally, rng, split)


def held_out(passages: Sequence[Passage], *, seed: int, share: float) -> set[int]:
    """The numbers of the passages that are not learned from: whole documents, drawn by the seed.

    Of a single document, its end. Something is always left to learn from.
    """
    wanted = share * len(passages)
    of_source: dict[str, list[int]] = {}
    for number, passage in enumerate(passages):
        of_source.setdefault(passage.source, []).append(number)
    if len(of_source) == 1:
        return set(range(len(passages) - int(wanted), len(passages)))
    sources = list(of_source)
    Random(seed).shuffle(sources)
    held: set[int] = set()
    for source in sources[1:]:
        # A document that would take more than twice what is wanted stays in training.
        if len(held) < wanted and len(held) + len(of_source[source]) <= max(1, 2 * wanted):
            held |= set(of_source[source])
    return held


def _record(
    passage: Passage,
    number: int,
    side: Sequence[Passage],
    roles: Roles,
    tally: Tally,
    rng: Random,
    split: Split,
) -> Record | None:
    asked = _asked(passage, roles)
    if isinstance(asked, str):
        tally.dropped[asked] += 1
        return None
    question, answer, start = asked
    others = [each for each in side if each.source != passage.source]
    kind, shown = "asked", passage
    if others and rng.random() < _STRANGE_SHARE:
        kind, shown = "strange", rng.choice(others)
        if best(contains, shown.text, [answer]):
            kind, shown = "asked", passage
    elif roles.student is not None and not needs_look_up(
        roles.student, question, answer, passage, num=roles.num_samples
    ):
        kind = "known"
    tally.kept[kind] += 1
    return Record(
        id=f"document:{number:06}",
        messages=(Message(role="user", content=question),),
        segments=(_segment(kind, shown, answer, start),),
        utility=1 if kind == "strange" else 5,
        answers=() if kind == "strange" else (answer,),
        split=split,
        source={"dataset": DOCUMENTS, "kind": kind, "document": passage.source},
    )


def _segment(kind: str, shown: Passage, answer: str, start: int) -> Segment:
    if kind == "known":
        return Segment(decision="none", text=answer)
    held = RecordPassage(
        pid=f"{shown.source}:{shown.start}",
        title=shown.heading,
        text=shown.text,
        relevant=kind == "asked",
    )
    if kind == "strange":
        return Segment(decision="retrieve", passages=(held,), text=ABSTENTION)
    return Segment(
        decision="retrieve",
        passages=(held,),
        text=answer,
        span=(start, start + len(answer)),
        support="full",
        cite=(held.pid,),
    )


def _asked(passage: Passage, roles: Roles) -> tuple[str, str, int] | str:
    """A question, its answer and where that begins in the passage; or why there is none."""
    if len(passage.text.split()) < _FEWEST_WORDS:
        return "short"
    # What a document orders is no instruction of ours.
    shown = withheld(passage.text)
    prompt = _ASK.format(passage=shown)
    found = read_pair(roles.generator([Message(role="user", content=prompt)], SCHEMA))
    if found is None:
        return "unreadable"
    question, answer = found
    if not question or not answer:
        return "empty"
    start = passage.text.find(answer)
    if start < 0:
        return "not in the passage"
    if contains(question, answer):
        return "told by its question"
    if roles.reviewer is None:
        return question, answer, start
    message = Message(
        role="user", content=_LOOK.format(passage=shown, question=question, answer=answer)
    )
    probability = roles.reviewer([message], ("yes", "no"))[0]
    if _UNSURE < probability < _SURE and roles.adjudicator is not None:
        probability = roles.adjudicator([message], ("yes", "no"))[0]
        return (question, answer, start) if probability >= 0.5 else "the adjudicator says no"
    if probability <= _UNSURE:
        return "the reviewer says no"
    return (question, answer, start) if probability >= _SURE else "doubtful"


def read_pair(text: str) -> tuple[str, str] | None:
    """Question and answer of what a generator wrote; None where it is not what was asked for."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        values = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    question, answer = values.get("question"), values.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    return question.strip(), answer.strip()


def needs_look_up(student: Says, question: str, answer: str, passage: Passage, *, num: int) -> bool:
    """Whether a student is right more often with the passage, so that it should look it up.

    A counterfactual label: `num` answers without and with the passage; where it knows by itself
    nothing is looked up, whatever the passage adds.
    """
    without = _right(student, question, answer, num)
    if without >= _BY_HEART:
        return False
    with_it = _right(student, f"{withheld(passage.text)}\n\n{question}", answer, num)
    # One that is wrong either way has nothing to say from memory.
    return with_it - without >= _WORTH or without < 1 - _BY_HEART


def _right(student: Says, prompt: str, answer: str, num: int) -> float:
    message = Message(role="user", content=prompt)
    said: Iterable[str] = (student([message], None) for _ in range(num))
    return sum(contains(text, answer) for text in said) / num
