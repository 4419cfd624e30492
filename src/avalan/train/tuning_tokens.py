"""Records as tokens, each token with what it counts in the loss. Nothing here needs torch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer
from avalan.reflection import avalon_judge
from avalan.reflection.reading import prompt_ids
from avalan.reflection.record import Record
from avalan.reflection.render import AnyIds, Kind, Piece, render
from avalan.reflection.tokens import PROFILES, avalon_ids, reflection_ids
from avalan.train.tuning_recipe import SYSTEM_PROMPT, Loss, TuningRecipe


@dataclass(frozen=True, slots=True)
class Tokens:
    """A record as tokens, all of the same length."""

    input_ids: list[int]
    weights: list[float]
    """Of each token as a target."""
    is_plain: list[bool]
    """Whether it is said in a record without reflection."""
    is_inside: list[bool]
    """Whether it stands inside a text, where no reflection token could."""
    quoted: list[int]
    """Of a passage's tokens, 1 where the answer repeats it and 0 where not; -1 of all others."""


def ids_of(profile: str, tokenizer: Tokenizer) -> AnyIds | None:
    """The ids of the tokens of a profile, see `PROFILES`; None for none."""
    match profile:
        case "avalon":
            return avalon_ids(tokenizer.token_id)
        case "self-rag":
            return reflection_ids(tokenizer.token_id)
    return None


def lacking(profile: str, tokenizer: Tokenizer) -> list[str]:
    """The tokens of a profile that a tokenizer is still to be given."""
    return [text for text in PROFILES[profile] if text not in tokenizer.added_tokens]


def tokens_of(record: Record, pieces: Iterable[Piece], loss: Loss) -> Tokens:
    """The tokens of a rendered record, each with what it counts."""
    by_kind = cast("dict[Kind, float]", asdict(loss))
    made = Tokens([], [], [], [], [])
    for piece in pieces:
        length = len(piece.token_ids)
        is_text = piece.kind == "text"
        made.input_ids.extend(piece.token_ids)
        made.weights.extend([by_kind[piece.kind] * piece.weight] * length)
        made.is_plain.extend([is_text and record.is_plain] * length)
        # Before a text's first token a decision may come; between its others none may.
        made.is_inside.extend([is_text and place > 0 for place in range(length)])
        first, last = piece.quoted or (0, 0)
        outside = -1 if piece.quoted is None else 0
        made.quoted.extend([1 if first <= place < last else outside for place in range(length)])
    # Nothing predicts the first token.
    made.weights[0] = 0.0
    return made


def all_tokens(
    recipe: TuningRecipe, records: Iterable[Record], tokenizer: Tokenizer
) -> Iterator[Tokens]:
    """Each record that can be learned from in the recipe's profile, as tokens."""
    profile = recipe.tokens.profile
    ids = ids_of(profile, tokenizer)
    end, encoder = end_of_turn(tokenizer), _AsAsked(tokenizer)
    for record in records:
        if ids is None and not record.is_plain:
            raise ConfigurationError(
                "The record {name!r} reflects, but tokens.profile = 'none' has no tokens for that; "
                "choose the profile 'avalon' or 'self-rag'.",
                name=record.id,
            )
        shown = _under_prompt(record, recipe.tokens.system_prompt)
        yield tokens_of(record, render(shown, encoder, ids, end), recipe.loss)


def text_tokens(
    texts: Iterable[str], tokenizer: Tokenizer, *, row_length: int, weight: float
) -> Iterator[Tokens]:
    """Texts as they are, each with its end, in pieces that fill a row."""
    end = _end_of_text(tokenizer)
    for text in texts:
        token_ids = [*tokenizer.encode(text), end]
        for start in range(0, len(token_ids), row_length):
            part = token_ids[start : start + row_length]
            num = len(part)
            weights = [0.0, *[weight] * (num - 1)]
            yield Tokens(part, weights, [True] * num, [True] * num, [-1] * num)


class _AsAsked:
    """Encodes a conversation as a model is asked: reasoning, where there is any, is closed."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.encode, self.encode_with_offsets = tokenizer.encode, tokenizer.encode_with_offsets

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        return prompt_ids(self._tokenizer, messages)


def end_of_turn(tokenizer: Tokenizer) -> int:
    """The token with which the chat template ends what a model says: generation stops there.

    Raises:
        ModelError: the base has no chat template, or none of its tokens ends an answer.
    """
    if tokenizer.chat_template is None:
        raise ModelError(
            "The base has no chat template, so nobody knows how it is asked; take a base that "
            "was taught to chat, or put a chat_template.jinja beside its tokenizer."
        )
    said = [Message(role="user", content="a"), Message(role="assistant", content="b")]
    token_ids = tokenizer.encode_chat(said, add_generation_prompt=False)
    found = [token_id for token_id in token_ids if token_id in tokenizer.eos_ids]
    return found[-1] if found else _end_of_text(tokenizer)


def _end_of_text(tokenizer: Tokenizer) -> int:
    if not tokenizer.eos_ids:
        raise ModelError(
            "The base has no token that ends an answer; name it as eos_token in its "
            "tokenizer_config.json."
        )
    return min(tokenizer.eos_ids)


def _under_prompt(record: Record, prompt: str) -> Record:
    if not prompt or record.is_plain or record.messages[0].role == "system":
        return record
    text = avalon_judge.SYSTEM_PROMPT if prompt == SYSTEM_PROMPT else prompt
    return replace(record, messages=(Message(role="system", content=text), *record.messages))
