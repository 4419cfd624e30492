"""Records without reflection: ordinary talk and text, so that a model that learns to reflect keeps
the rest of what it can do."""

from collections.abc import Callable
from random import Random

from avalan.data import sums, worlds
from avalan.data.decisions import from_memory
from avalan.data.noise import as_typed
from avalan.data.reading import ABSTENTION, simple_reading_record
from avalan.data.worlds import Level
from avalan.model.entities import Message
from avalan.reflection.record import Record, Segment, Split

GENERAL = ("sums", "prose", "talk", "pages")
_DESCRIBE = (
    "Describe {s}.", "Write a few lines about {s}.", "a short text about {s}", "Tell me about {s}.",
    "Draft a note on {s}.", "Make up a paragraph about {s}, please.", "what could be said of {s}?",
)  # fmt: skip


def general_record(
    kind: str, rng: Random, level: Level, *, identifier: str, split: Split
) -> Record:
    """A record of one kind of `GENERAL`.

    These are `talk` from memory, `sums` in steps, `prose` about what is invented, and `pages` to
    answer from.

    No token of it is a reflection token; see `Segment`.
    """
    make: Callable[[Random, Level], tuple[str, str]]
    make = {"talk": _talk, "sums": _sum, "prose": _prose, "pages": _page}[kind]
    prompt, reply = make(rng, level)
    return Record(
        id=identifier,
        messages=(Message(role="user", content=prompt),),
        segments=(Segment(decision="plain", text=reply),),
        split=split,
        source={"dataset": "general", "kind": kind},
    )


def _talk(rng: Random, level: Level) -> tuple[str, str]:
    prompt, reply, _utility = from_memory(rng)
    return as_typed(prompt, rng), reply


def _sum(rng: Random, level: Level) -> tuple[str, str]:
    made = sums.chain(rng)
    return made.question, made.steps


def _prose(rng: Random, level: Level) -> tuple[str, str]:
    page = worlds.passage(rng, level)
    return as_typed(rng.choice(_DESCRIBE).replace("{s}", page.subject), rng), page.text


def _page(rng: Random, level: Level) -> tuple[str, str]:
    """A short passage above a question, as any model is asked about a text."""
    asked = simple_reading_record(rng, level, identifier="", split="train")
    (passage,) = asked.segments[0].passages
    reply = asked.answers[0] if asked.answers else ABSTENTION
    return f"{passage.text}\n\n{asked.messages[-1].content}", reply
