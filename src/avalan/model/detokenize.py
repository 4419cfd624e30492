"""Tokens to text while they come: never half a character, never a lost space."""

from collections.abc import Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"
"""What a decoder writes for bytes that are not (yet) a character."""


class Decoder(Protocol):
    """The part of a tokenizer that reads token ids back."""

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids."""


class Detokenizer:
    """Adds one token at a time; what it gave out, plus `flush()`, is `decode` of all of them.

    Decoding a token by itself would lose the space that joins it to the word before, so it is
    decoded after the last tokens that showed a text, and the longer text is cut. The cost of a
    token does not grow with the answer.
    """

    def __init__(self, tokenizer: Decoder, *, skip_special_tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skip_special_tokens = skip_special_tokens
        self._context: list[int] = []
        self._context_text = ""
        self._pending: list[int] = []

    def add(self, token_id: int) -> str:
        """The text that can be shown now: empty while a character's bytes are incomplete."""
        self._pending.append(token_id)
        text = self._decode(self._context + self._pending)
        if len(text) <= len(self._context_text) or text.endswith(REPLACEMENT):
            return ""
        return self._show(text)

    def flush(self) -> str:
        """What is still held; bytes that never became a character show as U+FFFD."""
        return self._show(self._decode(self._context + self._pending)) if self._pending else ""

    def _show(self, text: str) -> str:
        shown = text[len(self._context_text) :]
        self._context, self._pending = self._pending, []
        self._context_text = self._decode(self._context)
        return shown

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=self._skip_special_tokens)
