"""What a GGUF file says about itself: its vocabulary, its chat template and its shape.

The vocabulary reads texts with llama.cpp's own code, so that the token ids are those that the
weights were made for.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import finalize

import llama_cpp

from avalan.model.engine import llama
from avalan.model.pieces import Encoding, places
from avalan.model.prompt import Readings, Tokenizer, is_bracketed

_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
_ADDED = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED | _CONTROL
_FIRST_SIZE = 4096


class GgufFile:
    """A file opened for what it says about itself; its weights are not read."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            ModelError: llama.cpp cannot read it.
        """
        self._model = llama.load_model(path, vocab_only=True)
        finalize(self, llama_cpp.llama_model_free, self._model).atexit = False
        self.vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        """llama.cpp's pointer."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        self.chat_template = template.decode() if template else None
        """Its source."""

    def value(self, key: str) -> str:
        """What the metadata say under `key`; empty if nothing."""

        def read(buffer: Any, size: int) -> int:
            num = llama_cpp.llama_model_meta_val_str(self._model, key.encode(), buffer, size)
            return int(-num if num >= size else max(num, 0))

        return _text(read)


class VocabularyReading:
    """A `Reading` by llama.cpp."""

    def __init__(self, file: GgufFile, *, trusted: bool) -> None:
        """
        Args:
            trusted: control tokens are parsed.
        """
        self._file = file  # It owns what the pointer points to.
        self._vocabulary, self._trusted = file.vocabulary, trusted
        self._num_tokens = int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))

    def encode(self, text: str, /, *, add_special_tokens: bool = True) -> Encoding:
        """Token ids, with the characters that each stands for."""
        ids = self._ids(text.encode(), add_special_tokens)
        mask = [int(self._is_control(token_id)) for token_id in ids]
        return Encoding(ids, places(text, list(map(self.spelling, ids))), mask)

    def decode(self, token_ids: Sequence[int], /, *, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        known = [token_id for token_id in token_ids if 0 <= token_id < self._num_tokens]
        tokens = (llama_cpp.llama_token * len(known))(*known)

        def detokenize(buffer: Any, size: int) -> int:
            return int(
                llama_cpp.llama_detokenize(
                    self._vocabulary, tokens, len(known), buffer, size, False,
                    not skip_special_tokens,
                )
            )  # fmt: skip

        return _text(detokenize)

    def spelling(self, token_id: int) -> bytes:
        """The bytes that a token adds to a text; a control token's own letters."""

        def spell(buffer: Any, size: int) -> int:
            return int(
                llama_cpp.llama_token_to_piece(self._vocabulary, token_id, buffer, size, 0, True)
            )

        return bytes(_filled(spell, ctypes.c_char))

    def id_to_token(self, token_id: int, /) -> str | None:
        """How the vocabulary writes a token, as `Ġthe`."""
        if not 0 <= token_id < self._num_tokens:
            return None
        text: bytes = llama_cpp.llama_vocab_get_text(self._vocabulary, token_id)
        return text.decode(errors="replace")

    def get_added_tokens_decoder(self) -> Mapping[int, Any]:
        """The tokens beside the ordinary ones."""
        return {
            token_id: SimpleNamespace(
                content=self.id_to_token(token_id), special=self._is_control(token_id)
            )
            for token_id in range(self._num_tokens)
            if llama_cpp.llama_vocab_get_attr(self._vocabulary, token_id) & _ADDED
        }

    def _ids(self, data: bytes, opening: bool) -> list[int]:
        def tokenize(buffer: Any, size: int) -> int:
            return int(
                llama_cpp.llama_tokenize(
                    self._vocabulary, data, len(data), buffer, size, opening, self._trusted
                )
            )

        return list(_filled(tokenize, llama_cpp.llama_token))

    def _is_control(self, token_id: int) -> bool:
        return bool(llama_cpp.llama_vocab_get_attr(self._vocabulary, token_id) & _CONTROL)


def read_tokenizer(file: GgufFile) -> Tokenizer:
    """The tokenizer in a GGUF file."""
    trusted = VocabularyReading(file, trusted=True)
    plain = VocabularyReading(file, trusted=False)
    added = trusted.get_added_tokens_decoder()
    return Tokenizer(
        Readings(
            trusted=trusted,
            plain=plain,
            plain_inner=plain,
            control_ids=frozenset(
                token_id
                for token_id, token in added.items()
                if token.special or is_bracketed(token.content)
            ),
            vocab_size=int(llama_cpp.llama_vocab_n_tokens(file.vocabulary)),
            spelling=plain.spelling,
        ),
        chat_template=file.chat_template,
        special_tokens=_named_tokens(file.vocabulary, trusted),
        eos_ids=[i for i in added if llama_cpp.llama_vocab_is_eog(file.vocabulary, i)],
    )


def read_config(file: GgufFile) -> dict[str, Any]:
    """The shape of the model in a GGUF file, under the names of a `config.json`."""
    architecture = file.value("general.architecture")
    names = {
        "max_position_embeddings": "context_length",
        "hidden_size": "embedding_length",
        "num_hidden_layers": "block_count",
        "num_attention_heads": "attention.head_count",
        "num_key_value_heads": "attention.head_count_kv",
        "intermediate_size": "feed_forward_length",
    }
    shape = {name: file.value(f"{architecture}.{key}") for name, key in names.items()}
    numbers = {name: int(value) for name, value in shape.items() if value.isdigit()}
    return {"model_type": architecture, "name": file.value("general.name")} | numbers


def _named_tokens(vocabulary: int, reading: VocabularyReading) -> dict[str, str]:
    """`bos_token` and its like, as a chat template calls them."""
    ids = {
        "bos_token": llama_cpp.llama_vocab_bos(vocabulary),
        "eos_token": llama_cpp.llama_vocab_eos(vocabulary),
        "pad_token": llama_cpp.llama_vocab_pad(vocabulary),
    }
    found = {name: reading.id_to_token(token_id) for name, token_id in ids.items()}
    return {name: text for name, text in found.items() if text is not None}


def _filled(fill: Callable[[Any, int], int], kind: Any) -> Any:
    """What `fill` writes into a buffer that is large enough; it says how much, or minus how much
    it would have needed."""
    buffer = (kind * _FIRST_SIZE)()
    num = fill(buffer, _FIRST_SIZE)
    if num < 0:
        buffer = (kind * (1 - num))()
        num = fill(buffer, 1 - num)
    return buffer[:num]


def _text(fill: Callable[[Any, int], int]) -> str:
    return bytes(_filled(fill, ctypes.c_char)).decode(errors="replace")
