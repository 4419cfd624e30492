"""The model in the box, taught something else: for experiments that need a model of a certain kind.

It can already repeat a string and find one; a model from nothing takes thousands of steps to come
to that.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from transformers import LlamaForCausalLM

from avalan.model.entities import Message
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.reflection.reading import prompt_ids
from avalan.reflection.tokens import PARAGRAPH, PARAGRAPH_END

NANO = Path(__file__).parents[1] / "models" / "nano"
Lesson = Callable[[Random], tuple[str, str]]
"""What is asked, and what is to be said."""


def nano(folder: Path = NANO) -> tuple[LlamaForCausalLM, Tokenizer]:
    """Its weights, or those of what was made of it, and its tokenizer."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), load_tokenizer(NANO)


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Into a new folder, as any model of the hub lies."""
    shutil.copytree(NANO, folder)
    model.save_pretrained(folder)


def teach(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    lesson: Lesson,
    *,
    num_steps: int,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    seed: int = 0,
) -> None:
    """Cross-entropy on what is to be said; a fresh batch of lessons each step."""
    random = Random(seed)
    (end,) = tokenizer.eos_ids
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, num_steps, pct_start=0.1
    )
    model.train()
    for step in range(1, num_steps + 1):
        rows = [_row(tokenizer, *lesson(random)) for _ in range(batch_size)]
        longest = max(len(token_ids) for token_ids, _labels in rows)
        token_ids = [each + [end] * (longest - len(each)) for each, _labels in rows]
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
    """Token ids and labels: what the host writes, the passages, is no lesson."""
    prompt = prompt_ids(tokenizer, [Message(role="user", content=asked)])
    answer, labels = [], []
    for piece in re.split(f"({PARAGRAPH}.*?{PARAGRAPH_END})", said):
        token_ids = tokenizer.encode_with_controls(piece)[0]
        answer += token_ids
        labels += [-100] * len(token_ids) if piece.startswith(PARAGRAPH) else token_ids
    end = list(tokenizer.eos_ids)
    return prompt + answer + end, [-100] * len(prompt) + labels + end
