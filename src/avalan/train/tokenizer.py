"""A byte-level BPE tokenizer learned from the records that the model will read.

The pre-tokenizer is the one that llama.cpp knows as `qwen2`: single digits, so that numbers are
read and copied digit by digit.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from avalan.errors import ConfigurationError
from avalan.reflection import tokens

PAD, USER, ASSISTANT, SYSTEM, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
CONTROL = (PAD, SYSTEM, USER, ASSISTANT, END)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn(texts: Iterable[str], *, vocab_size: int, reflects: bool = True) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` entries: control tokens, bytes, then merges.

    Args:
        reflects: whether reflection tokens are among the control tokens.

    Raises:
        ConfigurationError: the texts hold too few different words for so many entries.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*CONTROL, *(tokens.ALL if reflects else ())],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if (learned := tokenizer.get_vocab_size()) != vocab_size:
        raise ConfigurationError(
            "The texts give a vocabulary of {learned} entries, not of {vocab_size}; change "
            "model.vocab_size, or raise run.tokenizer_records.",
            learned=learned,
            vocab_size=vocab_size,
        )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, *, context_length: int) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` that transformers and avalan read."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "pad_token": PAD,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
