"""Prompts for the retrieval decision, and the few things that the model may answer by itself.

The labels follow `docs/decision-labels.md`. Most prompts train the decision alone; short stable
facts, definitions, small talk and arithmetic have an answer too, and tasks that are beyond a model
of this size (code, writing, puzzles) are answered with an admission.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from string import Formatter

from avalan.data.noise import as_typed
from avalan.data.worlds import Level, allowed_wordings
from avalan.model.entities import Message
from avalan.reflection.record import Decision, Record, Segment, Split

ADMISSION = "I can't do that: it is beyond a model of my size."
RETRIEVE_KINDS = ("change", "private", "obscure", "cite")
BEYOND_KINDS = ("code", "writing", "rewrite", "reason")

_DEFINE = (
    "What is {t}?", "what does {t} mean", "Define {t}.", "Meaning of {t}?", "explain {t} briefly",
    "what's {t}", "Give me a short definition of {t}.", "{t} - definition", "What do we call {t}?",
    "In one line, what is {t}?", "tell me what {t} is",
)  # fmt: skip
_ARITHMETIC = (
    "What is {e}?", "{e}", "{e} =", "calculate {e}", "How much is {e}?", "work out {e} please",
    "what's {e}", "Compute {e}.", "{e}?", "quick sum: {e}", "the result of {e}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phrases:
    """The fragments, written one by one, of `phrases.toml`."""

    patterns: dict[str, tuple[str, ...]]
    slots: dict[str, tuple[str, ...]]
    facts: tuple[tuple[str, str], ...]
    talk: tuple[tuple[str, str], ...]
    definitions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A domain of `held_out.toml`: its prompts by kind, all of them kept from training."""

    name: str
    split: Split
    patterns: dict[str, tuple[str, ...]]
    slots: dict[str, tuple[str, ...]]


@cache
def held_out() -> tuple[HeldOut, ...]:
    """Read `held_out.toml` once."""
    table = tomllib.loads((files("avalan.data") / "held_out.toml").read_text(encoding="utf-8"))
    return tuple(
        HeldOut(
            name=row["name"],
            split=row["split"],
            patterns={kind: tuple(rows) for kind, rows in row.items() if isinstance(rows, list)},
            slots={name: tuple(rows) for name, rows in row["slots"].items()},
        )
        for row in table["domain"]
    )


@cache
def phrases() -> Phrases:
    """Read `phrases.toml` once."""
    table = tomllib.loads((files("avalan.data") / "phrases.toml").read_text(encoding="utf-8"))
    return Phrases(
        patterns={kind: tuple(rows) for kind, rows in table["patterns"].items()},
        slots={name: tuple(rows) for name, rows in table["slots"].items()},
        facts=_pairs(table["facts"]),
        talk=_pairs(table["talk"]),
        definitions=_pairs(table["definitions"]),
    )


def _pairs(table: object) -> tuple[tuple[str, str], ...]:
    rows = next(iter(table.values())) if isinstance(table, dict) else table
    assert isinstance(rows, list)
    return tuple((str(first), str(second)) for first, second in rows)


def decision_record(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """A prompt with its decision, and an answer where one may be given from memory.

    G2 takes the domains of `held_out.toml` that belong to `split`, which is not `train`.
    """
    if level == "train" and rng.random() < 0.4:
        prompt, reply, utility = from_memory(rng)
        return _record(prompt, "none", reply, utility, "memory", rng, identifier, split)
    source: Phrases | HeldOut = phrases()
    if level == "G2":
        source = rng.choice([domain for domain in held_out() if domain.split == split])
    retrieve = rng.random() < 0.5
    kinds = [kind for kind in source.patterns if (kind in RETRIEVE_KINDS) == retrieve]
    kind = rng.choice(kinds)
    prompt = filled(rng.choice(allowed_wordings(source.patterns[kind], level)), source.slots, rng)
    decision: Decision = "retrieve" if retrieve else "none"
    if kind in BEYOND_KINDS:
        return _record(prompt, decision, ADMISSION, 1, kind, rng, identifier, split)
    return _record(prompt, decision, None, None, kind, rng, identifier, split)


def filled(pattern: str, slots: Mapping[str, Sequence[str]], rng: Random) -> str:
    """`pattern` with every slot filled."""
    values: dict[str, str] = {}
    for _, name, _, _ in Formatter().parse(pattern):
        if name:
            values.setdefault(name, rng.choice(slots[name]))
    return pattern.format(**values)


def from_memory(rng: Random) -> tuple[str, str, int]:
    """A prompt that the model may answer from memory, the answer and its utility."""
    shape = rng.random()
    if shape < 0.35:
        prompt, reply = rng.choice(phrases().facts)
        return prompt, reply, 5
    if shape < 0.5:
        term, meaning = rng.choice(phrases().definitions)
        return rng.choice(_DEFINE).replace("{t}", term), meaning, 5
    if shape < 0.62:
        prompt, reply = rng.choice(phrases().talk)
        return prompt, reply, 4
    expression, result = _sum(rng)
    return rng.choice(_ARITHMETIC).replace("{e}", expression), result, 5


def _sum(rng: Random) -> tuple[str, str]:
    """A sum, difference, product or exact quotient of small numbers."""
    kind = rng.choice("++--*/")
    if kind == "*":
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        return f"{a} {rng.choice(('*', 'x', '×', 'times'))} {b}", str(a * b)
    if kind == "/":
        a, b = rng.randint(2, 12), rng.randint(2, 12)
        return f"{a * b} {rng.choice(('/', '÷', 'divided by'))} {b}", str(a)
    a, b = rng.randint(0, 60), rng.randint(0, 40)
    if kind == "-":
        return f"{a + b} {rng.choice(('-', '−', 'minus'))} {b}", str(a)
    return f"{a} {rng.choice(('+', '+', 'plus'))} {b}", str(a + b)


def _record(
    prompt: str,
    decision: Decision,
    reply: str | None,
    utility: int | None,
    kind: str,
    rng: Random,
    identifier: str,
    split: Split,
) -> Record:
    return Record(
        id=identifier,
        messages=(Message(role="user", content=as_typed(prompt, rng)),),
        segments=(Segment(decision=decision, text=reply),),
        utility=utility,
        answers=() if reply is None else (reply,),
        split=split,
        source={"dataset": "decisions", "kind": kind},
    )


def known_questions() -> Sequence[tuple[str, str]]:
    """The questions and answers that the model is taught by heart."""
    return phrases().facts
