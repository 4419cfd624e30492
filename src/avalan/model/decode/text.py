"""From tokens to the text that can be shown: never half a character, never a lost space, and no
piece of a stop string."""

from collections.abc import Sequence

from avalan.model.prompt import Tokenizer

REPLACEMENT = "\ufffd"
"""What a decoder writes for bytes that are not (yet) a character."""


class Detokenizer:
    """Adds one token at a time; what it gave out, plus `flush()`, is `decode` of all of them.

    Decoding a token by itself would lose the space that joins it to the word before, so it is
    decoded after the last tokens that showed a text, and the longer text is cut. The cost of a
    token does not grow with the answer.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = False) -> None:
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


class StopScanner:
    """Reads a text in pieces and ends it before the stop string that is complete first.

    Of two that are complete at the same character the longer counts. What was shown does not
    depend on where the pieces were cut.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self._stop_strings = tuple(stop_strings)
        self._held = ""
        self.stopped = False
        """Whether a stop string is complete; nothing is shown after it."""

    def push(self, text: str) -> str:
        """What can be shown now; an end that may be the beginning of a stop string is held."""
        text = self._held + text
        start = _first_match(text, self._stop_strings)
        self.stopped = start is not None
        cut = len(text) - num_held(text, self._stop_strings) if start is None else start
        self._held = "" if self.stopped else text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """What is held, when no more text will come."""
        held, self._held = self._held, ""
        return held


def _first_match(text: str, stop_strings: Sequence[str]) -> int | None:
    """Where the match that ends first starts; of several, the leftmost start."""
    found = [(text.find(stop), len(stop)) for stop in stop_strings]
    matches = [(start + size, start) for start, size in found if start >= 0]
    return min(matches)[1] if matches else None


def num_held(text: str, stop_strings: Sequence[str]) -> int:
    """Length of the longest end of `text` that begins a stop string."""
    longest = min(len(text), max(map(len, stop_strings), default=1) - 1)
    for size in range(longest, 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stop_strings):
            return size
    return 0
