"""Encoder-decoder models with random weights: one that rewrites a text, one that translates."""

import json
import string
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from avalan import extras

_CONTROLS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_LINES = (
    "A footballer who plays as a forward for the national team joined the youth academy.",
    "He was born in July and began to play at a young age, with success and 10 goals.",
)
_PIECES = "▁" + string.ascii_letters + string.digits + string.punctuation + "áéíóúñ¿¡"


def pico_bart(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """Write a random BART with its tokenizer into `folder`; returns `folder`.

    As `facebook/bart-large-cnn` does, it asks for four beams, at most 142 tokens and at least 56.
    Needs the extra `transformers`.

    Args:
        seed: of the weights.
        config: fields of `config.json` to change, such as `max_position_embeddings`.
    """
    transformers = extras.load("transformers", extra="transformers")
    tokenizer = _byte_level_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({"tokenizer_class": "BartTokenizer"}) + "\n", encoding="utf-8")
    settings = transformers.BartConfig(
        **_SHAPE | {"vocab_size": tokenizer.get_vocab_size(), **config}
    )
    generation = transformers.GenerationConfig(
        decoder_start_token_id=2,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        forced_bos_token_id=0,
        num_beams=4,
        early_stopping=True,
        length_penalty=2.0,
        no_repeat_ngram_size=3,
        max_length=142,
        min_length=56,
    )
    _save(transformers.BartForConditionalGeneration, settings, generation, folder, seed)
    return folder


def pico_mbart50(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """Write a random mBART-50, which knows 52 languages by name, into `folder`; returns `folder`.

    Its tokenizer is a `tokenizer.json`; `facebook/mbart-large-50-many-to-many-mmt` has a file of
    sentencepiece instead, which needs the extra `translation`. Arguments as in `pico_bart`.
    """
    transformers = extras.load("transformers", extra="transformers")
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((piece, -3.0) for piece in _PIECES)]
    tokenizer = transformers.MBart50Tokenizer(vocab=pieces)
    tokenizer.save_pretrained(folder)
    settings = transformers.MBartConfig(**_SHAPE | {"vocab_size": len(tokenizer), **config})
    generation = transformers.GenerationConfig(
        decoder_start_token_id=2,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=2,
        num_beams=5,
        early_stopping=True,
        max_length=200,
    )
    _save(transformers.MBartForConditionalGeneration, settings, generation, folder, seed)
    return folder


def _byte_level_tokenizer() -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=list(_CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES * 4, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def _save(model_class: Any, config: Any, generation: Any, folder: Path, seed: int) -> None:
    torch = extras.load("torch", extra="transformers")
    transformers = extras.load("transformers", extra="transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
    model.generation_config = generation
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)


_SHAPE: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 1024,
    # Larger than the default, so that greedy answers have no ties.
    "init_std": 0.5,
}
