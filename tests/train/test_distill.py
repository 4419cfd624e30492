"""A student beside its teacher: who may teach how, what is kept, and what the comparison says."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from avalan import testing
from avalan.cli import main
from avalan.data.mixture import one
from avalan.errors import ConfigurationError
from avalan.model.prompt import load_tokenizer
from avalan.reflection.record import Record, to_json
from avalan.reflection.tokens import ALL
from avalan.train import distill as distillation
from avalan.train import run_folder
from avalan.train.distill import choose_method, distill
from avalan.train.kinds import load_any
from avalan.train.progress import Event
from avalan.train.teacher_logits import reads_alike
from avalan.train.tuning_recipe import TuningRecipe


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A teacher that says something, a student with its vocabulary, and one with another."""
    root = tmp_path_factory.mktemp("models")
    shape = {"max_position_embeddings": 512}
    return SimpleNamespace(
        teacher=testing.pico_llama(root / "teacher", seed=3, **shape),
        student=testing.pico_llama(root / "student", num_hidden_layers=1, **shape),
        other=testing.pico_llama(root / "other", special_tokens=ALL, **shape),
    )


def records(num: int = 24) -> Iterator[Record]:
    for number in range(num):
        split = "validation" if number % 6 == 5 else "train"
        yield one("sums", Random(number), "train", identifier=f"r{number}", split=split)


@pytest.fixture
def recipe(models: SimpleNamespace, tmp_path: Path) -> Callable[..., TuningRecipe]:
    data = tmp_path / "records.jsonl"
    data.write_text("".join(json.dumps(to_json(record)) + "\n" for record in records()))

    def made(**changes: str) -> TuningRecipe:
        found = load_any(
            "distill",
            {
                "base.model": str(models.student),
                "lessons.data": str(data),
                "lessons.held_out": "4",
                "run.num_steps": "2",
                "run.rows_per_step": "2",
                "run.save_steps": "1",
                **changes,
            },
        )
        assert isinstance(found, TuningRecipe)
        return found

    return made


def unheard(_event: Event) -> None:
    """Nobody listens."""


def test_who_reads_alike_may_teach_by_logits(models: SimpleNamespace) -> None:
    teacher, other = (load_tokenizer(folder) for folder in (models.teacher, models.other))
    assert reads_alike(teacher, load_tokenizer(models.student))
    assert not reads_alike(teacher, other)
    assert not reads_alike(other, teacher)
    assert choose_method("auto", str(models.teacher), models.student) == "logits"
    assert choose_method("auto", str(models.teacher), models.other) == "sequence"
    assert choose_method("auto", "ai://key@openai/gpt-5", models.student) == "sequence"
    with pytest.raises(ConfigurationError, match="has another vocabulary than the student"):
        choose_method("logits", str(models.teacher), models.other)
    with pytest.raises(ConfigurationError, match="A served teacher tells no probabilities"):
        choose_method("on-policy", "ai://key@openai/gpt-5", models.student)


def test_what_the_teacher_says_is_kept_for_each_place(
    models: SimpleNamespace, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(**{"teacher.top_k": "5", "teacher.temperature": "2.0"})
    found = distill(chosen, str(models.teacher), "auto", tmp_path / "out", unheard, device="cpu")
    assert found.method == "logits"
    rows = tmp_path / "out" / "distilled" / "rows" / "train"
    ids, places, likeliest, logprobs = (
        np.load(rows / f"{name}.npy")
        for name in ("input_ids", "position_ids", "teacher_ids", "teacher_logprobs")
    )
    model = AutoModelForCausalLM.from_pretrained(models.teacher, dtype=torch.float32)
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(ids[:1]).long(),
            position_ids=torch.from_numpy(places[:1]).long(),
            use_cache=False,
        ).logits[0]
    expected = (logits / 2).log_softmax(-1).topk(5)
    assert np.array_equal(likeliest[0], expected.indices.numpy())
    assert np.allclose(logprobs[0], expected.values.numpy(), atol=0.02)


def test_equal_steps_and_another_student(
    models: SimpleNamespace, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    found = distill(recipe(), str(models.teacher), "logits", tmp_path, unheard, device="cpu")
    alone, distilled = (run_folder.reports(tmp_path / name) for name in ("alone", "distilled"))
    assert [r.step for r in alone] == [r.step for r in distilled]
    assert distilled[0].loss > alone[0].loss
    assert found.num == 4
    assert found.gain is not None
    assert (found.teacher and found.teacher.n, found.gain.n) == (4, 4)


def test_a_teacher_may_say_what_may_not_stand_inside_a_text(
    models: SimpleNamespace, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(**{"base.model": str(models.other), "loss.mask_reflection": "true"})
    # So flat a teacher has reflection tokens among its likeliest everywhere.
    distill(chosen, str(models.other), "logits", tmp_path, unheard, device="cpu")
    assert all(math.isfinite(r.loss) for r in run_folder.reports(tmp_path / "distilled"))


def test_a_teacher_of_another_vocabulary_writes(
    models: SimpleNamespace, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    """An unfinished file of answers is gone on with."""
    chosen = recipe(**{"base.model": str(models.other), "lessons.num": "6"})
    distill(chosen, str(models.teacher), "auto", tmp_path / "out", unheard, device="cpu")
    path = tmp_path / "out" / "written.jsonl"
    lines = path.read_text().splitlines()
    train = [record for record in records() if record.split == "train"][:6]
    held = [record for record in records() if record.split == "validation"][:4]
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == [record.id for record in [*train, *held]]
    assert rows[-4:] == [json.loads(json.dumps(to_json(record))) for record in held]
    said = [row["segments"][0]["text"] for row in rows]
    assert said[:6] != [record.segments[0].text for record in train]
    with pytest.raises(ConfigurationError, match=r"has what .* wrote, and not another"):
        distillation._written(chosen, "another", path)
    path.write_text("\n".join(lines[:2]) + "\n" + lines[2][:9])
    distillation._written(chosen, str(models.teacher), path)
    assert path.read_text().splitlines() == lines


def test_what_a_prompt_alone_does_not_answer_is_learned_all_the_same(
    models: SimpleNamespace, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(**{"base.model": str(models.other), "lessons.held_out": "0"})
    looked_up = one("simple", Random(3), "train", identifier="s", split="train")
    Path(chosen.lessons.data).write_text(json.dumps(to_json(looked_up)) + "\n")
    path = distillation._written(chosen, str(models.teacher), tmp_path / "written.jsonl")
    assert json.loads(path.read_text()) == json.loads(json.dumps(to_json(looked_up)))


def test_what_is_compared_is_the_tests_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    made = [replace(r, split="test") if r.id == "r5" else r for r in records()]
    path.write_text("".join(json.dumps(to_json(record)) + "\n" for record in made))
    assert [record.id for record in distillation._held_out(path, 4)] == ["r5"]


def test_a_teacher_that_says_nothing_leaves_the_records_own_words(
    models: SimpleNamespace,
    recipe: Callable[..., TuningRecipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distillation, "_said", lambda model, record: "")
    path = distillation._written(recipe(), str(models.teacher), tmp_path / "written.jsonl")
    texts = {
        row["id"]: row["segments"][0]["text"]
        for row in map(json.loads, path.read_text().splitlines())
    }
    train = [record for record in records() if record.split == "train"]
    assert all(texts[record.id] == record.segments[0].text for record in train)


def test_on_policy_the_student_writes(
    models: SimpleNamespace,
    recipe: Callable[..., TuningRecipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distillation, "_MOST_TOKENS", 8)
    found = distill(recipe(), str(models.teacher), "on-policy", tmp_path, unheard, device="cpu")
    assert found.method == "on-policy"
    assert len(run_folder.reports(tmp_path / "distilled")) == 2


def test_the_command_shows_three_models(
    models: SimpleNamespace,
    recipe: Callable[..., TuningRecipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distillation, "_MOST_TOKENS", 8)
    data = recipe().lessons.data
    words = ["model", "distill", "--teacher", str(models.teacher), "--student", str(models.student)]
    sets = ["run.num_steps=2", "run.rows_per_step=2", "lessons.held_out=4"]
    more: list[str] = [f"--set={each}" for each in sets]
    assert main([*words, "--data", data, *more]) == 0
    told = capsys.readouterr().out
    assert "Of 4 held-out records, answered word for word (method: logits):" in told
    assert "student with its teacher" in told
    assert main([*words, "--data", data, *more, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (document["event"], document["num"]) == ("done", 4)
    assert main([*words[:4], "--data", data]) == 2
    assert "add: --student" in capsys.readouterr().err
