"""Tokenizers of encoders, the embedder and the reader among them."""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import tokenizers

from avalan.errors import ModelError, reason_of
from avalan.model import ahead


def read_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer, which puts its control tokens around a text and spells out those in it.

    It cuts nothing. Models with the same file share it: nobody changes it.
    """
    path = folder / "tokenizer.json"
    try:
        return ahead.result(_parsed, path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(
            "The tokenizer in {path} cannot be read ({error}); download the model again.",
            path=path,
            error=reason_of(error),
        ) from error


def parse_ahead(folder: Path) -> None:
    """Begin to parse the tokenizer in `folder` in a thread, for the next who reads it."""
    with suppress(OSError, ValueError):  # Whoever reads it says so.
        ahead.begin(_parsed, (folder / "tokenizer.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=2)
def _parsed(definition: str) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_str(definition)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
