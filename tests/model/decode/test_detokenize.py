"""Text while it comes: nothing torn, nothing lost."""

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from avalan import testing
from avalan.model.decode.text import Detokenizer
from avalan.model.prompt import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(testing.pico_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="module")
def metaspace() -> Tokenizer:
    words = ["<unk>", "<s>", "</s>", "▁", "▁the", "▁cat", "s", "▁▁", "at", "."]
    inner = tokenizers.Tokenizer(models.Unigram([(w, -float(i)) for i, w in enumerate(words)], 0))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.add_special_tokens(["<s>", "</s>"])
    return Tokenizer(inner.to_str())


def pieces(tokenizer: Tokenizer, ids: list[int], *, skip: bool) -> list[str]:
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=skip)
    return [*(detokenizer.add(i) for i in ids), detokenizer.flush()]


@given(ids=st.lists(st.integers(0, 383), max_size=40), skip=st.booleans())
def test_any_byte_level_tokens_add_up_to_their_decoding(
    byte_level: Tokenizer, ids: list[int], skip: bool
) -> None:
    assert "".join(pieces(byte_level, ids, skip=skip)) == byte_level.decode(ids, skip)


@given(ids=st.lists(st.integers(1, 9), max_size=12), skip=st.booleans())
def test_any_metaspace_tokens_add_up_to_their_decoding(
    metaspace: Tokenizer, ids: list[int], skip: bool
) -> None:
    assert "".join(pieces(metaspace, ids, skip=skip)) == metaspace.decode(ids, skip)


@given(text=st.text(max_size=30).filter(lambda text: "\ufffd" not in text))
def test_no_piece_holds_half_a_character(byte_level: Tokenizer, text: str) -> None:
    shown = pieces(byte_level, byte_level.encode(text), skip=True)

    assert not any("\ufffd" in piece for piece in shown)
    assert "".join(shown) == text


def test_character_appears_with_its_last_byte(byte_level: Tokenizer) -> None:
    assert pieces(byte_level, byte_level.encode("日"), skip=True) == ["", "", "日", ""]


def test_bytes_that_never_become_a_character_are_flushed(byte_level: Tokenizer) -> None:
    half = byte_level.encode("日")[:2]

    assert pieces(byte_level, half, skip=True) == ["", "", "\ufffd"]


def test_skipped_token_does_not_swallow_the_next_space(metaspace: Tokenizer) -> None:
    assert pieces(metaspace, [4, 1, 5], skip=True) == ["the", "", " cat", ""]
