"""Small Llamas that are trained in minutes, for experiments that need a model of a certain kind."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.reflection.reading import prompt_ids
from avalan.testing import CHAT_TEMPLATE, ROLES

Lesson = Callable[[Random], tuple[str, str]]
"""What is asked, and what is to be said."""
EOS_ID = 1
_NUM_LAYERS, _HIDDEN = 4, 192


def make_tokenizer(
    folder: Path, texts: Sequence[str], *, special_tokens: Sequence[str] = (), vocab_size: int = 768
) -> Tokenizer:
    """A byte-level BPE of `texts` in `folder`; each digit is a token of its own."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "</s>", *ROLES, *special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return load_tokenizer(folder)


def make_model(tokenizer: Tokenizer, *, seed: int) -> LlamaForCausalLM:
    """Two million random parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=_HIDDEN,
        intermediate_size=512,
        num_hidden_layers=_NUM_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=EOS_ID,
        pad_token_id=EOS_ID,
    )
    return LlamaForCausalLM(config)


def teach(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    lesson: Lesson,
    *,
    num_steps: int,
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    seed: int = 0,
) -> None:
    """Cross-entropy on what is to be said; a fresh batch of lessons each step."""
    random = Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, num_steps, pct_start=0.1
    )
    model.train()
    for step in range(1, num_steps + 1):
        rows = [_row(tokenizer, *lesson(random)) for _ in range(batch_size)]
        longest = max(len(token_ids) for token_ids, _labels in rows)
        token_ids = [each + [EOS_ID] * (longest - len(each)) for each, _labels in rows]
        labels = [each + [-100] * (longest - len(each)) for _ids, each in rows]
        loss = model(input_ids=torch.tensor(token_ids), labels=torch.tensor(labels)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    model.eval()


def _row(tokenizer: Tokenizer, asked: str, said: str) -> tuple[list[int], list[int]]:
    prompt = prompt_ids(tokenizer, [Message(role="user", content=asked)])
    answer = [*tokenizer.encode_with_controls(said)[0], EOS_ID]
    return prompt + answer, [-100] * len(prompt) + answer
