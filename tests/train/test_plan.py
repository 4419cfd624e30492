"""The plan of a run agrees with the run."""

from pathlib import Path
from typing import Any

import pytest

from avalan.train.plan import _estimated, checkpoint_bytes, num_parameters, plan
from avalan.train.pretrain import new_model
from avalan.train.recipe import Recipe, load_recipe
from avalan.train.tuning_plan import Sizes


@pytest.mark.parametrize("name", ["bundled", "pico"])
def test_the_parameters_are_those_of_the_model(name: str, recipe: Recipe) -> None:
    chosen = load_recipe("bundled") if name == "bundled" else recipe
    model = new_model(chosen, pad_id=0, eos_id=1)
    assert num_parameters(chosen.model) == sum(weight.numel() for weight in model.parameters())


def test_a_new_run_has_everything_before_it_and_no_known_speed(
    recipe: Recipe, tmp_path: Path
) -> None:
    found = plan(recipe, tmp_path / "new")
    assert (found.num_steps, found.done_steps, found.save_steps) == (6, 0, 3)
    assert found.tokens_per_step == 2 * 512
    assert found.num_tokens == 6 * 2 * 512
    assert found.tokens_per_s is None
    assert found.remaining_s is None
    assert found.estimated_s is None or 0 < found.estimated_s[0] < found.estimated_s[1]
    assert not (tmp_path / "new").exists()


def test_the_time_follows_from_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avalan.train.plan._product_speed", lambda: 1e9)
    sizes = Sizes(
        num_parameters=1_000, num_trained=200, memory_bytes=0, num_steps=1, tokens_per_step=1,
        checkpoint_bytes=0,
    )  # fmt: skip
    # 4,400 operations a token, at six and at two tenths of the speed.
    assert _estimated(sizes, 1_000_000) == pytest.approx((4.4e9 / 0.6e9, 4.4e9 / 0.2e9))


def test_a_finished_run_has_nothing_before_it_and_its_own_speed(finished: Any) -> None:
    found = plan(finished.recipe, finished.out)
    assert (found.done_steps, found.remaining_s) == (6, 0)
    assert found.tokens_per_s is not None
    assert found.tokens_per_s > 0


def test_a_checkpoint_is_about_as_large_as_planned(finished: Any) -> None:
    folder = finished.out / "checkpoint-6"
    size = sum((folder / name).stat().st_size for name in ("model.safetensors", "optimizer.pt"))
    # Names and headers weigh more in a small model.
    assert abs(size - checkpoint_bytes(finished.recipe.model)) < 40_000
