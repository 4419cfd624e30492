"""A run's folder: whose it is, which checkpoints count, what was reported."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from avalan.errors import ConfigurationError, StateError
from avalan.train import run_folder
from avalan.train.recipe import Recipe
from avalan.train.run_folder import StepReport


def report(step: int) -> StepReport:
    return StepReport(
        step=step, num_steps=9, loss=1.5, learning_rate=0.1, tokens_per_s=2.0, remaining_s=3.0
    )


def line(step: int) -> str:
    return json.dumps(asdict(report(step))) + "\n"


@pytest.fixture
def claimed(recipe: Recipe, tmp_path: Path) -> Path:
    """A folder that is claimed for the recipe."""
    run_folder.claim(recipe, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def checkpoints(finished: Any, tmp_path: Path) -> Path:
    """A copy of a run's folder with the checkpoints 3 and 6."""
    return Path(shutil.copytree(finished.out, tmp_path / "run"))


# --- whose it is ----------------------------------------------------------------------------------


def test_a_folder_is_claimed_once_and_again_by_the_same_recipe(
    recipe: Recipe, claimed: Path
) -> None:
    before = (claimed / "recipe.json").read_bytes()
    run_folder.claim(replace(recipe, name="renamed"), claimed)
    assert (claimed / "recipe.json").read_bytes() == before
    assert [path.name for path in claimed.iterdir()] == ["recipe.json"]


def test_another_recipe_is_refused_by_the_name_of_what_differs(
    recipe: Recipe, claimed: Path
) -> None:
    other = replace(recipe, run=replace(recipe.run, seed=8))
    with pytest.raises(ConfigurationError, match=r"\(run.seed is 7 there and 8 here\)"):
        run_folder.claim(other, claimed)
    fewer = replace(recipe, stages=recipe.stages[1:])
    with pytest.raises(ConfigurationError, match=r"stages\.0\.until is 0.5 there and 1.0 here"):
        run_folder.check(fewer, claimed)


def test_a_key_that_is_newer_than_the_run_counts_with_its_default(
    recipe: Recipe, claimed: Path
) -> None:
    path = claimed / "recipe.json"
    table = json.loads(path.read_text())
    del table["run"]["weight_decay"]
    path.write_text(json.dumps(table))
    run_folder.check(recipe, claimed)


def test_the_processes_of_a_run_claim_its_folder_at_once(recipe: Recipe, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            out, barrier = tmp_path / str(number), Barrier(4)

            def claim(out: Path = out, barrier: Barrier = barrier) -> None:
                barrier.wait()
                run_folder.claim(recipe, out)

            for done in [pool.submit(claim) for _ in range(4)]:
                done.result()
            assert [path.name for path in out.iterdir()] == [run_folder.RECIPE]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', '{"stages": [], "name": "x"}'])
def test_a_broken_recipe_file_is_refused(recipe: Recipe, claimed: Path, text: str) -> None:
    (claimed / "recipe.json").write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be read as a recipe"):
        run_folder.claim(recipe, claimed)


@pytest.mark.parametrize("name", ["checkpoint-7", "model", "tokenizer"])
def test_a_folder_of_somebody_elses_run_is_not_taken_over(
    recipe: Recipe, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigurationError, match=f"already holds '{name}'"):
        run_folder.claim(recipe, tmp_path)


def test_a_file_is_no_folder(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(ConfigurationError, match="is a file"):
        run_folder.claim(recipe, tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_a_sentence(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be made, because \S+/file is a file; choose"):
        run_folder.claim(recipe, tmp_path / "file" / "run")


def test_whether_a_folder_can_be_written_is_found_out_without_a_trace(
    recipe: Recipe, claimed: Path
) -> None:
    run_folder.check_writable(recipe, claimed.parent / "new" / "run", size_bytes=1)
    run_folder.check_writable(recipe, claimed, size_bytes=1)
    assert [path.name for path in claimed.parent.rglob("*")] == ["run", "recipe.json"]


@pytest.mark.parametrize(
    ("place", "size", "reason"),
    [
        ("file", 1, "file is a file; name a folder"),
        ("file/run/deep", 1, "because {}/file is a file; choose another with --out"),
        ("x" * 300, 1, r"cannot be written \(File name too long\); choose another with --out"),
        ("run", 10**18, "takes 1,000,000,000,000,000,000 bytes, but the disk of {}/run has"),
    ],
)
def test_what_keeps_a_run_from_its_folder_is_told_by_its_true_reason(
    recipe: Recipe, tmp_path: Path, place: str, size: int, reason: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((ConfigurationError, StateError), match=reason.format(tmp_path)):
        run_folder.check_writable(recipe, tmp_path / place, size_bytes=size)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_says_so(recipe: Recipe, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StateError, match=r"cannot be written \(Permission denied\); choose"):
        run_folder.check_writable(recipe, tmp_path / "run", size_bytes=1)


# --- checkpoints ----------------------------------------------------------------------------------


def test_the_last_whole_checkpoint_is_the_one_to_go_on_from(checkpoints: Path) -> None:
    assert run_folder.last_checkpoint(checkpoints) == checkpoints / "checkpoint-6"
    assert run_folder.step_of(checkpoints / "checkpoint-6") == 6
    assert run_folder.last_checkpoint(checkpoints / "nowhere") is None


@pytest.mark.parametrize(
    "name",
    ["trainer_state.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
)
@pytest.mark.parametrize("damage", ["absent", "empty", "half", "short"])
def test_a_checkpoint_with_a_damaged_file_is_passed_over(
    checkpoints: Path, name: str, damage: str
) -> None:
    file = checkpoints / "checkpoint-6" / name
    content = file.read_bytes()
    file.unlink()
    if damage != "absent":
        keep = {"empty": 0, "half": len(content) // 2, "short": len(content) - 3}[damage]
        file.write_bytes(content[:keep])
    assert run_folder.last_checkpoint(checkpoints) == checkpoints / "checkpoint-3"


def test_broken_checkpoints_are_removed_and_nothing_else(checkpoints: Path) -> None:
    (checkpoints / "checkpoint-5").mkdir()
    (checkpoints / "checkpoint-x").mkdir()
    # Written to its end, by something that keeps its optimizer elsewhere.
    other = checkpoints / "checkpoint-9"
    other.mkdir()
    (other / "trainer_state.json").write_text('{"global_step": 9}')
    run_folder.remove_broken_checkpoints(checkpoints)
    names = {path.name for path in checkpoints.iterdir()}
    assert "checkpoint-5" not in names
    assert {
        "checkpoint-3",
        "checkpoint-6",
        "checkpoint-9",
        "checkpoint-x",
        "model",
        "tokenizer",
    } <= names


def test_a_checkpoint_under_a_wrong_name_is_not_trusted(checkpoints: Path) -> None:
    (checkpoints / "checkpoint-6").rename(checkpoints / "checkpoint-9")
    assert run_folder.last_checkpoint(checkpoints) == checkpoints / "checkpoint-3"


# --- reports --------------------------------------------------------------------------------------


def test_reports_come_back_without_the_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(line(1) + line(2) + line(3)[:20])
    assert run_folder.reports(tmp_path) == [report(1), report(2)]
    assert run_folder.reports(tmp_path / "nowhere") == []


def test_steps_that_are_made_again_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(1) + line(2) + line(3)[:20])
    run_folder.forget_reports_after(1, tmp_path)
    assert path.read_text() == line(1)
    run_folder.forget_reports_after(1, tmp_path / "nowhere")
