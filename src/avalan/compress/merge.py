"""An adapter merged into its base: a plain checkpoint, which any program loads."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM

from avalan.errors import ModelError, StateError, reason_of
from avalan.model.adapter import CONFIG, NEW_ROWS
from avalan.model.engine.adapter import merged
from avalan.model.engine.new_rows import take_rows
from avalan.model.vocabulary import DEFINITION, SETTINGS

_TOKENIZER = (DEFINITION, SETTINGS, "special_tokens_map.json", "chat_template.jinja")
_BESIDE = ("generation_config.json",)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Where the parts of an adapter lie."""

    folder: Path
    """What PEFT wrote."""
    rows: Path
    """The folder of the rows of new tokens, if there are any."""
    tokenizer: Path | None
    """The folder of the tokenizer that it was trained with; None for the base's own."""


def find_adapter(path: Path) -> Adapter:
    """The adapter in `path`: PEFT's folder, or a run's, of which the end or the last step is taken.

    Raises:
        ModelError: there is none.
    """
    for folder in (path, path / "adapter", *_checkpoints(path)):
        if (folder / CONFIG).is_file():
            # A step of a run has its rows and its tokenizer beside it.
            places = (folder, folder.parent, folder.parent / "tokenizer")
            rows = next((place for place in places if (place / NEW_ROWS).is_file()), folder)
            tokenizer = next((place for place in places if (place / DEFINITION).is_file()), None)
            return Adapter(folder=folder, rows=rows, tokenizer=tokenizer)
    raise ModelError(
        "There is no adapter in {path} ({file} is missing); give the folder that PEFT saved it to, "
        "or that of a run.",
        path=path,
        file=CONFIG,
    )


def _checkpoints(path: Path) -> Sequence[Path]:
    """The steps of a run, the last one first."""
    found = [each for each in path.glob("checkpoint-*") if each.name[11:].isdigit()]
    return sorted(found, key=lambda each: -int(each.name[11:]))


def merge(base: Path, adapter: Adapter, out: Path, *, weight_type: str | None = None) -> Path:
    """Write `base` with `adapter` in its weights into the folder `out`, new tokens included.

    Args:
        weight_type: `fp32`, `bf16` or `fp16`; None for the base's own. The sum is made in float32.

    Raises:
        ModelError: the base cannot be loaded, or the adapter is of another model.
        StateError: `out` cannot be written.
    """
    transformers.utils.logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            "The base in {folder} cannot be loaded ({reason}); give the folder of its safetensors.",
            folder=base,
            reason=reason_of(error),
        ) from error
    kept = model.dtype if weight_type is None else DTYPES[weight_type]
    model = model.float()
    take_rows(model, adapter.rows)
    model = merged(model, adapter.folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        model.to(kept).save_pretrained(out)
        source = adapter.tokenizer or base
        for folder, names in ((source, _TOKENIZER), (base, _BESIDE)):
            for name in names:
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, out / name)
    except OSError as error:
        raise StateError(
            "The merged model cannot be written to {folder} ({reason}); free some space or name "
            "another folder.",
            folder=out,
            reason=reason_of(error),
        ) from error
    return out
