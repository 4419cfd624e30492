"""How a tokenizer reads a text, token by token, for people to look at."""

from dataclasses import dataclass

from tokenizers import pre_tokenizers

from avalan.model.decode.text import REPLACEMENT
from avalan.model.entities import TokenKind
from avalan.model.prompt import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadToken:
    """One token of a text."""

    token_id: int
    text: str
    """Its own; where it is a part of a character, its bytes, as `\\xe6`."""
    token: str
    """As the vocabulary writes it, such as `Ġthe`."""
    kind: TokenKind
    start: int
    """Its first character's place in the text …"""
    end: int
    """… and the one after its last; both 0 for a token that was put around the text."""


def read_tokens(tokenizer: Tokenizer, text: str) -> list[ReadToken]:
    """The tokens of `text`, with those that the tokenizer puts before and after it."""
    token_ids, offsets = tokenizer.encode_with_controls(text)
    return [
        ReadToken(
            token_id=token_id,
            text=own_text(tokenizer, token_id),
            token=tokenizer.token(token_id),
            kind=tokenizer.kind(token_id),
            start=start,
            end=end,
        )
        for token_id, (start, end) in zip(token_ids, offsets, strict=True)
    ]


def own_text(tokenizer: Tokenizer, token_id: int) -> str:
    """What a token says by itself, its space before it included."""
    alone = tokenizer.decode([token_id])
    written = tokenizer.token(token_id)
    if REPLACEMENT in alone and REPLACEMENT not in written:
        return _bytes_text(written)
    if written.startswith("▁") and not alone.startswith(" "):
        return f" {alone}"
    return alone


def _bytes_text(written: str) -> str:
    """The bytes of a token of a byte-level vocabulary; others write them as `<0xE6>` themselves."""
    if not all(character in _BYTES for character in written):
        return written
    return bytes(_BYTES[character] for character in written).decode("utf-8", "backslashreplace")


def _byte_alphabet() -> dict[str, int]:
    """Which byte a character of a byte-level vocabulary stands for.

    The printable bytes stand for themselves; the rest, in order, for the characters from U+0100.
    """
    own = {chr(byte): byte for byte in range(256) if chr(byte) in _ALPHABET}
    others = (byte for byte in range(256) if byte not in own.values())
    return own | {chr(256 + index): byte for index, byte in enumerate(others)}


_ALPHABET = frozenset(pre_tokenizers.ByteLevel.alphabet())
_BYTES = _byte_alphabet()
