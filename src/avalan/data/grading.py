"""A record as a model is shown it: its pieces in order, and what each counts in the loss."""

from collections.abc import Mapping
from dataclasses import dataclass

from avalan.errors import ModelError
from avalan.model.prompt import Tokenizer
from avalan.reflection.record import Record
from avalan.reflection.render import AnyIds, Kind, render
from avalan.reflection.tokens import ALL, avalon_ids, reflection_ids

WEIGHTS: Mapping[Kind, float] = {
    "prompt": 0.0, "passage": 0.0, "markup": 0.0, "text": 1.0, "reflection": 1.0, "eos": 1.0,
}  # fmt: skip
"""What a model that speaks already is taught: what it says. The marks around passages are the
host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedPiece:
    """A piece of a record."""

    kind: Kind
    weight: float
    """Of each of its tokens in the loss."""
    num_tokens: int
    text: str
    """As the tokenizer reads it back, control tokens written out."""


class Grader:
    """Grades records in the tokens of one model."""

    def __init__(self, tokenizer: Tokenizer, weights: Mapping[Kind, float] | None = None) -> None:
        """
        Args:
            weights: of each kind of piece; None for `WEIGHTS`.

        Raises:
            ModelError: the tokenizer has the tokens of neither profile, or no end of an answer.
        """
        self._tokenizer, self._weights = tokenizer, weights or WEIGHTS
        self._ids = _ids(tokenizer)
        if not tokenizer.eos_ids:
            raise ModelError("The tokenizer has no token that ends an answer; name another model.")
        self._end_id = min(tokenizer.eos_ids)

    def pieces(self, record: Record) -> list[GradedPiece]:
        """The pieces of `record`, in order."""
        return [
            GradedPiece(
                kind=piece.kind,
                weight=self._weights[piece.kind] * piece.weight,
                num_tokens=len(piece.token_ids),
                text=self._tokenizer.decode(piece.token_ids),
            )
            for piece in render(record, self._tokenizer, self._ids, self._end_id)
        ]


def _ids(tokenizer: Tokenizer) -> AnyIds:
    """Those of all fifteen tokens, or of the seven where it has no more."""
    has_all = all(tokenizer.token_id(text) is not None for text in ALL)
    return (reflection_ids if has_all else avalon_ids)(tokenizer.token_id)
