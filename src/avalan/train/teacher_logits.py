"""A teacher's likeliest next tokens for each place of a run's rows, asked once and kept."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from avalan.errors import ConfigurationError, ModelError, reason_of
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.train.pretrain import quieten
from avalan.train.tuning_recipe import TuningRecipe
from avalan.train.tuning_rows import TAUGHT

_READ = ("input_ids", "position_ids")
_SAMPLE = "The quick brown fox, 1 + 2 = 3; naïve café — «¿qué?» 東京 def f(x):\n\treturn x"


def check_vocabulary(teacher: Tokenizer, student: Tokenizer, name: str) -> None:
    """Whether both read texts alike, so that what one says counts for the other.

    Args:
        name: of the teacher, for the sentence.

    Raises:
        ConfigurationError: they do not.
    """
    if not reads_alike(teacher, student):
        raise ConfigurationError(
            "The teacher {name} has another vocabulary than the student, so its probabilities say "
            "nothing about the student's tokens; let it write answers instead, with: --method "
            "sequence",
            name=name,
        )


def reads_alike(teacher: Tokenizer, student: Tokenizer) -> bool:
    """Whether every control token and every piece of the student is the teacher's, at its place."""
    added = teacher.added_tokens
    same = all(added.get(text) == token_id for text, token_id in student.added_tokens.items())
    pieces = (teacher.token(i) == student.token(i) for i in range(student.vocab_size))
    return same and all(pieces) and teacher.encode(_SAMPLE) == student.encode(_SAMPLE)


def find_teacher(recipe: TuningRecipe) -> Path:
    """Where the teacher lies, downloaded if need be.

    Raises:
        ModelError: there is none.
    """
    settings = EngineSettings(engine="transformers", revision=recipe.teacher.revision or None)
    return find_folder(recipe.teacher.model, settings)


def ask_teacher(recipe: TuningRecipe, tokenizer: Tokenizer, rows: Path, *, uses_cpu: bool) -> None:
    """Write what the teacher says of each row into the folder `rows`, unless it is there.

    Raises:
        ConfigurationError: the teacher has another vocabulary.
        ModelError: it cannot be loaded.
    """
    if all((rows / f"{name}.npy").is_file() for name in TAUGHT):
        return
    folder = find_teacher(recipe)
    check_vocabulary(load_tokenizer(folder), tokenizer, recipe.teacher.model)
    quieten()
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            "The teacher in {folder} cannot be loaded ({reason}); give another.",
            folder=folder,
            reason=reason_of(error),
        ) from error
    device = "cpu" if uses_cpu else "cuda"
    model.to(device)
    read = [np.load(rows / f"{name}.npy", mmap_mode="r") for name in _READ]
    num_tokens, top_k = tokenizer.vocab_size, min(recipe.teacher.top_k, tokenizer.vocab_size)
    partial = [rows / f"{name}.partial.npy" for name in TAUGHT]
    columns = [
        np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(*read[0].shape, top_k))
        for path, kind in zip(partial, (np.int32, np.float16), strict=True)
    ]
    for number in range(len(read[0])):
        row = {
            name: torch.from_numpy(np.array(column[number])).long()[None].to(device)
            for name, column in zip(_READ, read, strict=True)
        }
        with torch.no_grad():
            logits = model(**row, use_cache=False).logits[0, :, :num_tokens].float()
        found = (logits / recipe.teacher.temperature).log_softmax(dim=-1).topk(top_k, dim=-1)
        columns[0][number], columns[1][number] = found.indices.cpu(), found.values.cpu()
    for column, path, name in zip(columns, partial, TAUGHT, strict=True):
        column.flush()
        path.replace(rows / f"{name}.npy")
