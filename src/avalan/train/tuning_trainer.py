"""The Trainer of a language model that is taught: weighed targets, and a distance to the base.

TRL's supervised trainer knows neither.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor
from transformers.trainer import TRAINING_ARGS_NAME

from avalan.locale import _
from avalan.train.optimizer import MuonWithAdamW, scheduled
from avalan.train.pretrain import RowTrainer
from avalan.train.tuning_losses import (
    cross_entropy_sum,
    divergence_sum,
    kl_sum,
    pointing_sum,
    without,
)
from avalan.train.tuning_recipe import TuningRecipe
from avalan.train.tuning_rows import TAUGHT


class TuningTrainer(RowTrainer):
    """A Trainer that weighs each target, and holds a model to its base where it says so."""

    recipe: TuningRecipe
    num_old: int
    """Tokens that the base has."""
    reflection_ids: Sequence[int] = ()
    support_ids: Sequence[int] = ()
    """Of full, partial and no support, where the profile has them."""
    frozen: Any = None
    """The base, where the model is trained as a whole and its loss wants one."""

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """When the Trainer asks for it: under FSDP it does so in its own time."""
        run, model = self.recipe.run, model or self.model
        given = {"lr": run.learning_rate, "weight_decay": run.weight_decay}
        if run.optimizer == "muon":
            self.optimizer = MuonWithAdamW(model, **given)
        else:
            learned = [weight for weight in model.parameters() if weight.requires_grad]
            self.optimizer = torch.optim.AdamW(learned, **given)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """The recipe's schedule."""
        self.lr_scheduler = scheduled(
            optimizer or self.optimizer, self.recipe.run, num_steps=num_training_steps
        )
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The batches of a step, and the total weight of their targets on all devices."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        own = sum((batch["weights"][:, 1:].sum() for batch in batches), torch.tensor(0.0))
        return batches, self.accelerator.gather(own.to(device)[None]).sum()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
        **_kwargs: Any,
    ) -> Any:
        total, weight = self._sum(model, inputs)
        if num_items_in_batch is None:
            loss = total / weight.clamp(min=1e-9)
        else:
            # Gradients are averaged over devices; what is wanted is their sum.
            loss = total / num_items_in_batch * self.accelerator.num_processes
        if not torch.isfinite(loss):
            raise self._diverged(_("The loss is not a finite number"), self._now)
        return (loss, None) if return_outputs else loss

    def gathered(self) -> dict[str, Tensor]:
        """The weights, where FSDP has spread them over the processes; all must ask, one gets them.

        Empty elsewhere.
        """
        found: dict[str, Tensor] = {}
        if self.is_fsdp_enabled:
            found = self.accelerator.get_state_dict(self.model)
        return found

    def _sum(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The sum over the graded targets, and their weight."""
        loss = self.recipe.loss
        weights, targets = inputs["weights"][:, 1:], inputs["input_ids"][:, 1:]
        graded = weights > 0
        read = {name: inputs[name] for name in ("input_ids", "position_ids")}
        points = bool(loss.pointing) and self.model.training
        every, layers = self._read(model, read, graded, layers=points)
        logits = every
        weights, targets = weights[graded], targets[graded]
        if loss.mask_reflection:
            logits = without(every, inputs["is_inside"][:, 1:][graded], self.reflection_ids)
        total = cross_entropy_sum(logits, targets, weights)
        if "teacher_ids" in inputs and self.model.training:
            likeliest, logprobs = (inputs[name][:, :-1][graded] for name in TAUGHT)
            total = total + loss.teacher * divergence_sum(
                every,  # To the teacher, every token competed.
                likeliest,
                logprobs,
                weights,
                kind=loss.divergence,
                temperature=self.recipe.teacher.temperature,
            )
        if points:
            total = total + loss.pointing * self._pointed(model, layers, inputs["quoted"])
        is_plain = inputs["is_plain"][:, 1:] & graded
        if loss.kl and self.model.training and bool(is_plain.any()):
            base = self._base_logits(model, read, is_plain)
            base[:, self.num_old :] = -torch.inf
            plain = is_plain[graded]
            total = total + loss.kl * kl_sum(logits[plain], base, weights[plain])
        return total, weights.sum()

    def _pointed(self, model: Any, layers: Sequence[Tensor], quoted: Tensor) -> Tensor:
        """What half of the layers know of the answer's place, against where it is."""
        head = self.accelerator.unwrap_model(model).get_output_embeddings().weight
        full, _partial, none = (head[token_id] for token_id in self.support_ids)
        asked = quoted >= 0
        return pointing_sum(layers[len(layers) // 2][asked], full, none, quoted[asked])

    @torch.no_grad()
    def _base_logits(self, model: Any, read: dict[str, Tensor], wanted: Tensor) -> Tensor:
        if self.frozen is not None:
            return self._logits(self.frozen, read, wanted)
        inner = self.accelerator.unwrap_model(model)
        was_training = inner.training
        inner.eval()
        with inner.disable_adapter():
            found = self._logits(inner, read, wanted)
        inner.train(was_training)
        return found

    def _logits(self, model: Any, read: dict[str, Tensor], wanted: Tensor) -> Tensor:
        return self._read(model, read, wanted)[0]

    def _read(
        self, model: Any, read: dict[str, Tensor], wanted: Tensor, *, layers: bool = False
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The logits of the targets that `wanted` (rows, length - 1) picks, (num, vocab_size); with
        `layers` what goes into each layer and out of the last, (rows, length, hidden_size) each.

        The head reads these alone: with a large vocabulary all others would be most of the memory.
        Without a cache: with one, transformers would let packed records see each other.
        """
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        hook = None
        if head is not None:
            hook = head.register_forward_pre_hook(lambda _, given: (given[0][:, :-1][wanted],))
        try:
            output = model(**read, use_cache=False, output_hidden_states=layers)
        finally:
            if hook is not None:
                hook.remove()
        found: Tensor = output.logits
        logits = found if found.dim() == 2 else found[:, :-1][wanted]
        return logits, output.hidden_states if layers else ()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Of what PEFT trains, that alone: it would write a grown embedding as a whole."""
        if not isinstance(self.model, peft.PeftModel):
            super()._save(output_dir, state_dict)
            return
        if not self.args.should_save:
            return
        folder = output_dir or self.args.output_dir
        self.model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
        torch.save(self.args, Path(folder) / TRAINING_ARGS_NAME)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, None, None]:
        """The loss of a batch that is held out."""
        # Compiled anew, for less to remember and fewer rows, it would take longer than it saves.
        as_is = torch.compiler.set_stance("force_eager")
        with torch.no_grad(), as_is, self.compute_loss_context_manager():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None
