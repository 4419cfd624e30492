"""Models with random weights and real files, built in code in a moment.

The code under test takes the same path with them as with a real model.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from avalan import extras
from avalan.model.entities import Message
from avalan.model.prompt import load_tokenizer
from avalan.model.vocabulary import add_tokens

BOS, EOS = "<s>", "</s>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
THINKING_TEMPLATE = CHAT_TEMPLATE.replace("{% endif %}", "<think>\n{% endif %}")
"""It opens the model's reasoning, as that of DeepSeek-R1 does."""
_LINES = (
    "The quick brown fox jumps over the lazy dog near the river bank.",
    "Who are you? I am a small model with random weights, and I know nothing.",
    "Numbers like 1 2 3 4 5 6 7 8 9 0 and signs like (a), [b], {c} occur too.",
    "Where is the library? The library is in the old town, opposite the station.",
)


def pico_tokenizer(
    folder: Path, *, special_tokens: Sequence[str] = (), vocab_size: int = 384
) -> Path:
    """Write a byte-level BPE tokenizer with a chat template into `folder`; returns `folder`.

    Args:
        special_tokens: further control tokens, such as the reflection tokens; they follow
            `<s>`, `</s>` and the three roles, which have the ids 0 to 4.
        vocab_size: entries in all; at least 261 and the special tokens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS, *ROLES, *special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_LINES * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "chat_template": CHAT_TEMPLATE,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return folder


def pico_llama(
    folder: Path, *, seed: int = 0, special_tokens: Sequence[str] = (), **config: Any
) -> Path:
    """Write a random Llama with its tokenizer into `folder`; returns `folder`.

    Args:
        seed: of the weights.
        special_tokens: as in `pico_tokenizer`.
        config: fields of `config.json` to change, such as `hidden_size` or
            `tie_word_embeddings`.
    """
    shape = _llama_config(config)
    pico_tokenizer(folder, special_tokens=special_tokens, vocab_size=shape["vocab_size"])
    _write_json(folder / "config.json", shape)
    _write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})
    save_file = extras.load("safetensors.numpy", extra="transformers").save_file
    weights = _llama_weights(shape, np.random.default_rng(seed))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pico_speaker(
    folder: Path,
    pieces: Sequence[str],
    *,
    chat_template: str = THINKING_TEMPLATE,
    **config: Any,
) -> Path:
    """Write a Llama that always says `pieces` and ends; returns `folder`.

    Each piece is a token of its own, and each token leads to the next one: layers that add nothing,
    and an output row that is the vector of the token before.

    Args:
        pieces: all different, and none a token already; `<think>` and the like may be among them.
        chat_template: must end every prompt in the same token.
        config: as in `pico_llama`.
    """
    pico_tokenizer(folder)
    path = folder / "tokenizer.json"
    path.write_text(add_tokens(path.read_text(encoding="utf-8"), pieces), encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    _write_json(folder / "tokenizer_config.json", settings | {"chat_template": chat_template})
    tokenizer = load_tokenizer(folder)
    shape = _llama_config({"vocab_size": tokenizer.vocab_size, "tie_word_embeddings": False})
    weights = _llama_weights(shape, np.random.default_rng(0))
    for name, table in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
            table[:] = 0
        elif name.endswith("norm.weight"):
            table[:] = 1
    prompt_ids = tokenizer.encode_chat([Message(role="user", content="?")])
    said = [prompt_ids[-1], *(tokenizer.added_tokens[piece] for piece in pieces), 1]
    for before, after in pairwise(said):
        weights["lm_head.weight"][after] = weights["model.embed_tokens.weight"][before]
    _write_json(folder / "config.json", shape | config)
    _write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1})
    save_file = extras.load("safetensors.numpy", extra="transformers").save_file
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pico_qwen3(
    folder: Path, *, seed: int = 0, special_tokens: Sequence[str] = (), **config: Any
) -> Path:
    """Write a random Qwen3 with its tokenizer into `folder`; returns `folder`.

    Needs the extra `transformers`. Arguments as in `pico_llama`.
    """
    return _random_qwen("Qwen3", "Qwen3Config", folder, seed, special_tokens, config)


def pico_qwen3_5(
    folder: Path, *, seed: int = 0, special_tokens: Sequence[str] = (), **config: Any
) -> Path:
    """Write a random Qwen3.5 (three recurrent layers to one of attention) into `folder`.

    Needs the extra `transformers`. Arguments as in `pico_llama`.
    """
    recurrent = {
        "num_hidden_layers": 4,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    }
    shape = recurrent | config
    return _random_qwen("Qwen3_5", "Qwen3_5TextConfig", folder, seed, special_tokens, shape)


def pico_gguf(folder: Path, source_folder: Path, *, weight_type: str = "f32") -> Path:
    """Write the model in `source_folder` as `model.gguf` into `folder`; returns the file.

    Needs the extra `export`. The model may be any that this module makes.
    """
    export_gguf = extras.load("avalan.compress.gguf", extra="export").export_gguf
    path: Path = export_gguf(source_folder, folder / "model.gguf", weight_type=weight_type)
    return path


def _random_qwen(
    name: str,
    config_name: str,
    folder: Path,
    seed: int,
    special_tokens: Sequence[str],
    changes: dict[str, Any],
) -> Path:
    torch = extras.load("torch", extra="transformers")
    transformers = extras.load("transformers", extra="transformers")
    shape: dict[str, Any] = {
        "vocab_size": 384,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        # Larger than the default, so that logits differ enough for greedy tests to have no ties.
        "initializer_range": 0.2,
        **changes,
    }
    pico_tokenizer(folder, special_tokens=special_tokens, vocab_size=shape["vocab_size"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, config_name)(**shape)
        model = getattr(transformers, f"{name}ForCausalLM")(config)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def _llama_config(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 384,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "dtype": "float32",
        **changes,
    }


def _llama_weights(
    shape: dict[str, Any], random: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    queries = shape["num_attention_heads"] * shape["head_dim"]
    keys = shape["num_key_value_heads"] * shape["head_dim"]

    def normal(rows: int, columns: int, deviation: float) -> NDArray[np.float32]:
        return random.normal(0.0, deviation, (rows, columns)).astype(np.float32)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return normal(rows, columns, columns**-0.5)

    def norm() -> NDArray[np.float32]:
        return random.uniform(0.5, 1.5, (hidden,)).astype(np.float32)

    # Embeddings of unit size give logits that differ enough for greedy tests to have no ties.
    embeddings = normal(shape["vocab_size"], hidden, 1.0)
    weights = {"model.embed_tokens.weight": embeddings, "model.norm.weight": norm()}
    for layer in range(shape["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        weights |= {
            prefix + "input_layernorm.weight": norm(),
            prefix + "post_attention_layernorm.weight": norm(),
            prefix + "self_attn.q_proj.weight": matrix(queries, hidden),
            prefix + "self_attn.k_proj.weight": matrix(keys, hidden),
            prefix + "self_attn.v_proj.weight": matrix(keys, hidden),
            prefix + "self_attn.o_proj.weight": matrix(hidden, queries),
            prefix + "mlp.gate_proj.weight": matrix(inner, hidden),
            prefix + "mlp.up_proj.weight": matrix(inner, hidden),
            prefix + "mlp.down_proj.weight": matrix(hidden, inner),
        }
    if not shape["tie_word_embeddings"]:
        weights["lm_head.weight"] = matrix(shape["vocab_size"], hidden)
    return weights


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
