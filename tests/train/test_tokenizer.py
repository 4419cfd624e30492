"""The tokenizer that a recipe learns."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from avalan.errors import ConfigurationError
from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.reflection import tokens
from avalan.train import tokenizer as bpe

TEXT = st.text(max_size=60)
# Spaces, digits and marks are where pre-tokenizers differ.
TRICKY = st.text("ab'sS019 \n\t.,!?-_é日🙂", max_size=40)


def test_the_vocabulary_has_exactly_the_size_that_was_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocab_size == 600


def test_control_and_reflection_tokens_are_special_and_come_first(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.token_id(text) for text in (*bpe.CONTROL, *tokens.ALL)]
    assert ids == list(range(20))
    assert tokenizer.special_ids == set(range(20))
    assert len(tokens.ALL) == 15


@given(number=st.integers(0, 10**9))
def test_numbers_are_read_digit_by_digit(tokenizer: Tokenizer, number: int) -> None:
    encoded = tokenizer.encode(f"x {number}")
    digits = [tokenizer.decode([token_id]) for token_id in encoded][-len(str(number)) :]
    assert digits == list(str(number))


@given(text=TEXT)
def test_any_text_comes_back_as_it_was(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=st.lists(st.sampled_from((*bpe.CONTROL, *tokens.ALL, "x", " ")), max_size=6))
def test_no_text_becomes_a_control_token(tokenizer: Tokenizer, text: Sequence[str]) -> None:
    encoded = tokenizer.encode("".join(text))
    assert not set(encoded) & tokenizer.special_ids
    assert tokenizer.decode(encoded) == "".join(text)


@pytest.fixture(scope="module")
def theirs(tokenizer_folder: Path) -> AutoTokenizer:
    """The same folder as transformers loads it."""
    return AutoTokenizer.from_pretrained(tokenizer_folder)


@given(text=TEXT | TRICKY)
def test_transformers_splits_every_text_in_the_same_way(
    tokenizer: Tokenizer, theirs: AutoTokenizer, text: str
) -> None:
    assert theirs.encode(text, add_special_tokens=False) == tokenizer.encode(text)


def test_transformers_renders_a_conversation_to_the_same_ids(
    tokenizer: Tokenizer, theirs: AutoTokenizer
) -> None:
    messages = [
        Message(role="system", content="Be concise."),
        Message(role="user", content="Who founded it?"),
        Message(role="assistant", content="Ada Brill"),
        Message(role="user", content="When?"),
    ]
    plain = [{"role": message.role, "content": message.content} for message in messages]
    text = theirs.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|system|>Be concise.<|user|>Who founded it?<|assistant|>Ada Brill<|end|>"
        "<|user|>When?<|assistant|>"
    )
    assert tokenizer.encode_chat(messages) == theirs.encode(text, add_special_tokens=False)


def test_the_pre_tokenizer_is_the_one_called_qwen2() -> None:
    pattern = tokenizers.pre_tokenizers.Split(tokenizers.Regex(bpe.QWEN2_PATTERN), "isolated")
    pieces = [piece for piece, _ in pattern.pre_tokenize_str("I'm 42, it's\n\n ok  now!")]
    assert pieces == ["I", "'m", " ", "4", "2", ",", " it", "'s", "\n\n", " ok", " ", " now", "!"]


def test_texts_that_are_too_few_for_the_vocabulary_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"give a vocabulary of 27[67] entries, not of 900"
    ):
        bpe.learn(["ab"], vocab_size=900)


def test_the_same_texts_give_the_same_tokenizer(tmp_path: Path) -> None:
    texts = ["the mill by the river", "the miller and the mule"] * 3
    for name in ("first", "second"):
        bpe.save(bpe.learn(texts, vocab_size=290), tmp_path / name, context_length=64)
    first, second = (tmp_path / name / "tokenizer.json" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert load_tokenizer(tmp_path / "first").vocab_size == 290
