"""Teach the reader: an encoder with heads learns from the textbook and from invented worlds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertModel, PrinterCallback

from avalan.data import textbook
from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.judge import CONFIG, NEED, NUM_HEADS, RELEVANCE, SUPPORT
from avalan.model.prompt import read_json
from avalan.train import run_folder
from avalan.train.pretrain import (
    RowTrainer,
    begin,
    finishing,
    only,
    train_to_end,
    training_arguments,
    wsd_schedule,
)
from avalan.train.progress import Event, Progress
from avalan.train.reader_losses import binary_loss, choice_loss, span_loss
from avalan.train.reader_recipe import ReaderRecipe
from avalan.train.reader_rows import Steps
from avalan.train.teacher_vectors import check_weights

_COPIED = ("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


_WEIGHTS = "model.safetensors"
_HEADS = "heads."
"""What their weights' names begin with, in the file of the encoder's."""
_TOGETHER = 4
"""Rows that are encoded at once."""
_SAMPLED = 8
"""Steps whose tokens are counted to tell the speed."""


class Reader(nn.Module):
    """An encoder, and `NUM_HEADS` numbers of each of its tokens."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.Linear(encoder.config.hidden_size, NUM_HEADS)
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)

    def forward(self, input_ids: Tensor, mask: Tensor, kinds: Tensor) -> Tensor:
        """Logits, (num_rows, length, NUM_HEADS); all inputs are (num_rows, length)."""
        lengths = mask.sum(dim=1)
        logits = torch.zeros(*input_ids.shape, NUM_HEADS, device=input_ids.device)
        # Rows of like length together: a bare prompt would be padded to a page.
        for rows in lengths.argsort(stable=True).split(_TOGETHER):
            part = (rows, slice(int(lengths[rows].max())))
            hidden = self.encoder(
                input_ids=input_ids[part], attention_mask=mask[part], token_type_ids=kinds[part]
            ).last_hidden_state
            logits[part] = self.heads(hidden)
        return logits


class ReaderTrainer(RowTrainer):
    """A Trainer whose rows are whole steps, each row graded on what it asks for."""

    recipe: ReaderRecipe

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_kwargs: Any
    ) -> Any:
        weights = self.recipe.loss
        logits = model(inputs["input_ids"], inputs["mask"], inputs["kinds"])
        pair = logits[:, 0]
        loss = (
            weights.span * span_loss(logits, inputs["allowed"], inputs["start"], inputs["end"])
            + weights.relevance * binary_loss(pair[:, RELEVANCE], inputs["relevant"])
            + weights.support * choice_loss(pair[:, SUPPORT], inputs["support"])
            + weights.need * binary_loss(pair[:, NEED], inputs["retrieve"])
        )
        if not torch.isfinite(loss):
            raise self._diverged(_("The loss is not a finite number"), self._now)
        return (loss, None) if return_outputs else loss


def teach(
    recipe: ReaderRecipe,
    out: Path,
    show: Callable[[Event], None],
    *,
    device: str | None = None,
) -> Path:
    """Run `recipe` in the folder `out`, going on from its last whole checkpoint if there is one.

    Args, what Ctrl-C does, and the errors are those of `pretrain`.

    Returns:
        The folder of the finished model: the encoder and its heads in float16.

    Raises:
        ConfigurationError: also: the base is not the recipe's, or the textbook cannot be read.
        ModelError: the base cannot be loaded.
    """
    run_folder.check(recipe, out)
    settings = EngineSettings(engine="transformers", revision=recipe.base.revision or None)
    folder = find_folder(recipe.base.model, settings)
    check_weights(folder, recipe.base.sha256, part="base")
    config = read_json(folder / "config.json")
    if config.get("model_type") != "bert":
        raise ModelError("The model in {folder} is no BERT; take one.", folder=folder)
    if config.get("max_position_embeddings", 0) < recipe.lessons.max_tokens:
        raise ModelError(
            "The model in {folder} reads at most {most} tokens; set lessons.max_tokens to that.",
            folder=folder,
            most=config.get("max_position_embeddings", 0),
        )
    book = textbook.read(Path(recipe.lessons.textbook).expanduser()).part("train")
    tokenizer = read_tokenizer(folder)
    steps = Steps(recipe, book, tokenizer)
    # Claimed only now: a recipe that cannot begin may be mended, and then is another one.
    uses_cpu = begin(recipe, out, device)
    torch.manual_seed(recipe.run.seed)
    # Without dropout inside attention a step takes three quarters of the time on a processor.
    encoder = BertModel.from_pretrained(
        folder, add_pooling_layer=False, dtype=torch.float32, attention_probs_dropout_prob=0.0
    )
    reader = Reader(encoder)
    _take_heads(reader, folder)
    tokens = sum(int(steps[i]["mask"].sum()) for i in range(_SAMPLED)) // _SAMPLED
    progress = Progress(out, tokens, show)
    trainer = _trainer(recipe, reader, steps, out, progress, uses_cpu=uses_cpu)
    train_to_end(trainer, out, progress, show)
    return _finished(recipe, reader, folder, out)


def _take_heads(reader: Reader, base: Path) -> None:
    """Go on with the heads of a base that is a reader already."""
    with safe_open(base / _WEIGHTS, "pt") as weights:
        held = {name for name in weights.keys() if name.startswith(_HEADS)}  # noqa: SIM118
        taken = {name.removeprefix(_HEADS): weights.get_tensor(name).float() for name in held}
    if taken:
        reader.heads.load_state_dict(taken)


def _trainer(
    recipe: ReaderRecipe,
    reader: Reader,
    steps: Steps,
    out: Path,
    progress: Progress,
    *,
    uses_cpu: bool,
) -> ReaderTrainer:
    run = recipe.run
    matrices = [p for p in reader.parameters() if p.ndim == 2]
    others = [p for p in reader.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": others, "weight_decay": 0.0}],
        lr=run.learning_rate,
        weight_decay=run.weight_decay,
        fused=True,
    )
    trainer = ReaderTrainer(
        model=reader,
        # A row is a whole step already.
        args=training_arguments(run, out, rows=1, bf16=False, uses_cpu=uses_cpu),
        train_dataset=steps,
        data_collator=only,
        optimizers=(optimizer, wsd_schedule(optimizer, run)),
        callbacks=[progress],
    )
    trainer.recipe = recipe
    trainer.remove_callback(PrinterCallback)
    return trainer


def _finished(recipe: ReaderRecipe, reader: Reader, base: Path, out: Path) -> Path:
    with finishing(out) as partial:
        half = reader.to(torch.float16)
        half.encoder.config.save_pretrained(partial)
        heads = {f"{_HEADS}{name}": weight for name, weight in half.heads.state_dict().items()}
        save_file(half.encoder.state_dict() | heads, partial / _WEIGHTS)
        reads = {"longest": recipe.lessons.max_tokens}
        (partial / CONFIG).write_text(json.dumps(reads) + "\n", encoding="utf-8")
        for name in _COPIED:
            if (base / name).is_file():
                shutil.copyfile(base / name, partial / name)
    return out / run_folder.MODEL
