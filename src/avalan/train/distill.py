"""Distillation: a student learns from a teacher, and is compared with itself without one.

By logits (Hinton et al., 2015, arXiv:1503.02531) where both read texts alike: the teacher's
probabilities are asked once for each place and kept. By sequences (Kim and Rush, 2016,
arXiv:1606.07947) otherwise: the teacher, which any engine may run, writes the answers. On-policy
(Agarwal et al., 2023, arXiv:2306.13649) through TRL: the teacher grades what the student writes.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import datasets
import trl
from transformers import PrinterCallback

from avalan.data.record_files import read_records
from avalan.errors import ConfigurationError
from avalan.evaluate.statistics import Estimate, bootstrap_mean, proportion
from avalan.locale import _
from avalan.model.entities import GenerationReport, GenerationSettings
from avalan.model.generate import generate
from avalan.model.load import Model, open_model
from avalan.model.prompt import load_tokenizer
from avalan.model.uri import parse_uri
from avalan.reflection.matching import exact_match
from avalan.reflection.reading import prompt_of
from avalan.reflection.record import Record, Split, to_json
from avalan.reflection.tokens import ALL, AVALON
from avalan.train import run_folder
from avalan.train.optimizer import scheduled
from avalan.train.preference import finished, read_tokenizer
from avalan.train.pretrain import Saving, begin, quieten, train_to_end
from avalan.train.progress import Event, Phase, Progress
from avalan.train.teacher_logits import check_vocabulary, reads_alike
from avalan.train.tuning import tune
from avalan.train.tuning_plan import find_base
from avalan.train.tuning_recipe import Base, Teacher, TuningRecipe

METHODS = ("auto", "sequence", "logits", "on-policy")
_WRITTEN = "written.jsonl"
_MOST_TOKENS = 160
"""Of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How often each of three models answers as the held-out records do."""

    teacher: Estimate | None
    alone: Estimate | None
    """The student on the records' words alone, for as many steps."""
    distilled: Estimate | None
    gain: Estimate | None
    """Of the distilled one above it, paired by record."""
    method: str
    num: int
    """Records."""
    folder: str
    """Of the distilled model."""


class OnPolicyTrainer(Saving, trl.DistillationTrainer):
    """TRL's, which saves as ours do."""


def choose_method(method: str, teacher: str, student: Path) -> str:
    """The method to use: `auto` is logits where both read texts alike, and sequence elsewhere.

    Raises:
        ConfigurationError: the method needs one vocabulary, and there are two.
        ModelError: a model cannot be found.
    """
    if method == "sequence":
        return method
    if not parse_uri(teacher).is_local:
        if method == "auto":
            return "sequence"
        raise ConfigurationError(
            "A served teacher tells no probabilities of all tokens; let it write answers, with: "
            "--method sequence"
        )
    theirs = load_tokenizer(find_base(Base(model=teacher), "distill"))
    ours = load_tokenizer(student)
    if method == "auto":
        return "logits" if reads_alike(theirs, ours) else "sequence"
    check_vocabulary(theirs, ours, teacher)
    return method


def distill(
    recipe: TuningRecipe,
    teacher: str,
    method: str,
    out: Path,
    show: Callable[[Event], None],
    *,
    device: str | None = None,
) -> Compared:
    """Train the student of `recipe` with and without the teacher, and compare all three.

    Both runs lie in `out`, as `distilled` and `alone`, and go on after a kill.

    Raises:
        ConfigurationError: as `tune` and `choose_method`.
        ModelError: a model cannot be found or run.
        StateError: `out` cannot be written.
    """
    student = find_base(recipe.base, recipe.name)
    method = choose_method(method, teacher, student)
    profile = _profile(student) or recipe.tokens.profile
    recipe = replace(recipe, tokens=replace(recipe.tokens, profile=profile))
    show(Phase(text=_("The student on the records alone")))
    alone = tune(recipe, out / "alone", show, device=device)
    num_steps = run_folder.reports(out / "alone")[-1].num_steps
    same = replace(recipe, run=replace(recipe.run, num_steps=num_steps))
    show(Phase(text=_("The student with its teacher ({method})", method=method)))
    match method:
        case "logits":
            taught = replace(same, teacher=replace(same.teacher, model=teacher))
            distilled = tune(taught, out / "distilled", show, device=device)
        case "sequence":
            written = _written(recipe, teacher, out / _WRITTEN)
            taught = replace(same, lessons=replace(same.lessons, data=str(written)))
            distilled = tune(taught, out / "distilled", show, device=device)
        case _:
            distilled = _on_policy(same, teacher, student, out / "distilled", show, device=device)
    show(Phase(text=_("Comparing")))
    return _compared(recipe, teacher, alone, distilled, method)


def _profile(student: Path) -> str | None:
    """The reflection tokens that a student has; None without any."""
    known = load_tokenizer(student).added_tokens
    for name, tokens in (("self-rag", ALL), ("avalon", AVALON)):
        if all(text in known for text in tokens):
            return name
    return None


# --- sequences ------------------------------------------------------------------------------------


def _written(recipe: TuningRecipe, teacher: str, path: Path) -> Path:
    """A file of the data's records, with the teacher's answers where the prompt alone asks for one.

    It is kept, and gone on with. What is held out stays as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_writer(teacher, path)
    done = _whole_lines(path)
    place = Path(recipe.lessons.data).expanduser()
    records = chain(
        islice(read_records(place, "train"), recipe.lessons.num or None),
        islice(read_records(place, "validation"), recipe.lessons.held_out),
    )
    with open_model(teacher) as model, path.open("a", encoding="utf-8") as file:
        for record in islice(records, done, None):
            is_asked = record.split == "train" and _is_answerable(record)
            made = _taught(model, record) if is_asked else record
            file.write(json.dumps(to_json(made)) + "\n")
            file.flush()
    return path


def _check_writer(teacher: str, path: Path) -> None:
    """Raise ConfigurationError where another teacher has begun the file."""
    writer = path.with_suffix(".txt")
    if not writer.is_file():
        writer.write_text(teacher, encoding="utf-8")
    elif (other := writer.read_text(encoding="utf-8")) != teacher:
        raise ConfigurationError(
            "The folder {out} has what {other} wrote, and not {teacher}; choose another with "
            "--out.",
            out=path.parent,
            other=other,
            teacher=teacher,
        )


def _whole_lines(path: Path) -> int:
    """How many lines a file has, of which a torn end is cut off."""
    if not path.is_file():
        return 0
    found = path.read_bytes()
    with path.open("rb+") as file:
        file.truncate(found.rfind(b"\n") + 1)
    return found.count(b"\n")


def _is_answerable(record: Record) -> bool:
    """Whether it is answered from the prompt alone, with words."""
    first, *others = record.segments
    return first.text is not None and not first.passages and not others


def _taught(model: Model, record: Record) -> Record:
    """The record with the model's answer; what says nothing teaches nothing: it keeps its words."""
    (segment,) = record.segments
    text = _said(model, record) or segment.text
    return replace(record, segments=(replace(segment, text=text),), answers=())


def _said(model: Model, record: Record) -> str:
    """What a model answers, greedily, without control tokens."""
    settings = GenerationSettings(max_new_tokens=_MOST_TOKENS, skip_special_tokens=True)
    prompt = prompt_of(model, record.messages)
    said = generate(model, prompt, settings=settings, report=GenerationReport())
    return "".join(token.text for token in said if not token.reasoning).strip()


# --- on-policy ------------------------------------------------------------------------------------


def _on_policy(
    recipe: TuningRecipe,
    teacher: str,
    student: Path,
    out: Path,
    show: Callable[[Event], None],
    *,
    device: str | None,
) -> Path:
    taught = replace(recipe, teacher=Teacher(model=teacher))
    uses_cpu = begin(taught, out, device)
    place = Path(recipe.lessons.data).expanduser()
    prompts = [
        {"prompt": [{"role": each.role, "content": each.content} for each in record.messages]}
        for record in islice(
            filter(_is_answerable, read_records(place, "train")), recipe.lessons.num or None
        )
    ]
    run = recipe.run
    progress = Progress(out, run.rows_per_step * _MOST_TOKENS, show)
    quieten()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = read_tokenizer(student)
        trainer: Any = OnPolicyTrainer(
            model=str(student),
            teacher_model=str(find_base(Base(model=teacher), "distill")),
            args=trl.DistillationConfig(
                output_dir=str(out),
                max_steps=run.num_steps,
                per_device_train_batch_size=run.rows_per_step,
                learning_rate=run.learning_rate,
                weight_decay=run.weight_decay,
                max_grad_norm=run.max_grad_norm,
                max_completion_length=_MOST_TOKENS,
                save_steps=run.save_steps,
                save_total_limit=2,
                logging_steps=1,
                use_cpu=uses_cpu,
                bf16=False,
                seed=run.seed,
                report_to="none",
                gradient_checkpointing=False,
                model_init_kwargs={"dtype": "float32"},
            ),
            train_dataset=datasets.Dataset.from_list(prompts),
            processing_class=tokenizer,
        )
        trainer.create_optimizer()
        trainer.lr_scheduler = scheduled(trainer.optimizer, run, num_steps=run.num_steps)
        trainer.add_callback(progress)
        trainer.remove_callback(PrinterCallback)
        train_to_end(trainer, out, progress, show)
    return finished(trainer, tokenizer, out)


# --- the comparison -------------------------------------------------------------------------------


def _compared(
    recipe: TuningRecipe, teacher: str, alone: Path, distilled: Path, method: str
) -> Compared:
    records = _held_out(Path(recipe.lessons.data).expanduser(), recipe.lessons.held_out)
    found = {name: _rights(name, records) for name in (teacher, str(alone), str(distilled))}
    ours, before = found[str(distilled)], found[str(alone)]
    gains = [float(after) - float(first) for after, first in zip(ours, before, strict=True)]
    return Compared(
        teacher=proportion(found[teacher]),
        alone=proportion(before),
        distilled=proportion(ours),
        gain=bootstrap_mean(gains, seed=recipe.run.seed) if gains else None,
        method=method,
        num=len(records),
        folder=str(distilled),
    )


def _held_out(place: Path, num: int) -> list[Record]:
    """Of the test, where there is one: the best weights were chosen by the validation records."""
    splits: tuple[Split, ...] = ("test", "validation")
    found = (list(islice(filter(_is_answerable, read_records(place, s)), num)) for s in splits)
    return next((records for records in found if records), [])


def _rights(name: str, records: Sequence[Record]) -> list[bool]:
    """Whether a model answers as each record does, words for words."""
    with open_model(name) as model:
        return [
            exact_match(_said(model, record), record.segments[0].text or "") == 1
            for record in records
        ]
