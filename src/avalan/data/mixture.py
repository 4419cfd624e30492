"""The curriculum: which record comes at which point of a training run, from a seed alone.

Row `i` of seed `s` is the same on every machine and in every order, so a run resumes exactly and
several workers can make different rows.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from avalan.data.cloze import cloze_record
from avalan.data.decisions import decision_record
from avalan.data.general import GENERAL, general_record
from avalan.data.lookup import copy_record, drill_record, lookup_record
from avalan.data.reading import reading_record, sentences_record, simple_reading_record
from avalan.data.worlds import Level
from avalan.model.entities import Message
from avalan.reflection.record import Record, Split
from avalan.reflection.render import Kind, Piece

SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "Be concise.", "Answer from the documents.",
    "You are avalan, a small assistant on the user's own machine.", "Answer in a few words.",
    "Be concise and accurate. If you're uncertain, acknowledge it.",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the curriculum: shares of records of each kind, up to a point of the run."""

    until: float
    """The share of the run's rows at which the stage ends (0 to 1)."""
    lookup: float
    reading: float
    decisions: float
    drill: float = 0.0
    simple: float = 0.0
    """Short passages with plain questions."""
    cloze: float = 0.0
    copy: float = 0.0
    sentences: float = 0.0
    """Several questions at once, and before each sentence of the answer a decision."""
    sums: float = 0.0
    """Sums in steps; this and what follows is without reflection."""
    prose: float = 0.0
    talk: float = 0.0
    pages: float = 0.0
    """A passage in the prompt, and a question about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """Records end to end in one row of fixed length, each blind to the others."""

    token_ids: NDArray[np.int64]
    """(row_length,); padding at the end."""
    weights: NDArray[np.float32]
    """(row_length,); the loss weight of each token as a target."""
    position_ids: NDArray[np.int64]
    """(row_length,); start again at 0 with each record."""


def rng_for(seed: int, index: int) -> Random:
    """The generator of row `index`."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest, "big"))


def stage_at(stages: tuple[Stage, ...], progress: float) -> Stage:
    """The stage at `progress` (0 to 1) of the run."""
    return next((stage for stage in stages if progress < stage.until), stages[-1])


def record(rng: Random, stage: Stage, *, identifier: str, split: Split = "train") -> Record:
    """A training record of `stage`'s mixture."""
    kinds = (*REFLECTIVE, *GENERAL)
    (kind,) = rng.choices(kinds, weights=[getattr(stage, name) for name in kinds])
    made = one(kind, rng, "train", identifier=identifier, split=split)
    if rng.random() < 0.06:
        system = Message(role="system", content=rng.choice(SYSTEM_PROMPTS))
        made = replace(made, messages=(system, *made.messages))
    return made


def one(kind: str, rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """A record of one kind: a field of `Stage`."""
    if kind in GENERAL:
        return general_record(kind, rng, level, identifier=identifier, split=split)
    return _MAKERS[kind](rng, level, identifier=identifier, split=split)


def _at_any_level(make: Callable[..., Record]) -> Callable[..., Record]:
    """A maker that is told of a level, which strings without meaning do not have."""
    return lambda rng, _level, **named: make(rng, **named)


_MAKERS: dict[str, Callable[..., Record]] = {
    "lookup": _at_any_level(lookup_record),
    "reading": reading_record,
    "decisions": decision_record,
    "drill": _at_any_level(drill_record),
    "simple": simple_reading_record,
    "cloze": cloze_record,
    "copy": _at_any_level(copy_record),
    "sentences": sentences_record,
}
REFLECTIVE = tuple(_MAKERS)
"""Kinds of records with reflection tokens. What a row of a seed is hangs on their order."""


def pack(
    draw: Callable[[], list[Piece]],
    weights: dict[Kind, float],
    *,
    row_length: int,
    pad_id: int,
    rng: Random,
    shown_share: float = 1.0,
    patience: int = 8,
) -> PackedRow:
    """Fill one row with whole records; what does not fit is drawn again, `patience` times.

    A record is never cut, so a passage never loses its closing mark. Of the tokens that the model
    is only shown (prompts and passages) a random `shown_share` is graded: computing the logits
    of all of them doubles the cost of a step.
    """
    token_ids: list[int] = []
    loss: list[float] = []
    positions: list[int] = []
    misses = 0
    while misses < patience:
        pieces = draw()
        length = sum(len(piece.token_ids) for piece in pieces)
        if len(token_ids) + length > row_length:
            misses += 1
            continue
        positions += range(length)
        for piece in pieces:
            token_ids += piece.token_ids
            weight = weights[piece.kind] * piece.weight
            if weight and piece.kind in ("prompt", "passage"):
                loss += [weight * (rng.random() < shown_share) for _ in piece.token_ids]
            else:
                loss += [weight] * len(piece.token_ids)
        # Nothing predicts the first token of a record but the one before it, which is another's.
        loss[-length] = 0.0
    padding = row_length - len(token_ids)
    return PackedRow(
        token_ids=np.array(token_ids + [pad_id] * padding, dtype=np.int64),
        weights=np.array(loss + [0.0] * padding, dtype=np.float32),
        position_ids=np.array(positions + list(range(padding)), dtype=np.int64),
    )
