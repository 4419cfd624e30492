"""Teach by what is better than what: TRL's stable trainers, and ORPO's loss.

DPO (Rafailov et al., 2023, arXiv:2305.18290), KTO (Ethayarajh et al., 2024, arXiv:2402.01306), GRPO
(Shao et al., 2024, arXiv:2402.03300) and reward models are TRL's; ORPO's trainer is ours, because
TRL's own is an experiment of it.
"""

import importlib.util
import math
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import datasets
import peft
import torch
import trl
from accelerate import PartialState
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from avalan.data.preferences import as_conversations, read_preferences
from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _
from avalan.train import run_folder
from avalan.train.optimizer import has_bf16, scheduled
from avalan.train.orpo import mean_logprobs, orpo_loss
from avalan.train.preference_recipe import PreferenceRecipe
from avalan.train.pretrain import (
    PRIMITIVE_CACHE,
    Saving,
    begin,
    finishing,
    quieten,
    rows_of_each,
    train_to_end,
)
from avalan.train.progress import Event, Phase, Progress
from avalan.train.teacher_vectors import check_weights
from avalan.train.tuning import ADAPTER
from avalan.train.tuning_plan import find_base

Reward = Callable[..., list[float]]


class Stopping(Progress):
    """Tells how a run stands, and stops it at a loss that is no number, before it is saved."""

    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: dict[str, float] | None = None,
        **_others: Any,
    ) -> None:
        if logs and not math.isfinite(logs.get("loss", 0.0)):
            kept = run_folder.last_checkpoint(self.out)
            raise ConfigurationError(
                "The loss is not a finite number at step {step}, so the run has stopped ({kept} is "
                "kept); lower run.learning_rate and start in another folder with --out.",
                step=state.global_step,
                kept=kept or _("nothing"),
            )
        super().on_log(args, state, control, logs)


class OrpoTrainer(Saving, Trainer):
    """Minimises `orpo_loss` over pairs that lie one above the other: the chosen, the rejected."""

    beta: float

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_kwargs: Any
    ) -> Any:
        read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        logits = model(**read, use_cache=False).logits
        logprobs = mean_logprobs(logits, inputs["labels"])
        chosen, rejected = logprobs.chunk(2)
        num_said = (inputs["labels"][: len(chosen), 1:] >= 0).sum(dim=-1)
        nll = -(chosen * num_said).sum() / num_said.sum()
        loss = orpo_loss(chosen, rejected, nll, beta=self.beta)
        return (loss, None) if return_outputs else loss


class DpoTrainer(Saving, trl.DPOTrainer):
    """TRL's, which saves as ours do; so are those below."""


class KtoTrainer(Saving, trl.KTOTrainer):
    """See `DpoTrainer`."""


class GrpoTrainer(Saving, trl.GRPOTrainer):
    """See `DpoTrainer`."""


class RewardTrainer(Saving, trl.RewardTrainer):
    """See `DpoTrainer`."""


def prefer(
    recipe: PreferenceRecipe,
    out: Path,
    show: Callable[[Event], None],
    *,
    device: str | None = None,
) -> Path:
    """Run `recipe` in the folder `out`, going on from its last whole checkpoint if there is one.

    What Ctrl-C does is `pretrain`'s. A base with a chat template is taught under it, as it will be
    asked. What a prompt and an answer of the data spell is read by the model's own tokenizer,
    control tokens included: the file is the trainer's own.

    Returns:
        The folder of the finished model: a plain checkpoint, of a causal model, or with one output
        that grades.

    Raises:
        ConfigurationError: `out` holds the run of another recipe, the device is absent, the data
            or the reward cannot be read, or the loss is no number any more.
        ModelError: the base cannot be found.
        StateError: `out` cannot be written, or the disk is full.
        KeyboardInterrupt: it was interrupted.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", PRIMITIVE_CACHE)
    run_folder.check(recipe, out)
    folder = find_base(recipe.base, recipe.name)
    if recipe.base.sha256:
        check_weights(folder, recipe.base.sha256, part="base")
    data = Path(recipe.lessons.data).expanduser()
    rows = read_preferences(data, recipe.method.name)
    reward = _reward(Path(recipe.method.reward).expanduser()) if recipe.method.reward else None
    uses_cpu = begin(recipe, out, device)
    PartialState(cpu=uses_cpu)
    show(Phase(text=_("Reading {num:,} rows", num=len(rows))))
    progress = Stopping(out, recipe.run.rows_per_step * recipe.lessons.max_tokens, show)
    quieten()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's remarks are for those who call it by hand.
        tokenizer = read_tokenizer(folder)
        rows = _as_asked(rows, tokenizer, recipe.lessons.max_tokens)
        trainer = _trainer(recipe, folder, tokenizer, rows, reward, out, uses_cpu=uses_cpu)
        trainer.add_callback(progress)
        trainer.remove_callback(PrinterCallback)
        train_to_end(trainer, out, progress, show)
    return finished(trainer, tokenizer, out)


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer as TRL wants it: with something to pad with."""
    found = AutoTokenizer.from_pretrained(folder)
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def _as_asked(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, longest: int
) -> list[dict[str, Any]]:
    """The rows as conversations, where the base has a chat template; each has room for an answer.

    Raises:
        ConfigurationError: a prompt fills a row, or is of messages that nobody can render.
    """
    if tokenizer.chat_template is not None:
        rows = as_conversations(rows)
    for number, row in enumerate(rows, 1):
        if tokenizer.chat_template is None and not isinstance(row["prompt"], str):
            raise ConfigurationError(
                "Row {number} has a prompt of messages, but the base has no chat template; give "
                "texts, or another base.",
                number=number,
            )
        if (num := len(prompt_ids(row["prompt"], tokenizer))) >= longest:
            raise ConfigurationError(
                "The prompt of row {number} has {num:,} tokens, so nothing of an answer fits into "
                "{longest:,}; raise lessons.max_tokens, or leave the row out.",
                number=number,
                num=num,
                longest=longest,
            )
    return rows


def prompt_ids(prompt: str | list[dict[str, str]], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens of a text, or of messages up to where the assistant begins."""
    if isinstance(prompt, str):
        found: list[int] = tokenizer(prompt, add_special_tokens=True)["input_ids"]
    else:
        found = tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=True, return_dict=False
        )
    return found


def _text(said: Any) -> str:
    """A text, or what the last of some messages says."""
    return said if isinstance(said, str) else str(said[-1]["content"])


def _of_texts(reward: Reward) -> Reward:
    """The reward given texts, whatever the base is taught with."""

    @wraps(reward)
    def graded(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        return reward([_text(p) for p in prompts], [_text(c) for c in completions], **columns)

    return graded


def _reward(path: Path) -> Reward:
    """The function `reward` of a Python file.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        specification = importlib.util.spec_from_file_location("reward", path)
        if specification is None or specification.loader is None:
            raise ImportError(_("it is no Python file"))
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        found: Reward = module.reward
    except Exception as error:  # Whatever the file does is its own.
        raise ConfigurationError(
            "The reward in {path} cannot be used ({reason}); it must be a Python file with a "
            "function reward(prompts, completions, **columns).",
            path=path,
            reason=reason_of(error),
        ) from None
    return _of_texts(found)


def _trainer(
    recipe: PreferenceRecipe,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    reward: Reward | None,
    out: Path,
    *,
    uses_cpu: bool,
) -> Any:
    given = _arguments(recipe, out, uses_cpu=uses_cpu)
    method, made = recipe.method, datasets.Dataset.from_list(list(rows))
    shared = {
        "model": str(folder),
        "train_dataset": made,
        "processing_class": tokenizer,
        "peft_config": _peft_config(recipe),
    }
    longest = {"max_length": recipe.lessons.max_tokens}
    match method.name:
        case "dpo":
            config = trl.DPOConfig(**given, **longest, beta=method.beta)
            trainer: Any = DpoTrainer(args=config, **shared)
        case "kto":
            config = trl.KTOConfig(**given, **longest, beta=method.beta)
            trainer = KtoTrainer(args=config, **shared)
        case "reward":
            config = trl.RewardConfig(**given, **longest)
            trainer = RewardTrainer(args=config, **shared)
        case "grpo":
            config = trl.GRPOConfig(
                **given,
                beta=method.beta,
                num_generations=method.num_generations,
                max_completion_length=method.max_new_tokens,
                temperature=method.temperature,
            )
            trainer = GrpoTrainer(args=config, reward_funcs=reward, **shared)
        case _:
            return _orpo_trainer(recipe, folder, tokenizer, rows, given)
    trainer.create_optimizer()
    trainer.lr_scheduler = scheduled(trainer.optimizer, recipe.run, num_steps=recipe.run.num_steps)
    return trainer


def _orpo_trainer(
    recipe: PreferenceRecipe,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
) -> OrpoTrainer:
    torch.manual_seed(recipe.run.seed)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if (config := _peft_config(recipe)) is not None:
        model = peft.get_peft_model(model, config)
    options = {key: value for key, value in given.items() if key != "model_init_kwargs"}
    trainer = OrpoTrainer(
        model=model,
        args=TrainingArguments(**options, remove_unused_columns=False, disable_tqdm=True),
        train_dataset=datasets.Dataset.from_list(list(rows)),
        data_collator=partial(pairs, tokenizer=tokenizer, longest=recipe.lessons.max_tokens),
        processing_class=tokenizer,
    )
    trainer.beta = recipe.method.beta
    trainer.create_optimizer()
    trainer.lr_scheduler = scheduled(trainer.optimizer, recipe.run, num_steps=recipe.run.num_steps)
    return trainer


def pairs(
    rows: Sequence[Mapping[str, Any]], *, tokenizer: PreTrainedTokenizerBase, longest: int
) -> dict[str, Tensor]:
    """Chosen and rejected answers below their prompts, padded: (2 · num_rows, length) each."""
    found = []
    for name in ("chosen", "rejected"):
        for row in rows:
            prompt = prompt_ids(row["prompt"], tokenizer)
            said = tokenizer(_text(row[name]), add_special_tokens=False)["input_ids"]
            token_ids = [*prompt, *said, tokenizer.eos_token_id][:longest]
            found.append((token_ids, min(len(prompt), len(token_ids))))
    length = max(len(token_ids) for token_ids, _num in found)
    input_ids = torch.full((len(found), length), tokenizer.pad_token_id)
    labels, mask = torch.full_like(input_ids, -100), torch.zeros_like(input_ids)
    for place, (token_ids, num_asked) in enumerate(found):
        ids = torch.tensor(token_ids)
        input_ids[place, : len(ids)], mask[place, : len(ids)] = ids, 1
        labels[place, num_asked : len(ids)] = ids[num_asked:]
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}


def _peft_config(recipe: PreferenceRecipe) -> peft.PeftConfig | None:
    if recipe.change.method == "full":
        return None
    task = "SEQ_CLS" if recipe.method.name == "reward" else "CAUSAL_LM"
    return peft.LoraConfig(
        task_type=task,
        r=recipe.change.rank,
        lora_alpha=recipe.change.alpha,
        target_modules="all-linear",
    )


def _arguments(recipe: PreferenceRecipe, out: Path, *, uses_cpu: bool) -> dict[str, Any]:
    run = recipe.run
    return {
        "output_dir": str(out),
        "max_steps": run.num_steps,
        "per_device_train_batch_size": rows_of_each(run.rows_per_step),
        "learning_rate": run.learning_rate,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.max_grad_norm,
        "bf16": run.bf16 and has_bf16(torch.device("cpu" if uses_cpu else "cuda")),
        "use_cpu": uses_cpu,
        "save_steps": run.save_steps,
        "save_total_limit": 2,
        # Each step, so that a loss that is no number is seen before it is saved.
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "seed": run.seed,
        "report_to": "none",
        "gradient_checkpointing": False,
        "model_init_kwargs": {"dtype": "float32"},
    }


def finished(trainer: Any, tokenizer: PreTrainedTokenizerBase, out: Path) -> Path:
    """Write what was trained, merged where it was an adapter; its folder."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if PartialState().is_main_process:
        if isinstance(model, peft.PeftModel):
            shutil.rmtree(out / ADAPTER, ignore_errors=True)
            model.save_pretrained(str(out / ADAPTER))
            model = model.merge_and_unload()
        with finishing(out) as partial_folder:
            model.to(torch.float16).save_pretrained(partial_folder)
            tokenizer.save_pretrained(partial_folder)
    PartialState().wait_for_everyone()
    return out / run_folder.MODEL
