"""Where the pieces of a vocabulary stand in a text, for those that tell ids and bytes only."""

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_SKIPPED = 8

Place = tuple[int, int]
"""First and one-past-last."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as tokens: what is used of `tokenizers.Encoding`."""

    ids: list[int]
    offsets: list[Place]
    """Characters of the text."""
    special_tokens_mask: list[int]


def places(text: str, pieces: Sequence[bytes]) -> list[Place]:
    """The characters of `text` that each piece covers; one inside a character has all of it."""
    at = [index for index, character in enumerate(text) for _ in character.encode()] + [len(text)]
    return [
        (at[start], at[end - 1] + 1 if end > start else at[start])
        for start, end in _byte_places(text.encode(), pieces)
    ]


def _byte_places(data: bytes, pieces: Sequence[bytes]) -> list[Place]:
    """Where each piece stands in `data`; what the vocabulary added has an empty place."""
    found, done = [], 0
    for piece in pieces:
        if not data.startswith(piece, done):
            # Some vocabularies put a space before a text, or change a character of it.
            piece = piece.removeprefix(b" ")
        start = data.find(piece, done, done + len(piece) + _MOST_SKIPPED)
        if piece and start >= 0:
            found.append((start, start + len(piece)))
            done = start + len(piece)
        else:
            found.append((done, done))
    return found
