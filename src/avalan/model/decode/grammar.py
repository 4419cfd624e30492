"""Answers that follow a JSON schema, a regular expression or a list of choices.

llguidance says which tokens may come next: it compiles in a millisecond at any size of vocabulary,
and works on the bytes of the tokens, so that a character may be spelled by several of them.
"""

import json
from functools import lru_cache
from typing import Any

import llguidance
import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _
from avalan.model.entities import CONSTRAINTS, GenerationSettings
from avalan.model.prompt import Tokenizer

AUTHOR = "llguidance"
"""Who enforces it, by name."""

# At most one space: a small model would otherwise write blanks for ever.
_OPTIONS: Any = {"whitespace_pattern": " ?"}


class Grammar:
    """What may come next, for one answer; `accept` each token as it is chosen."""

    def __init__(self, settings: GenerationSettings, tokenizer: Tokenizer, vocab_size: int) -> None:
        """
        Args:
            settings: whose constraint is to be followed.
            vocab_size: of the model, which may have more places than the tokenizer has tokens.

        Raises:
            ConfigurationError: the constraint does not compile, or needs what llguidance lacks.
        """
        self._matcher = llguidance.LLMatcher(_vocabulary(tokenizer, vocab_size), source(settings))
        self._vocab_size = vocab_size
        _check_compiled(self._matcher, settings)

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, (vocab_size,); an end token among them where one may end."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        found: NDArray[np.bool_] = np.unpackbits(bits, bitorder="little")[: self._vocab_size] > 0
        self._check()
        return found

    def accept(self, token_id: int) -> None:
        """Go on after a token that was allowed.

        Raises:
            ModelError: the grammar has become larger than its limits.
        """
        self._matcher.consume_token(token_id)
        self._check()

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())

    @property
    def is_over(self) -> bool:
        """Whether nothing but the end can come."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise ModelError(
                "The constraint could not be followed to its end ({reason}); make it simpler.",
                reason=_first_line(self._matcher.get_error()),
            )


def check(settings: GenerationSettings) -> None:
    """Raises ConfigurationError for a constraint that cannot be enforced; no model is needed."""
    _check_compiled(llguidance.LLMatcher(_bytes(), source(settings)), settings)


def _check_compiled(matcher: Any, settings: GenerationSettings) -> None:
    if not matcher.is_error():
        matcher.compute_bitmask()
        if matcher.is_error():  # As for {"$ref": "#"}, which only ever refers to itself.
            raise ConfigurationError(
                "The {kind} cannot be enforced, because no text follows it; change it, or ask "
                "without it.",
                kind=_(CONSTRAINTS[settings.constraint or "schema"]),
            )
    else:
        raise ConfigurationError(
            "The {kind} cannot be enforced ({reason}); change it, or ask without it.",
            kind=_(CONSTRAINTS[settings.constraint or "schema"]),
            reason=_first_line(matcher.get_error()),
        )


def follows(text: str, settings: GenerationSettings) -> bool:
    """Whether a finished text keeps to the constraint of `settings`, whoever wrote it.

    JSON may have blanks wherever its format allows them.

    Raises:
        ConfigurationError: the constraint does not compile.
    """
    matcher = llguidance.LLMatcher(_bytes(), source(settings))
    data = list((text if settings.schema is None else _respaced(text)).encode())
    return matcher.try_consume_tokens(data) == len(data) and bool(matcher.is_accepting())


def _respaced(text: str) -> str:
    """JSON with the blanks that our grammars know; what is none stays."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text


class _Bytes:
    """A vocabulary of the 256 bytes and an end."""

    bos_token_id, eos_token_id = None, 256
    tokens = (*(bytes([value]) for value in range(256)), b"<end>")
    special_token_ids = (256,)

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


@lru_cache(maxsize=1)
def _bytes() -> Any:
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()))


class _Spelling:
    """A tokenizer as llguidance reads one: texts are spelled without control tokens."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokens = _spellings(tokenizer)
        self.special_token_ids = sorted(tokenizer.special_ids)
        self.eos_token_id = min(tokenizer.eos_ids, default=0)
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def _spellings(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes that each token adds to a text."""
    if tokenizer.spelling is not None:
        return list(map(tokenizer.spelling, range(tokenizer.vocab_size)))
    own = llguidance.LLTokenizer(tokenizer.definition or "")
    return [own.decode_bytes([token_id]) for token_id in range(own.vocab_size)]


@lru_cache(maxsize=2)
def _vocabulary(tokenizer: Tokenizer, vocab_size: int) -> Any:
    """The tokens as bytes; kept, because a vocabulary of 248,000 takes seconds."""
    spelling = _Spelling(tokenizer)
    ends = sorted(tokenizer.eos_ids) or [spelling.eos_token_id]
    wrapped = llguidance.TokenizerWrapper(spelling)
    return llguidance.LLTokenizer(wrapped, n_vocab=vocab_size, eos_token=ends)


def source(settings: GenerationSettings) -> str:
    """The constraint in llguidance's own notation; what does not compile is found out later."""
    compiler = llguidance.LLMatcher
    if settings.schema is not None:
        schema = json.dumps(settings.schema)
        return str(compiler.grammar_from_json_schema(schema, overrides=_OPTIONS))
    if settings.regex is not None:
        return str(compiler.grammar_from_regex(settings.regex))
    options = (json.dumps(choice) for choice in settings.choices)
    return str(compiler.grammar_from_lark(f"start: {' | '.join(options)}"))


def _first_line(text: str) -> str:
    """The reason in a long complaint, which may quote the grammar over several lines."""
    _before, _mark, reason = text.rpartition("error: ")
    return reason.partition("\n")[0].strip()
