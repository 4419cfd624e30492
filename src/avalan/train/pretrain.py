"""Train a small Llama from nothing, on rows made from a seed.

transformers' Trainer does the work: optimizer, bf16 autocast, checkpoints, exact resume. Ours are
the rows, the weighted loss and the screen.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import get_last_checkpoint

from avalan.errors import ConfigurationError
from avalan.model.prompt import load_tokenizer
from avalan.train import tokenizer as bpe
from avalan.train.optimizer import MuonWithAdamW
from avalan.train.progress import Progress, StepReport
from avalan.train.recipe import Recipe
from avalan.train.rows import Rows, tokenizer_texts


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy in nats, each target counting by its weight.

    Args:
        logits: (num_targets, vocab_size), computed in float32.
        targets: token ids, (num_targets,).
        weights: ≥ 0, (num_targets,), not all zero.

    Returns:
        A scalar: the sum of weight times loss over the sum of weights.
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def wsd_factor(step: int, *, num_steps: int, warmup_steps: int, decay_share: float) -> float:
    """The learning rate's factor at `step`: warm up, stay, decay linearly to 0.

    Source: Hu et al., 2024, arXiv:2404.06395 (WSD).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    decay_steps = max(1, round(num_steps * decay_share))
    return min(1.0, max(0.0, (num_steps - step) / decay_steps))


def new_model(recipe: Recipe, *, pad_id: int, eos_id: int) -> LlamaForCausalLM:
    """A Llama with weights drawn from the recipe's seed."""
    shape = recipe.model
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.context_length,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True,
        pad_token_id=pad_id,
        bos_token_id=None,
        eos_token_id=eos_id,
        use_cache=False,
    )
    torch.manual_seed(recipe.run.seed)
    return LlamaForCausalLM(config)


class RowTrainer(Trainer):
    """A Trainer that reads rows in their order and weighs each target."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
    ) -> Any:
        weights = inputs["weights"][:, 1:]
        graded = weights > 0
        # Accelerate casts only inside `model.forward`, which is passed by here: all logits at once
        # would cost more than the rest of the step.
        with self.accelerator.autocast():
            # No cache: with one, transformers would let packed records see each other.
            hidden = model.model(
                input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False
            ).last_hidden_state
            logits = model.lm_head(hidden[:, :-1][graded])
        loss = weighted_cross_entropy(logits, inputs["input_ids"][:, 1:][graded], weights[graded])
        return (loss, None) if return_outputs else loss

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def pretrain(recipe: Recipe, out: Path, show: Callable[[StepReport], None]) -> Path:
    """Run `recipe` in the folder `out`, going on from its last checkpoint if there is one.

    Returns:
        The folder of the finished model: weights in float16, configuration, tokenizer.

    Raises:
        ConfigurationError: `out` holds the run of another recipe.
    """
    _claim(recipe, out)
    tokenizer_folder = out / "tokenizer"
    if not (tokenizer_folder / "tokenizer_config.json").exists():
        learned = bpe.learn(tokenizer_texts(recipe), vocab_size=recipe.model.vocab_size)
        bpe.save(learned, tokenizer_folder, context_length=recipe.model.context_length)
    tokenizer = load_tokenizer(tokenizer_folder)
    rows = Rows(recipe, tokenizer)
    model = new_model(recipe, pad_id=rows.pad_id, eos_id=rows.end_id)
    trainer = _trainer(recipe, model, rows, out, show)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(out)))
    final = out / "model"
    model.config.use_cache = True
    model.to(torch.float16).save_pretrained(final)
    for file in tokenizer_folder.iterdir():
        (final / file.name).write_bytes(file.read_bytes())
    return final


def _trainer(
    recipe: Recipe,
    model: LlamaForCausalLM,
    rows: Rows,
    out: Path,
    show: Callable[[StepReport], None],
) -> RowTrainer:
    run = recipe.run
    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=run.num_steps,
        per_device_train_batch_size=run.rows_per_step,
        learning_rate=run.learning_rate,
        max_grad_norm=run.max_grad_norm,
        bf16=run.bf16,
        use_cpu=not cuda,
        save_steps=run.save_steps,
        save_total_limit=2,
        logging_steps=10,
        seed=run.seed,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_num_workers=1,
        dataloader_prefetch_factor=4,
    )
    logging.getLogger("transformers").setLevel(logging.ERROR)
    optimizer = MuonWithAdamW(model, lr=run.learning_rate, weight_decay=run.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: wsd_factor(
            step,
            num_steps=run.num_steps,
            warmup_steps=run.warmup_steps,
            decay_share=run.decay_share,
        ),
    )
    tokens_per_step = run.rows_per_step * recipe.model.context_length
    callbacks: list[TrainerCallback] = [Progress(out / "metrics.jsonl", tokens_per_step, show)]
    trainer = RowTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=default_data_collator,
        optimizers=(optimizer, schedule),
        callbacks=callbacks,
    )
    # Ours tells the same and more.
    trainer.remove_callback(PrinterCallback)
    return trainer


def _claim(recipe: Recipe, out: Path) -> None:
    """Write the recipe into the run's folder, or check that it is the one already there."""
    values = json.dumps(asdict(recipe), indent=1, sort_keys=True)
    path = out / "recipe.json"
    if path.exists() and path.read_text() != values:
        raise ConfigurationError(
            f"The folder {out} holds a run of another recipe; choose another with --out, or "
            "delete it to start again."
        )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(values)
