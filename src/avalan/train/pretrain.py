"""Train a small Llama from nothing, on rows made from a seed.

transformers' Trainer does the work: optimizer, bf16 autocast, checkpoints, exact resume. Ours are
the rows, the weighted loss and the screen.
"""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from accelerate import PartialState
from safetensors import SafetensorError
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

from avalan.errors import ConfigurationError, StateError, reason_of
from avalan.locale import _
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.train import run_folder
from avalan.train import tokenizer as bpe
from avalan.train.kinds import AnyRecipe
from avalan.train.optimizer import MuonWithAdamW, has_bf16
from avalan.train.progress import Event, Phase, Progress
from avalan.train.recipe import Recipe
from avalan.train.rows import Rows, tokenizer_texts
from avalan.train.schedules import wsd_factor

PRIMITIVE_CACHE = "128"
"""Kernels that oneDNN keeps; it reads this before its first one. Each step grades another number of
tokens and so needs new kernels: with its own limit, 1,024, the process grows to 5 GB. Those that
every step needs are fewer than 128; results do not depend on it."""


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


def wsd_schedule(optimizer: torch.optim.Optimizer, run: Any) -> Any:
    """The learning rate of each step, by `wsd_factor` and a recipe's `run`."""

    def factor(step: int) -> float:
        return wsd_factor(
            step,
            num_steps=run.num_steps,
            warmup_steps=run.warmup_steps,
            decay_share=run.decay_share,
        )

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


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


class Saving:
    """Of a Trainer: what it saves is whole and sound, and what stops it is a sentence."""

    args: Any
    state: Any

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save, unless the weights are spoilt: the last good checkpoint stays the last."""
        if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            raise self._diverged(_("A weight is not a finite number"), self.state.global_step)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        with writing(_("The checkpoint of step {step}", step=self.state.global_step), folder):
            super()._save_checkpoint(model, trial)  # type: ignore[misc]

    @property
    def _now(self) -> int:
        return int(self.state.global_step) + 1

    def _diverged(self, what: str, step: int) -> ConfigurationError:
        kept = run_folder.last_checkpoint(Path(self.args.output_dir))
        if kept is None:
            return ConfigurationError(
                "{what} at step {step}, so the run has stopped; lower run.learning_rate and "
                "start in another folder with --out.",
                what=what,
                step=step,
            )
        return ConfigurationError(
            "{what} at step {step}, so the run has stopped ({kept} is kept); lower "
            "run.learning_rate and start in another folder with --out.",
            what=what,
            step=step,
            kept=kept,
        )


class RowTrainer(Saving, Trainer):
    """A Trainer that reads rows in their order, weighs each target, and stops at nonsense."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_kwargs: Any
    ) -> Any:
        weights = inputs["weights"][:, 1:]
        graded = weights > 0
        if not graded.any():
            raise ConfigurationError(
                "No record fits the rows of step {step}; raise model.context_length or "
                "model.vocab_size, and start in another folder with --out.",
                step=self._now,
            )
        # Accelerate casts only inside `model.forward`, which is passed by here: all logits at once
        # would cost more than the rest of the step.
        with self.accelerator.autocast():
            # No cache: with one, transformers would let packed records see each other.
            hidden = model.model(
                input_ids=inputs["input_ids"], position_ids=inputs["position_ids"], use_cache=False
            ).last_hidden_state
            logits = model.lm_head(hidden[:, :-1][graded])
        loss = weighted_cross_entropy(logits, inputs["input_ids"][:, 1:][graded], weights[graded])
        if not torch.isfinite(loss):
            raise self._diverged(_("The loss is not a finite number"), self._now)
        return (loss, None) if return_outputs else loss

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def pretrain(
    recipe: Recipe, out: Path, show: Callable[[Event], None], *, device: str | None = None
) -> Path:
    """Run `recipe` in the folder `out`, going on from its last whole checkpoint if there is one.

    Ctrl-C (SIGINT) ends it after the step, with a checkpoint; a second one ends it at once.

    Args:
        show: is told how the run stands.
        device: `cpu` or `cuda`; without it, CUDA where there is one.

    Returns:
        The folder of the finished model: weights in float16, configuration, tokenizer.

    Raises:
        ConfigurationError: `out` holds the run of another recipe, the device is absent, the texts
            are too few for the vocabulary, or the loss is no number any more.
        StateError: `out` cannot be written, or the disk is full.
        KeyboardInterrupt: it was interrupted.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", PRIMITIVE_CACHE)
    uses_cpu = begin(recipe, out, device)
    tokenizer = _tokenizer(recipe, out / run_folder.TOKENIZER, show)
    rows = Rows(recipe, tokenizer)
    model = new_model(recipe, pad_id=rows.pad_id, eos_id=rows.end_id)
    progress = Progress(out, recipe.run.rows_per_step * recipe.model.context_length, show)
    trainer = _trainer(recipe, model, rows, out, progress, uses_cpu=uses_cpu)
    train_to_end(trainer, out, progress, show)
    return _finished(model, out)


def begin(recipe: AnyRecipe, out: Path, device: str | None) -> bool:
    """Claim the folder of a run for a recipe; whether the run computes on the processor.

    Raises:
        ConfigurationError: `out` holds the run of another recipe, or the device is absent.
        StateError: `out` cannot be written.
    """
    uses_cpu = find_out_cpu(device)
    quieten()
    run_folder.claim(recipe, out)
    run_folder.remove_broken_checkpoints(out)
    return uses_cpu


def rows_of_each(rows_per_step: int) -> int:
    """The rows of a step that each process computes.

    Raises:
        ConfigurationError: the processes cannot share them evenly.
    """
    num = PartialState().num_processes
    share, rest = divmod(rows_per_step, num)
    if rest:
        raise ConfigurationError(
            "run.rows_per_step is {rows}, which {num} processes cannot share evenly; change one.",
            rows=rows_per_step,
            num=num,
        )
    return share


def train_to_end(
    trainer: Trainer, out: Path, progress: Progress, show: Callable[[Event], None]
) -> None:
    """Train, from the last whole checkpoint if there is one; what Ctrl-C does is `pretrain`'s."""
    checkpoint = run_folder.last_checkpoint(out)
    going_on = _("Going on from {checkpoint}", checkpoint=checkpoint)
    show(Phase(text=going_on if checkpoint else _("Starting at step 1")))
    with stopping_between_steps(progress):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


@contextmanager
def stopping_between_steps(progress: Progress) -> Iterator[None]:
    """Let the first Ctrl-C wait for the end of the step, and then raise KeyboardInterrupt.

    In the middle of one, it would cut off the worker that makes the rows, which complains.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are another's business.
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        progress.is_stopping = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if progress.is_stopping:
        raise KeyboardInterrupt


def only(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Collate rows of a dataset whose rows are whole steps."""
    (item,) = items
    return item


def find_out_cpu(device: str | None) -> bool:
    """Whether a run computes on the processor.

    Raises:
        ConfigurationError: the device is absent, or torch would use several.
    """
    if device not in (None, "cpu", "cuda"):
        raise ConfigurationError("Training runs on cpu or cuda, not on {device!r}.", device=device)
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "torch finds no CUDA device here; leave --device out to train on the CPU."
        )
    # Under torchrun each process has one of them.
    is_one = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if device != "cpu" and is_one and torch.cuda.device_count() > 1:
        raise ConfigurationError(
            "A process uses one device, and torch finds several; choose one with the environment "
            "variable CUDA_VISIBLE_DEVICES=0, or start one for each with torchrun."
        )
    return device == "cpu" or not torch.cuda.is_available()


def _tokenizer(recipe: Recipe, folder: Path, show: Callable[[Event], None]) -> Tokenizer:
    """The run's tokenizer, learned first where it is not there yet."""
    if not folder.exists():
        show(Phase(text=_("Learning the tokenizer")))
        learned = bpe.learn(
            tokenizer_texts(recipe),
            vocab_size=recipe.model.vocab_size,
            reflects=recipe.model.reflects,
        )
        partial = folder.with_name(f"{folder.name}.partial")
        bpe.save(learned, partial, context_length=recipe.model.context_length)
        partial.replace(folder)
    return load_tokenizer(folder)


def _finished(model: LlamaForCausalLM, out: Path) -> Path:
    model.config.use_cache = True
    with finishing(out) as partial:
        model.to(torch.float16).save_pretrained(partial)
        for file in (out / run_folder.TOKENIZER).iterdir():
            (partial / file.name).write_bytes(file.read_bytes())
    return out / run_folder.MODEL


@contextmanager
def finishing(out: Path) -> Iterator[Path]:
    """Where to write the model of the run in `out`: an older one is replaced when it is whole."""
    final, partial = out / run_folder.MODEL, out / f"{run_folder.MODEL}.partial"
    with writing(_("The finished model"), partial):
        yield partial
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)


_WRITER = ("PytorchStreamWriter", "inline_container", "iostream error")
"""How torch's writer, which has no error class of its own, says that the disk refuses."""


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """A disk that refuses becomes a sentence, and no half of `folder` stays behind."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if type(error) is RuntimeError and not any(word in str(error) for word in _WRITER):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise StateError(
            "{what} could not be written to {folder} ({reason}); free some space and run the "
            "same command again to go on from the last checkpoint.",
            what=what,
            folder=folder.parent,
            reason=_("the disk takes no more") if type(error) is RuntimeError else reason_of(error),
        ) from error


def quieten() -> None:
    """Let transformers say nothing of its own: what a person is to see is an `Event`."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()


def training_arguments(
    run: Any, out: Path, *, rows: int, bf16: bool, uses_cpu: bool
) -> TrainingArguments:
    """What the Trainer is to do for the section `run` of a recipe.

    Args:
        rows: rows of the dataset in a step.
    """
    quieten()
    return TrainingArguments(
        output_dir=str(out),
        max_steps=run.num_steps,
        per_device_train_batch_size=rows,
        learning_rate=run.learning_rate,
        max_grad_norm=run.max_grad_norm,
        bf16=bf16 and has_bf16(torch.device("cpu" if uses_cpu else "cuda")),
        use_cpu=uses_cpu,
        save_steps=run.save_steps,
        save_total_limit=2,
        # A report every ten steps; short runs have ten reports too.
        logging_steps=max(1, min(10, run.num_steps // 10)),
        seed=run.seed,
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_num_workers=1,
        dataloader_prefetch_factor=4,
    )


def _trainer(
    recipe: Recipe,
    model: LlamaForCausalLM,
    rows: Rows,
    out: Path,
    progress: Progress,
    *,
    uses_cpu: bool,
) -> RowTrainer:
    run = recipe.run
    arguments = training_arguments(
        run, out, rows=run.rows_per_step, bf16=run.bf16, uses_cpu=uses_cpu
    )
    optimizer = MuonWithAdamW(model, lr=run.learning_rate, weight_decay=run.weight_decay)
    schedule = wsd_schedule(optimizer, run)
    callbacks: list[TrainerCallback] = [progress]
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
