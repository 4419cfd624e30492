"""A run's folder: whose it is, which of its checkpoints are whole, and what it reported.

    recipe.json        the recipe, with every default
    tokenizer/         learned once
    checkpoint-N/      weights, optimizer, schedule and random state after step N; the last two
    metrics.jsonl      a line per report
    model/             the finished model

Nothing here needs torch.
"""

import errno
import json
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from avalan.errors import ConfigurationError, StateError, reason_of
from avalan.train.kinds import AnyRecipe, from_table

RECIPE, METRICS, TOKENIZER, MODEL = "recipe.json", "metrics.jsonl", "tokenizer", "model"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin")
"""Of the Trainer, or of accelerate where FSDP has spread it."""
_SCHEDULER = "scheduler.pt"
_STATE = "trainer_state.json"
_RANDOM_STATES = "rng_state*.pth"
"""One, or one of each process."""
_WEIGHTS = ("model.safetensors", "adapter_model.safetensors")
"""Of the whole model, or of what PEFT trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How a run stands."""

    step: int
    num_steps: int
    loss: float
    """Its mean since the last report; of a language model the weighted cross-entropy, in nats."""
    learning_rate: float
    tokens_per_s: float
    remaining_s: float
    """Estimated from the speed since this start of the run."""
    held_out_loss: float | None = None
    """On what is held out, where this report looked at it."""


# --- whose it is ----------------------------------------------------------------------------------


def check(recipe: AnyRecipe, out: Path) -> None:
    """Check that `out` is free, or belongs to `recipe`.

    Raises:
        ConfigurationError: it is a file, or holds another run or something else.
    """
    path = out / RECIPE
    if out.exists() and not out.is_dir():
        raise ConfigurationError("{out} is a file; name a folder for the run with --out.", out=out)
    if path.exists():
        _check_same(recipe, _written(path), out)
    elif taken := next((p for p in _listing(out) if _is_ours(p.name)), None):
        raise ConfigurationError(
            "The folder {out} already holds {taken!r}, but no {recipe} that says whose it is; "
            "choose another with --out.",
            out=out,
            taken=taken.name,
            recipe=RECIPE,
        )


def check_writable(recipe: AnyRecipe, out: Path, *, size_bytes: int) -> None:
    """Check that the run of `recipe` can be written into `out`, by trying; nothing is left there.

    Args:
        size_bytes: of one checkpoint.

    Raises:
        ConfigurationError: as `check`.
        StateError: `out` cannot be made or written, or a checkpoint has no room there.
    """
    with _writing(out):
        check(recipe, out)
        absent = [folder for folder in (out, *out.parents) if not folder.exists()]
        try:
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=out):
                free = shutil.disk_usage(out).free
        finally:
            for folder in absent:
                with suppress(OSError):
                    folder.rmdir()
    if free < size_bytes:
        raise StateError(
            "A checkpoint takes {size_bytes:,} bytes, but the disk of {out} has {free:,} "
            "left; free some space or choose another folder with --out.",
            size_bytes=size_bytes,
            out=out,
            free=free,
        )


def claim(recipe: AnyRecipe, out: Path) -> None:
    """Make `out` the folder of `recipe`; nothing changes if it is that already.

    Several processes of a run may claim it at once.

    Raises:
        ConfigurationError: as `check`.
        StateError: it cannot be made or written.
    """
    check(recipe, out)
    path = out / RECIPE
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f"{RECIPE}.{uuid4().hex}.partial"
        try:
            probe.write_text(json.dumps(asdict(recipe), indent=1, sort_keys=True))
            if not path.exists():
                # Whoever is a moment behind puts the same in its place.
                probe.replace(path)
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the system refuses into the reason, and what to do about it."""
    try:
        yield
    except OSError as error:
        file = next((path for path in out.parents if path.is_file()), None)
        if file is not None:
            raise StateError(
                "The folder {out} cannot be made, because {file} is a file; choose another "
                "with --out.",
                out=out,
                file=file,
            ) from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateError(
                "The folder {out} cannot be written ({reason}); free some space or choose "
                "another with --out.",
                out=out,
                reason=reason_of(error),
            ) from None
        raise StateError(
            "The folder {out} cannot be written ({reason}); choose another with --out.",
            out=out,
            reason=reason_of(error),
        ) from None


def _is_ours(name: str) -> bool:
    return name in (METRICS, TOKENIZER, MODEL) or bool(_CHECKPOINT.fullmatch(name))


def _written(path: Path) -> AnyRecipe:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if "stages" in table:
            table["stage"] = table.pop("stages")
        return from_table(table, table.pop("name"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigurationError):
        raise ConfigurationError(
            "{path} cannot be read as a recipe, so the run in its folder cannot go on; choose "
            "another folder with --out, or delete this one to start again.",
            path=path,
        ) from None


def _check_same(recipe: AnyRecipe, other: AnyRecipe, out: Path) -> None:
    here, there = _flat(asdict(recipe)), _flat(asdict(other))
    for key in here | there:
        if key != "name" and here.get(key) != there.get(key):
            raise ConfigurationError(
                "The folder {out} holds a run of another recipe ({key} is {there} there and "
                "{here} here); choose another with --out, or delete it to start again.",
                out=out,
                key=key,
                there=there.get(key),
                here=here.get(key),
            )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys: `run.seed`, `stages.0.until`."""
    if isinstance(values, dict):
        rows = values.items()
    elif isinstance(values, list | tuple):
        rows = {str(index): value for index, value in enumerate(values)}.items()
    else:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in rows:
        flat |= _flat(value, f"{prefix}.{key}".lstrip("."))
    return flat


# --- checkpoints ----------------------------------------------------------------------------------


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint of the run in `out`."""
    whole = [path for path in _checkpoints(out) if is_whole(path)]
    return max(whole, key=step_of, default=None)


def remove_broken_checkpoints(out: Path) -> None:
    """Delete what a kill or a full disk left half written; the space is wanted.

    What has its end but keeps its optimizer in a way of its own, as DeepSpeed does, is left alone.
    """
    for path in _checkpoints(out):
        is_other = (path / _STATE).is_file() and not any((path / n).is_file() for n in _OPTIMIZERS)
        if not is_whole(path) and not is_other:
            shutil.rmtree(path, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that resuming reads is there to its last byte.

    The state is written last, so it is absent if writing was cut short; the sizes of the others
    are checked too, because a crash of the machine loses what was not on the disk yet.
    """
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
        drawn = list(checkpoint.glob(_RANDOM_STATES))
        optimizer = next(p for name in _OPTIMIZERS if (p := checkpoint / name).is_file())
        archives = [optimizer, checkpoint / _SCHEDULER, *drawn]
        whole = all(zipfile.is_zipfile(path) for path in archives) and bool(drawn)
        weights = next(path for name in _WEIGHTS if (path := checkpoint / name).is_file())
        is_its = state["global_step"] == step_of(checkpoint)
        return whole and is_its and _is_whole_safetensors(weights)
    except (OSError, ValueError, KeyError, TypeError, StopIteration, struct.error):
        return False


def _is_whole_safetensors(path: Path) -> bool:
    """The header says where the last tensor ends; source: the format's README."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            return False
        header = json.loads(file.read(length))
    ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
    return bool(path.stat().st_size == 8 + length + max(ends))


def _checkpoints(out: Path) -> list[Path]:
    return [path for path in _listing(out) if _CHECKPOINT.fullmatch(path.name) and path.is_dir()]


def _listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


# --- reports --------------------------------------------------------------------------------------


def reports(out: Path) -> list[StepReport]:
    """What the run in `out` has reported so far; a line cut short by a kill is left out."""
    path = out / METRICS
    if not path.exists():
        return []
    return [report for _, report in _lines(path.read_text(encoding="utf-8", errors="replace"))]


def forget_reports_after(step: int, out: Path) -> None:
    """Drop the lines of steps that will be made again, so that no step is told twice."""
    path = out / METRICS
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    kept = "".join(f"{line}\n" for line, report in _lines(text) if report.step <= step)
    if kept != text:
        partial = path.with_suffix(".partial")
        partial.write_text(kept, encoding="utf-8")
        partial.replace(path)


def _lines(text: str) -> Iterator[tuple[str, StepReport]]:
    for line in text.splitlines():
        try:
            yield line, StepReport(**json.loads(line))
        except (ValueError, TypeError):
            continue
