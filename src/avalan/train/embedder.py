"""Distil a sentence embedder: a small encoder learns to give the vectors of a larger one.

The teacher reads every text once. Each step shows the student some texts of like length; what it
is graded by is in `embedding_losses`.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import BertModel, PrinterCallback

from avalan.errors import ConfigurationError
from avalan.locale import _
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.sentence import load, padded, read_pooling, token_ids
from avalan.model.prompt import read_json
from avalan.train import run_folder
from avalan.train.embedder_recipe import EmbedderRecipe
from avalan.train.embedder_student import new_student, plain, pooled
from avalan.train.embedding_losses import cosine_loss, relation_loss
from avalan.train.embedding_texts import texts
from avalan.train.pretrain import (
    RowTrainer,
    begin,
    finishing,
    only,
    train_to_end,
    training_arguments,
    wsd_schedule,
)
from avalan.train.progress import Event, Phase, Progress
from avalan.train.teacher_vectors import check_weights, teacher_vectors

TEACHER = "teacher"
"""The folder, in the run's, of what the teacher made."""
_COPIED = (
    "1_Pooling/config.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
_WINDOW = 64
"""Steps among whose texts those of like length are looked for."""


class EmbeddingTrainer(RowTrainer):
    """A Trainer whose rows are whole steps, graded against the teacher."""

    recipe: EmbedderRecipe
    bank: Tensor

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_kwargs: Any
    ) -> Any:
        weights = self.recipe.loss
        student = pooled(model, inputs["input_ids"], inputs["mask"])
        teacher = inputs["teacher"].to(student.dtype)
        bank = self.bank[inputs["bank"]].to(student.device, student.dtype)
        loss = weights.cosine * cosine_loss(student, teacher)
        loss = loss + weights.relation * relation_loss(
            student, teacher, bank, temperature=weights.temperature
        )
        if not torch.isfinite(loss):
            raise self._diverged(_("The loss is not a finite number"), self._now)
        return (loss, None) if return_outputs else loss


class Steps(Dataset[dict[str, Tensor]]):
    """Item `i` is everything of step `i`, from the seed and `i` alone."""

    def __init__(
        self, recipe: EmbedderRecipe, rows: Sequence[Sequence[int]], vectors: NDArray[np.float16]
    ) -> None:
        self._recipe, self._rows, self._vectors = recipe, rows, vectors
        run = recipe.run
        self.plan = batch_plan(
            [len(row) for row in rows], run.rows_per_step, run.num_steps, run.seed
        )

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        chosen = self.plan[index]
        token_ids, mask = padded([self._rows[row] for row in chosen])
        rng = np.random.default_rng((self._recipe.run.seed, index))
        size = min(self._recipe.loss.bank, len(self._rows))
        first = rng.integers(len(self._rows))
        return {
            "input_ids": torch.from_numpy(token_ids),
            "mask": torch.from_numpy(mask),
            "teacher": torch.from_numpy(self._vectors[chosen]),
            # The texts are shuffled already, so neighbours are as good as a draw.
            "bank": torch.arange(first, first + size) % len(self._rows),
        }

    def mean_tokens(self) -> int:
        """Tokens of a step, on average."""
        return round(sum(len(self._rows[row]) for step in self.plan for row in step) / len(self))


def batch_plan(
    lengths: Sequence[int], num_rows: int, num_steps: int, seed: int
) -> list[NDArray[np.int64]]:
    """The texts of every step: all of them in each round, those of like length together.

    Args:
        lengths: of the texts, in tokens.

    Raises:
        ConfigurationError: there are fewer texts than rows in a step.
    """
    if len(lengths) < num_rows:
        raise ConfigurationError(
            "The corpus has {found} texts, but a step needs {needed}; add files or worlds, or "
            "lower run.rows_per_step.",
            found=len(lengths),
            needed=num_rows,
        )
    rng, sizes, steps = np.random.default_rng(seed), np.array(lengths), list[NDArray[np.int64]]()
    while len(steps) < num_steps:
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), num_rows * _WINDOW):
            window = order[start : start + num_rows * _WINDOW]
            window = window[np.argsort(sizes[window], kind="stable")]
            found = np.split(window, range(num_rows, len(window), num_rows))
            whole = [batch for batch in found if len(batch) == num_rows]
            steps += [whole[index] for index in rng.permutation(len(whole))]
    return steps[:num_steps]


def distil(
    recipe: EmbedderRecipe,
    out: Path,
    show: Callable[[Event], None],
    *,
    device: str | None = None,
) -> Path:
    """Run `recipe` in the folder `out`, going on from its last whole checkpoint if there is one.

    Args, what Ctrl-C does, and the errors are those of `pretrain`.

    Returns:
        The folder of the finished model: weights in float16 in the layout of sentence-transformers.

    Raises:
        ConfigurationError: also: the teacher is not the recipe's, or the corpus cannot be read.
        ModelError: the teacher cannot be loaded.
    """
    uses_cpu = begin(recipe, out, device)
    settings = EngineSettings(
        engine="transformers",
        device="cpu" if uses_cpu else "cuda",
        revision=recipe.teacher.revision or None,
    )
    folder = find_folder(recipe.teacher.model, settings)
    check_weights(folder, recipe.teacher.sha256)
    _check_teacher(folder)
    found = texts(recipe.corpus, seed=recipe.run.seed)
    vectors = _taught(found, folder, settings, out, show)
    tokenizer = read_tokenizer(folder)
    rows = token_ids(tokenizer, found, recipe.corpus.max_tokens)
    steps = Steps(recipe, rows, vectors)
    student = _student(recipe, folder, rows, tokenizer)
    progress = Progress(out, steps.mean_tokens(), show)
    trainer = _trainer(recipe, student, steps, out, progress, uses_cpu=uses_cpu)
    trainer.bank = torch.from_numpy(vectors)
    train_to_end(trainer, out, progress, show)
    return _finished(student, folder, out)


def _check_teacher(folder: Path) -> None:
    """Raises ConfigurationError for a teacher that the student cannot be made of."""
    kind = read_json(folder / "config.json").get("model_type")
    mode = read_pooling(str(folder), folder).mode
    if kind != "bert" or mode != "mean":
        raise ConfigurationError(
            "The teacher in {folder} is of the kind {kind} with the pooling {mode}; take a BERT "
            "with mean pooling.",
            folder=folder,
            kind=kind,
            mode=mode,
        )


def _taught(
    found: list[str],
    folder: Path,
    settings: EngineSettings,
    out: Path,
    show: Callable[[Event], None],
) -> NDArray[np.float16]:
    teacher = load(str(folder), folder, settings)

    def told(count: int) -> None:
        show(
            Phase(
                text=_("The teacher reads: {count:,} of {total:,}", count=count, total=len(found))
            )
        )

    try:
        return teacher_vectors(found, teacher, out / TEACHER, told)
    finally:
        teacher.close()


def _student(
    recipe: EmbedderRecipe,
    folder: Path,
    rows: Sequence[Sequence[int]],
    tokenizer: tokenizers.Tokenizer,
) -> BertModel:
    teacher = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
    flat = np.fromiter((token_id for row in rows for token_id in row), np.int64)
    counts = np.bincount(flat, minlength=teacher.config.vocab_size)
    torch.manual_seed(recipe.run.seed)
    return new_student(teacher, recipe.student, counts)


def _trainer(
    recipe: EmbedderRecipe,
    student: BertModel,
    steps: Steps,
    out: Path,
    progress: Progress,
    *,
    uses_cpu: bool,
) -> EmbeddingTrainer:
    run = recipe.run
    matrices = [p for name, p in student.named_parameters() if p.ndim == 2 and "embed" not in name]
    matrix_ids = {id(p) for p in matrices}
    others = [p for p in student.parameters() if id(p) not in matrix_ids]
    optimizer = torch.optim.AdamW(
        [{"params": matrices}, {"params": others, "weight_decay": 0.0}],
        lr=run.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=run.weight_decay,
        fused=True,
    )
    schedule = wsd_schedule(optimizer, run)
    trainer = EmbeddingTrainer(
        model=student,
        # A row is a whole step already.
        args=training_arguments(run, out, rows=1, bf16=False, uses_cpu=uses_cpu),
        train_dataset=steps,
        data_collator=only,
        optimizers=(optimizer, schedule),
        callbacks=[progress],
    )
    trainer.recipe = recipe
    trainer.remove_callback(PrinterCallback)
    return trainer


def _finished(student: BertModel, teacher: Path, out: Path) -> Path:
    with finishing(out) as partial:
        plain(student).to(torch.float16).save_pretrained(partial)
        for name in _COPIED:
            if (teacher / name).is_file():
                (partial / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(teacher / name, partial / name)
    return out / run_folder.MODEL
