"""Teach a language model which exists, by LoRA, by its new tokens' rows, or as a whole.

transformers' Trainer does the work, accelerate spreads it over processes, PEFT changes the model.
Ours are the rows, the new tokens and the loss (`tuning_trainer`).
"""

import copy
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
from accelerate import PartialState
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)
from transformers.integrations import is_tensorboard_available

from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _
from avalan.model.adapter import NEW_ROWS
from avalan.model.engine.new_rows import is_tied, save_rows
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.model.vocabulary import save_tokenizer
from avalan.reflection.tokens import PROFILES, reflection_ids
from avalan.train import new_tokens, packed_attention, run_folder
from avalan.train.compiled_layers import compile_layers, compiling
from avalan.train.new_layers import expand
from avalan.train.optimizer import has_bf16
from avalan.train.pretrain import (
    PRIMITIVE_CACHE,
    begin,
    finishing,
    quieten,
    rows_of_each,
    train_to_end,
)
from avalan.train.progress import Event, Phase, Progress
from avalan.train.teacher_logits import ask_teacher
from avalan.train.teacher_vectors import check_weights
from avalan.train.tuning_plan import find_base
from avalan.train.tuning_recipe import TuningRecipe
from avalan.train.tuning_rows import Rows, made_rows
from avalan.train.tuning_tokens import end_of_turn, lacking
from avalan.train.tuning_trainer import TuningTrainer

ADAPTER = "adapter"
_ROWS = "rows"


class Patience(EarlyStoppingCallback):
    """Ends a run after so many looks without a better loss, those before it was cut off, too."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        super().on_train_begin(args, state, control, **others)
        if kept := state.stateful_callbacks.get(type(self).__name__):
            self.early_stopping_patience_counter = kept["attributes"][
                "early_stopping_patience_counter"
            ]


def tune(
    recipe: TuningRecipe, out: Path, show: Callable[[Event], None], *, device: str | None = None
) -> Path:
    """Run `recipe` in the folder `out`, going on from its last whole checkpoint if there is one.

    What Ctrl-C does is `pretrain`'s. Under `torchrun` each process runs this, and they share the
    work.

    Args:
        show: is told how the run stands, by the first process.
        device: `cpu` or `cuda`; without it, CUDA where there is one.

    Returns:
        The folder of the finished model: a plain checkpoint. What PEFT trained lies beside it, in
        `adapter`.

    Raises:
        ConfigurationError: `out` holds the run of another recipe, the device is absent, the data
            cannot be read or fit no row, or the loss is no number any more.
        ModelError: the base cannot be loaded, or nobody knows how it is asked.
        StateError: `out` cannot be written, or the disk is full.
        KeyboardInterrupt: it was interrupted.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", PRIMITIVE_CACHE)
    _report_to()
    run_folder.check(recipe, out)
    folder = find_base(recipe.base, recipe.name)
    if recipe.base.sha256:
        check_weights(folder, recipe.base.sha256, part="base")
    if not recipe.lessons.texts:
        end_of_turn(load_tokenizer(folder))
    uses_cpu = begin(recipe, out, device)
    state = PartialState(cpu=uses_cpu)
    tell = show if state.is_main_process else lambda event: None
    with state.main_process_first():
        tokenizer = _tokenizer(recipe, folder, out)
    model, token_ids = _begun(recipe, folder, tokenizer, uses_cpu=uses_cpu)
    with state.main_process_first():
        tell(Phase(text=_("Reading the records")))
        num_rows, num_held = _rows(recipe, tokenizer, out, alone=sees_others(model))
        if recipe.teacher.model:
            tell(Phase(text=_("Asking the teacher")))
            ask_teacher(recipe, tokenizer, out / _ROWS / "train", uses_cpu=uses_cpu)
    # Rows from the first new one on, spare ones too, say nothing in the base.
    num_old = min([model.get_input_embeddings().weight.shape[0], *token_ids])
    frozen = _frozen(model) if _wants_copy(recipe) else None
    if token_ids and state.is_main_process:
        save_rows(model, token_ids, out)
    changed = _changed(model, recipe, token_ids)
    num_steps = steps_of(recipe, num_rows)
    rows = Rows(
        out / _ROWS / "train",
        num_read=num_steps * recipe.run.rows_per_step,
        seed=recipe.run.seed,
    )
    held = None
    if num_held:
        held = Rows(out / _ROWS / "validation", num_read=num_held, seed=recipe.run.seed)
    progress = Progress(out, recipe.run.rows_per_step * recipe.lessons.max_tokens, tell)
    trainer = _trainer(
        recipe, changed, (rows, held), out, progress, num_steps=num_steps, uses_cpu=uses_cpu
    )
    _check_spread(trainer)
    trainer.num_old = num_old
    trainer.frozen = None if frozen is None else frozen.to(trainer.args.device)
    _name_tokens(trainer, tokenizer)
    with compiling():
        train_to_end(trainer, out, progress, tell)
    whole = trainer.gathered()
    if state.is_main_process:
        finished = trainer.accelerator.unwrap_model(changed)
        if whole:
            finished = _changed(
                _begun(recipe, folder, tokenizer, uses_cpu=uses_cpu)[0], recipe, token_ids
            )
            finished.load_state_dict(whole)
        _finish(finished, out)
    state.wait_for_everyone()
    return out / run_folder.MODEL


def _begun(
    recipe: TuningRecipe, folder: Path, tokenizer: Tokenizer, *, uses_cpu: bool
) -> tuple[Any, tuple[int, ...]]:
    """The base with rows for the new tokens, and these tokens' ids."""
    torch.manual_seed(recipe.run.seed)
    model = _loaded(recipe, folder, uses_cpu=uses_cpu)
    token_ids = new_tokens.prepare(
        model,
        tokenizer,
        lacking(recipe.tokens.profile, load_tokenizer(folder)),
        start=recipe.tokens.start,
        seed=recipe.run.seed,
    )
    if recipe.base.layers:
        expand(model, recipe.base.layers)
    if recipe.base.context_length:
        widen(model, recipe.base.context_length)
    return model, token_ids


def widen(model: Any, context_length: int) -> None:
    """Let `model` read so many tokens at once, of which it has yet to learn the further ones."""
    config = model.config.get_text_config()
    if not getattr(config, "rope_parameters", None):
        raise ConfigurationError(
            "The base has no rotary positions, so it cannot read further than it does; leave "
            "base.context_length at 0."
        )
    config.max_position_embeddings = context_length


def _check_spread(trainer: TuningTrainer) -> None:
    """Raise ConfigurationError where FSDP cannot spread what is wanted."""
    if trainer.is_fsdp_enabled and trainer.recipe.loss.pointing:
        raise ConfigurationError(
            "FSDP keeps the head's rows apart, which loss.pointing reads; set it to 0, or use "
            "several processes without FSDP."
        )
    change, config = trainer.recipe.change, trainer.model.config
    learns_rows = change.method == "rows" or (
        change.method == "lora" and change.embeddings == "rows"
    )
    if trainer.is_fsdp_enabled and learns_rows and config.tie_word_embeddings:
        raise ConfigurationError(
            "FSDP cannot spread the rows of an embedding that is the head, too; set "
            "change.embeddings to 'whole' or 'frozen', or use several processes without FSDP."
        )


def sees_others(model: Any) -> bool:
    """Whether a record is read otherwise where another stands before it in its row.

    It is so where layers have a state that runs through a row, and where attention does not look at
    where positions begin again; the model itself is asked. Each record then has a row of its own.
    """
    first, second = [1, 2, 3, 4], [5, 6, 7, 8]
    places = [*range(4), *range(4)]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        together = _read(model, first + second, places)[4:]
        alone = _read(model, second, places[:4])
    model.train(was_training)
    rounding = 1e-3 if alone.dtype == torch.float32 else 3e-2
    return not torch.allclose(together, alone, rtol=0, atol=rounding * float(alone.abs().max()))


def _read(model: Any, token_ids: Sequence[int], places: Sequence[int]) -> Tensor:
    """The logits of one of two equal rows, (length, vocab_size)."""
    given = {"input_ids": token_ids, "position_ids": places}
    rows = {name: torch.tensor([values] * 2, device=model.device) for name, values in given.items()}
    found: Tensor = model(**rows, use_cache=False).logits[0]
    return found


def steps_of(recipe: TuningRecipe, num_rows: int) -> int:
    """Optimizer steps of a run over `num_rows` rows."""
    run = recipe.run
    return run.num_steps or max(1, round(run.num_epochs * num_rows / run.rows_per_step))


def _tokenizer(recipe: TuningRecipe, folder: Path, out: Path) -> Tokenizer:
    """The run's tokenizer: the base's, with the new tokens."""
    made = out / run_folder.TOKENIZER
    if not made.exists():
        partial = made.with_name(f"{made.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        new = lacking(recipe.tokens.profile, load_tokenizer(folder))
        save_tokenizer(folder, partial, special_tokens=new)
        partial.replace(made)
    return load_tokenizer(made)


def _rows(recipe: TuningRecipe, tokenizer: Tokenizer, out: Path, *, alone: bool) -> tuple[int, int]:
    """How many rows there are to read and to be held out."""
    num_rows = made_rows(recipe, "train", tokenizer, out / _ROWS / "train", alone=alone)
    if not recipe.lessons.held_out:
        return num_rows, 0
    place = out / _ROWS / "validation"
    return num_rows, made_rows(recipe, "validation", tokenizer, place, alone=alone)


def _loaded(recipe: TuningRecipe, folder: Path, *, uses_cpu: bool) -> Any:
    quieten()
    # What does not learn may be coarse; what learns is kept in float32.
    run = recipe.run
    coarse = run.bf16 and recipe.change.method != "full" and not uses_cpu
    by_name = run.attention not in ("auto", packed_attention.NAME)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if coarse else torch.float32,
            attn_implementation=run.attention if by_name else None,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise ModelError(
            "The base in {folder} cannot be loaded ({reason}); give another.",
            folder=folder,
            reason=str(error).splitlines()[0],
        ) from error
    suits = packed_attention.suits(model)
    if run.attention == packed_attention.NAME and not suits:
        raise ConfigurationError(
            "Layers of the base in {folder} look at a part of what came before, and "
            "run.attention = 'packed' at all of it; set run.attention = 'auto'.",
            folder=folder,
        )
    # A card has kernels of its own.
    if run.attention == packed_attention.NAME or (run.attention == "auto" and suits and uses_cpu):
        packed_attention.register()
        model.set_attn_implementation(packed_attention.NAME)
    return model


def _wants_copy(recipe: TuningRecipe) -> bool:
    return recipe.change.method == "full" and recipe.loss.kl > 0


def _frozen(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval().requires_grad_(requires_grad=False)


def _changed(model: Any, recipe: TuningRecipe, token_ids: Sequence[int]) -> Any:
    """The model with only that left to learn which the recipe wants."""
    change = recipe.change
    if recipe.run.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    if change.method == "full":
        return model
    config = peft_config(recipe, model, token_ids)
    with warnings.catch_warnings():
        # PEFT says that a tied head is untied; that is what the recipe asked for.
        warnings.simplefilter("ignore")
        made = peft.get_peft_model(model, config)
    for weight in made.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return made


def peft_config(recipe: TuningRecipe, model: Any, token_ids: Sequence[int]) -> peft.PeftConfig:
    """What PEFT is told: the card's `peft_config`, with the recipe's numbers."""
    change = recipe.change
    embedding, head = _names_of_matrices(model)
    rows: dict[str, list[int]] = {embedding: list(token_ids)}
    if head is not None and not is_tied(model):
        rows[head] = list(token_ids)
    if change.method == "rows":
        return peft.TrainableTokensConfig(
            task_type="CAUSAL_LM", token_indices=list(token_ids), target_modules=list(rows)
        )
    targets: Any = list(change.target_modules)
    whole = [embedding, *([head] if head else [])]
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=change.rank,
        lora_alpha=change.alpha,
        lora_dropout=change.dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        modules_to_save=whole if change.embeddings == "whole" else None,
        trainable_token_indices=rows if change.embeddings == "rows" and token_ids else None,
        ensure_weight_tying=change.ensure_weight_tying,
    )


def _names_of_matrices(model: Any) -> tuple[str, str | None]:
    """The last part of the names of the embedding and of the head."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    return names[id(embedding)], names.get(id(head))


def _trainer(
    recipe: TuningRecipe,
    model: Any,
    rows: tuple[Rows, Rows | None],
    out: Path,
    progress: Progress,
    *,
    num_steps: int,
    uses_cpu: bool,
) -> TuningTrainer:
    run = recipe.run
    train, held = rows
    arguments = _arguments(
        recipe, out, num_steps=num_steps, has_held_out=held is not None, uses_cpu=uses_cpu
    )
    if run.compile:
        compile_layers(model)
    callbacks: list[TrainerCallback] = [progress]
    if run.patience and held is not None:
        callbacks.append(Patience(run.patience))
    trainer = TuningTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=held,
        data_collator=default_data_collator,
        callbacks=callbacks,
    )
    trainer.recipe = recipe
    trainer.model_accepts_loss_kwargs = True
    trainer.remove_callback(PrinterCallback)
    return trainer


def _name_tokens(trainer: TuningTrainer, tokenizer: Tokenizer) -> None:
    """Tell the trainer which tokens its loss speaks of."""
    recipe = trainer.recipe
    trainer.reflection_ids = [
        tokenizer.added_tokens[text] for text in PROFILES[recipe.tokens.profile]
    ]
    if recipe.loss.pointing:
        trainer.support_ids = reflection_ids(tokenizer.token_id).support


def _arguments(
    recipe: TuningRecipe, out: Path, *, num_steps: int, has_held_out: bool, uses_cpu: bool
) -> TrainingArguments:
    run = recipe.run
    share = rows_of_each(run.rows_per_step)
    at_once = min(run.rows_at_once or share, share)
    quieten()
    looks: dict[str, Any] = {}
    if has_held_out:
        looks = {
            "eval_strategy": "steps",
            "eval_steps": run.save_steps,
            "per_device_eval_batch_size": at_once,
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
            "greater_is_better": False,
        }
    return TrainingArguments(
        output_dir=str(out),
        max_steps=num_steps,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=share // at_once,
        learning_rate=run.learning_rate,
        max_grad_norm=run.max_grad_norm,
        bf16=run.bf16 and has_bf16(torch.device("cpu" if uses_cpu else "cuda")),
        use_cpu=uses_cpu,
        save_steps=run.save_steps,
        save_total_limit=2,
        logging_steps=max(1, min(10, num_steps // 10)),
        seed=run.seed,
        report_to=_report_to(),
        remove_unused_columns=False,
        label_names=["weights"],
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        **looks,
    )


def _report_to() -> str:
    """TensorBoard where its own variable says so."""
    if not os.environ.get("TENSORBOARD_LOGGING_DIR"):
        return "none"
    if not is_tensorboard_available():
        raise ConfigurationError(
            "TENSORBOARD_LOGGING_DIR is set, but nothing here writes for TensorBoard; install "
            "tensorboardX, or unset the variable."
        )
    return "tensorboard"


def _finish(model: Any, out: Path) -> None:
    """Write the adapter, if there is one, and the model with it merged."""
    if isinstance(model, peft.PeftModel):
        adapter = out / ADAPTER
        shutil.rmtree(adapter, ignore_errors=True)
        model.save_pretrained(str(adapter), save_embedding_layers=False)
        if (out / NEW_ROWS).is_file():
            shutil.copyfile(out / NEW_ROWS, adapter / NEW_ROWS)
        _copy_tokenizer(out, adapter)
        # Merged in 16 bits, a small change would be lost in the rounding of a large weight.
        model = model.float().merge_and_unload()
    model.config.use_cache = True
    with finishing(out) as partial:
        model.to(torch.float16).save_pretrained(partial)
        _copy_tokenizer(out, partial)


def _copy_tokenizer(out: Path, folder: Path) -> None:
    for file in (out / run_folder.TOKENIZER).iterdir():
        shutil.copyfile(file, folder / file.name)
