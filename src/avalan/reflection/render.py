"""Record → token ids and kinds: the one renderer, for data, training and the loop alike.

    <prompt> [Retrieval] <paragraph>title⏎text</paragraph>[Relevant] answer [Fully supported]
    [Utility:5] <eos>

In a vocabulary with AVALON's seven tokens alone there are no marks and no judgements: a passage is
text between blank lines, after the decision and before the answer.

Every passage is followed at once by its judgement, so that a passage may be read alone, after
others, or on a fork. An answer that is a span of the passage repeats the passage's own token ids:
copying needs no re-tokenisation, and the loop gets exact offsets back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from avalan.model.entities import Message
from avalan.reflection.record import LossWeights, Record, RecordPassage, Segment
from avalan.reflection.tokens import AvalonIds, ReflectionIds

Kind = Literal["prompt", "text", "reflection", "markup", "passage", "eos"]
CharSpan = tuple[int, int]
AnyIds = ReflectionIds | AvalonIds


class TextEncoder(Protocol):
    """What rendering needs of a tokenizer; see `avalan.model.prompt`."""

    def encode(self, text: str) -> list[int]: ...
    def encode_with_offsets(self, text: str) -> tuple[list[int], list[CharSpan]]: ...
    def encode_chat(self, messages: Sequence[Message]) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Token ids of one kind."""

    token_ids: tuple[int, ...]
    kind: Kind
    weight: float = 1.0
    """What the record's own loss makes of them, beside the weight of their kind."""
    quoted: tuple[int, int] | None = None
    """Of a passage that somebody quotes or finds nothing in: the range of its tokens that are
    said afterwards, which is empty where none are. None of anything else."""


@dataclass(frozen=True, slots=True)
class EncodedPassage:
    """A passage's ids between its marks, with the place of each token in its text."""

    token_ids: tuple[int, ...]
    spans: tuple[CharSpan, ...]
    """Characters of the passage's text; negative inside the title."""

    def tokens_of(self, start: int, end: int) -> tuple[int, int]:
        """The shortest token range that covers the characters `start` to `end` of the text."""
        first = next(i for i, (_, e) in enumerate(self.spans) if e > start)
        last = next(i for i in reversed(range(len(self.spans))) if self.spans[i][0] < end)
        return first, last + 1

    def characters_of(self, first: int, last: int) -> CharSpan:
        """The characters of the text that the token range `first` to `last` covers."""
        return self.spans[first][0], self.spans[last - 1][1]


def encode_passage(encoder: TextEncoder, title: str, text: str) -> EncodedPassage:
    """Encode `title` and `text` as plain text, on two lines; no title, no line for it."""
    head = f"{title}\n" if title else ""
    token_ids, offsets = encoder.encode_with_offsets(head + text)
    spans = tuple((start - len(head), end - len(head)) for start, end in offsets)
    return EncodedPassage(tuple(token_ids), spans)


def render(record: Record, encoder: TextEncoder, ids: AnyIds | None, eos_id: int) -> list[Piece]:
    """The pieces of a record, in order; an open record (no utility) has no end, unless plain.

    Args:
        ids: those of the vocabulary; None where it has none, and the record must be plain.
    """
    pieces = [Piece(tuple(encoder.encode_chat(record.messages)), "prompt")]
    for segment in record.segments:
        if ids is None:
            pieces.append(_text(segment, encoder))
        elif isinstance(ids, AvalonIds):
            pieces += _avalon_segment(segment, encoder, ids)
        else:
            pieces += _segment(segment, encoder, ids)
    if record.utility is not None and ids is not None:
        pieces.append(Piece((ids.utility[record.utility - 1],), "reflection"))
    if record.utility is not None or record.is_plain:
        pieces.append(Piece((eos_id,), "eos"))
    if record.loss == LossWeights():
        return pieces
    own = {"text": record.loss.text, "reflection": record.loss.reflection}
    return [replace(piece, weight=own.get(piece.kind, 1.0)) for piece in pieces]


def _segment(segment: Segment, encoder: TextEncoder, ids: ReflectionIds) -> list[Piece]:
    pieces = []
    if segment.decision != "plain":
        decisions = {"retrieve": ids.retrieval, "none": ids.no_retrieval, "continue": ids.proceed}
        pieces.append(Piece((decisions[segment.decision],), "reflection"))
    encoded = None
    for passage in segment.passages:
        encoded = encode_passage(encoder, passage.title, passage.text)
        pieces += _passage(passage, encoded, ids)
    if segment.text is None:
        return pieces
    if segment.span is not None and encoded is not None:
        first, last = encoded.tokens_of(*segment.span)
        pieces[-3] = replace(pieces[-3], quoted=(first, last))
        pieces.append(Piece(encoded.token_ids[first:last], "text"))
    else:
        pieces.append(_text(segment, encoder))
    if segment.support is not None:
        grade = ("full", "partial", "none").index(segment.support)
        pieces.append(Piece((ids.support[grade],), "reflection"))
    return pieces


def _avalon_segment(segment: Segment, encoder: TextEncoder, ids: AvalonIds) -> list[Piece]:
    pieces = []
    decisions = {"retrieve": ids.retrieval, "none": ids.no_retrieval}
    if segment.decision in decisions:
        pieces.append(Piece((decisions[segment.decision],), "reflection"))
    for passage in segment.passages:
        shown = "\n".join(part for part in (passage.title, passage.text) if part)
        pieces.append(Piece(tuple(encoder.encode(f"\n\n{shown}\n\n")), "passage"))
    return pieces if segment.text is None else [*pieces, _text(segment, encoder)]


def _text(segment: Segment, encoder: TextEncoder) -> Piece:
    assert segment.text is not None
    return Piece(tuple(encoder.encode(segment.text)), "text")


def _passage(passage: RecordPassage, encoded: EncodedPassage, ids: ReflectionIds) -> list[Piece]:
    judgement = ids.relevant if passage.relevant else ids.irrelevant
    return [
        Piece((ids.paragraph,), "markup"),
        Piece(encoded.token_ids, "passage", quoted=None if passage.relevant else (0, 0)),
        Piece((ids.paragraph_end,), "markup"),
        Piece((judgement,), "reflection"),
    ]
