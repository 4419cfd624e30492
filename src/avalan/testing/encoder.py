"""A sentence embedder with random weights, in the layout of sentence-transformers."""

import json
import string
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from avalan import extras

_CONTROLS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = ("the", "cat", "sat", "on", "mat", "looks", "at", "garden", "train", "leaves", "harbour")
_MODULES = ("Transformer", "Pooling", "Normalize")


def pico_bert(folder: Path, *, seed: int = 0, longest: int = 32, **config: Any) -> Path:
    """Write a random BERT with mean pooling and its tokenizer into `folder`; returns `folder`.

    Needs the extra `transformers`.

    Args:
        seed: of the weights.
        longest: tokens that it reads of a text.
        config: fields of `config.json` to change, such as `num_hidden_layers`.
    """
    torch = extras.load("torch", extra="transformers")
    transformers = extras.load("transformers", extra="transformers")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _word_pieces()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = transformers.BertConfig(
        **_SHAPE | {"vocab_size": tokenizer.get_vocab_size(), **config}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.BertModel(settings, add_pooling_layer=False)
        for weight in model.parameters():
            # Transformers begins with biases of 0 and gains of 1, which would hide a lost one.
            torch.nn.init.normal_(weight, mean=float(weight.ndim == 1) / 2, std=0.2)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{index}_{kind}" if index else ""}
        for index, kind in enumerate(_MODULES)
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": longest})
    return folder


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _word_pieces() -> tokenizers.Tokenizer:
    letters = [f"{start}{letter}" for start in ("", "##") for letter in string.ascii_lowercase]
    words = dict.fromkeys([*_CONTROLS, *letters, *string.digits, *string.punctuation, *_WORDS])
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
