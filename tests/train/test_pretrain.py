"""Training itself: the loss, the schedule, packed rows, and a run that is cut off and goes on."""

import json
import math
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerState

from avalan.errors import ConfigurationError, StateError
from avalan.model.load import open_model
from avalan.model.prompt import Tokenizer
from avalan.train import pretrain as training
from avalan.train import run_folder
from avalan.train.pretrain import new_model, pretrain, weighted_cross_entropy, wsd_factor
from avalan.train.progress import Event, Phase, Progress
from avalan.train.recipe import Recipe
from avalan.train.rows import Rows
from avalan.train.run_folder import StepReport

# --- the loss -------------------------------------------------------------------------------------


def test_the_loss_by_hand() -> None:
    # Both targets have probability 3/4 and 1/2: losses ln(4/3) and ln 2, weights 1 and 3.
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    loss = weighted_cross_entropy(logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)


def test_equal_weights_give_torchs_mean() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(9, 5), torch.randint(0, 5, (9,))
    loss = weighted_cross_entropy(logits, targets, torch.full((9,), 0.3))
    assert torch.allclose(loss, F.cross_entropy(logits, targets))


def test_a_weight_of_nothing_leaves_a_target_out() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(9, 5), torch.randint(0, 5, (9,))
    weights = torch.tensor([1.0] * 6 + [0.0] * 3)
    loss = weighted_cross_entropy(logits, targets, weights)
    assert torch.allclose(loss, F.cross_entropy(logits[:6], targets[:6]))


def test_the_loss_is_computed_in_float32() -> None:
    logits = torch.tensor([[1.0, 0.3, 0.1], [0.2, 0.7, 0.9]], dtype=torch.bfloat16)
    targets = torch.tensor([0, 1])
    loss = weighted_cross_entropy(logits, targets, torch.ones(2))
    assert loss.dtype == torch.float32
    # Sums of exponentials would lose most of their digits.
    assert torch.equal(loss, F.cross_entropy(logits.float(), targets))


# --- the schedule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "factor"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 1.0), (70, 1.0), (85, 0.5), (99, 1 / 30),
     (100, 0.0)],
)  # fmt: skip
def test_the_learning_rate_warms_up_stays_and_falls(step: int, factor: float) -> None:
    found = wsd_factor(step, num_steps=100, warmup_steps=10, decay_share=0.3)
    assert found == pytest.approx(factor)


@given(
    step=st.integers(0, 500),
    num_steps=st.integers(1, 500),
    warmup_steps=st.integers(0, 500),
    decay_share=st.floats(0, 1),
)
def test_the_learning_rates_factor_is_a_share(
    step: int, num_steps: int, warmup_steps: int, decay_share: float
) -> None:
    factor = wsd_factor(
        step, num_steps=num_steps, warmup_steps=warmup_steps, decay_share=decay_share
    )
    assert 0 <= factor <= 1


# --- the model and its rows -----------------------------------------------------------------------


def test_the_seed_draws_the_weights(recipe: Recipe) -> None:
    first, second = (new_model(recipe, pad_id=0, eos_id=4) for _ in range(2))
    other = new_model(replace(recipe, run=replace(recipe.run, seed=8)), pad_id=0, eos_id=4)
    weight = "model.embed_tokens.weight"
    assert torch.equal(first.state_dict()[weight], second.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])
    assert first.lm_head.weight is first.model.embed_tokens.weight


@pytest.fixture
def trainer(recipe: Recipe, tokenizer: Tokenizer, tmp_path: Path) -> training.RowTrainer:
    """A trainer in float32 that has not begun."""
    exact = replace(recipe, run=replace(recipe.run, bf16=False))
    rows = Rows(exact, tokenizer)
    model = new_model(exact, pad_id=rows.pad_id, eos_id=rows.end_id)
    return training._trainer(exact, model, rows, tmp_path, silent(tmp_path), uses_cpu=True)


def silent(out: Path) -> Progress:
    """A progress that tells nobody."""
    return Progress(out, 1, lambda event: None)


def test_of_several_processes_one_forgets_the_steps_that_are_made_again(tmp_path: Path) -> None:
    report = StepReport(
        step=3, num_steps=4, loss=1.0, learning_rate=0.1, tokens_per_s=1.0, remaining_s=1.0
    )
    path = tmp_path / run_folder.METRICS
    path.write_text(json.dumps(asdict(report)) + "\n")
    for is_first, num_left in ((False, 1), (True, 0)):
        state = TrainerState(global_step=2, is_world_process_zero=is_first)
        silent(tmp_path).on_train_begin(None, state, None)
        assert len(run_folder.reports(tmp_path)) == num_left


def test_packed_records_do_not_see_each_other(trainer: training.RowTrainer) -> None:
    row = trainer.train_dataset[0]
    starts = torch.nonzero(row["position_ids"] == 0).flatten().tolist()
    assert len(starts) >= 3
    batch = {key: value[None] for key, value in row.items()}
    with torch.no_grad():
        total = float(trainer.compute_loss(trainer.model, dict(batch)))
        losses, weights = [], []
        for start, end in zip(starts, [*starts[1:], 512], strict=True):
            alone = {key: value[:, start:end] for key, value in batch.items()}
            if alone["weights"][:, 1:].any():
                losses.append(float(trainer.compute_loss(trainer.model, alone)))
                weights.append(float(alone["weights"].sum()))
    expected = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    assert total == pytest.approx(expected / sum(weights), abs=1e-6)


def test_a_record_has_the_same_logits_alone_and_behind_another(
    trainer: training.RowTrainer,
) -> None:
    row = trainer.train_dataset[0]
    _, start, end = torch.nonzero(row["position_ids"] == 0).flatten().tolist()[:3]
    token_ids, places = row["input_ids"][None], row["position_ids"][None]
    model = trainer.model
    with torch.no_grad():
        packed = model.model(
            input_ids=token_ids[:, :end], position_ids=places[:, :end], use_cache=False
        ).last_hidden_state[:, start:]
        alone = model.model(input_ids=token_ids[:, start:end], use_cache=False).last_hidden_state
    assert torch.allclose(model.lm_head(packed), model.lm_head(alone), atol=1e-5)
    assert not torch.allclose(packed[0, 0], packed[0, 1], atol=1e-3)


def test_rows_without_a_single_record_are_refused(trainer: training.RowTrainer) -> None:
    row = trainer.train_dataset[0]
    empty = {key: torch.zeros_like(value)[None] for key, value in row.items()}
    with pytest.raises(ConfigurationError, match="No record fits the rows of step 1"):
        trainer.compute_loss(trainer.model, empty)


def test_rows_are_read_in_their_order(trainer: training.RowTrainer) -> None:
    assert list(trainer._get_train_sampler()) == list(range(12))


# --- a whole run ----------------------------------------------------------------------------------


def steps(events: list[Event] | tuple[Event, ...]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepReport)]


def test_a_run_tells_its_phases_and_every_step_of_a_short_one(finished: Any) -> None:
    phases = [event.text for event in finished.events if isinstance(event, Phase)]
    assert phases == ["Learning the tokenizer", "Starting at step 1"]
    assert steps(finished.events) == [1, 2, 3, 4, 5, 6]
    last = finished.events[-1]
    assert (last.num_steps, last.remaining_s) == (6, 0.0)
    assert last.tokens_per_s > 0


def test_the_loss_starts_at_that_of_a_guess_and_falls(finished: Any) -> None:
    reports = [event for event in finished.events if isinstance(event, StepReport)]
    assert reports[0].loss == pytest.approx(math.log(600), abs=0.15)
    assert reports[-1].loss < reports[0].loss


def test_the_metrics_are_what_was_told(finished: Any) -> None:
    assert run_folder.reports(finished.out) == [
        event for event in finished.events if isinstance(event, StepReport)
    ]


def test_the_last_two_checkpoints_and_the_model_are_in_the_folder(finished: Any) -> None:
    assert {path.name for path in finished.out.iterdir()} == {
        "recipe.json", "tokenizer", "metrics.jsonl", "checkpoint-3", "checkpoint-6", "model",
    }  # fmt: skip
    assert finished.model == finished.out / "model"


def test_the_finished_model_loads_in_transformers_and_in_avalan_alike(finished: Any) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(finished.model, dtype=torch.float32)
    names = AutoTokenizer.from_pretrained(finished.model)
    assert theirs.config.use_cache
    token_ids = names.encode("<|user|>Who founded it?<|assistant|>", add_special_tokens=False)
    with torch.no_grad():
        expected = theirs(torch.tensor([token_ids])).logits[0, -1]
    with open_model(str(finished.model)) as ours:
        assert ours.tokenizer.encode("Who founded it?") == token_ids[1:-1]
        logits = ours.stepping.feed(ours.stepping.start(), token_ids)
        assert ours.tokenizer.eos_ids == {theirs.config.eos_token_id}
    assert torch.allclose(torch.tensor(logits), expected, atol=1e-3)


def test_the_finished_weights_are_those_of_the_last_checkpoint_in_half_precision(
    finished: Any,
) -> None:
    half = AutoModelForCausalLM.from_pretrained(finished.model)
    full = AutoModelForCausalLM.from_pretrained(finished.out / "checkpoint-6")
    assert half.dtype == torch.float16
    for name, weight in full.state_dict().items():
        assert torch.equal(half.state_dict()[name], weight.to(torch.float16))


# --- cut off, and on ------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for whatever ends a run from outside."""


def until(step: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """A listener that acts when a step is reported."""

    def show(event: Event) -> None:
        if isinstance(event, StepReport) and event.step == step:
            act()

    return show


def kill() -> None:
    raise Killed


def contents(out: Path) -> dict[str, bytes]:
    """What must not differ: weights, optimizer and schedule."""
    names = (
        "model/model.safetensors",
        "checkpoint-6/model.safetensors",
        "tokenizer/tokenizer.json",
    )
    return {name: (out / name).read_bytes() for name in names}


def states(out: Path) -> dict[str, Any]:
    read = {"map_location": "cpu", "weights_only": True}
    return {
        name: torch.load(out / "checkpoint-6" / name, **read)
        for name in ("optimizer.pt", "scheduler.pt")
    }


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def test_a_run_that_was_killed_goes_on_to_the_very_same_weights(
    finished: Any, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        pretrain(recipe, tmp_path, until(5, kill), device="cpu")
    # A kill while a checkpoint is written leaves a part of it.
    shutil.copytree(tmp_path / "checkpoint-3", tmp_path / "checkpoint-5")
    (tmp_path / "checkpoint-5" / "trainer_state.json").unlink()
    events: list[Event] = []
    pretrain(recipe, tmp_path, events.append, device="cpu")
    assert events[0] == Phase(text=f"Going on from {tmp_path / 'checkpoint-3'}")
    assert steps(events) == [4, 5, 6]
    assert contents(tmp_path) == contents(finished.out)
    assert same(states(tmp_path), states(finished.out))
    # No step is told twice, and the mean losses are those of the run in one piece.
    reports = run_folder.reports(tmp_path)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    expected = [report.loss for report in run_folder.reports(finished.out)]
    assert [report.loss for report in reports] == expected


def test_an_interrupt_waits_for_the_step_and_keeps_it(
    finished: Any, recipe: Recipe, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            recipe, tmp_path, until(4, partial(signal.raise_signal, signal.SIGINT)), device="cpu"
        )
    assert signal.getsignal(signal.SIGINT) == before
    assert run_folder.last_checkpoint(tmp_path) in (
        tmp_path / "checkpoint-4", tmp_path / "checkpoint-5",
    )  # fmt: skip
    assert not (tmp_path / "model").exists()
    pretrain(recipe, tmp_path, lambda event: None, device="cpu")
    assert contents(tmp_path) == contents(finished.out)


def test_a_second_interrupt_does_not_wait(recipe: Recipe, tmp_path: Path) -> None:
    progress = silent(tmp_path)

    def interrupt_twice() -> None:
        with training.stopping_between_steps(progress):
            signal.raise_signal(signal.SIGINT)
            assert progress.is_stopping
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second interrupt was lost")

    with pytest.raises(KeyboardInterrupt):
        interrupt_twice()


def test_a_full_disk_keeps_the_last_good_checkpoint_and_the_run_goes_on_later(
    finished: Any, recipe: Recipe, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))

    try:
        with pytest.raises(StateError) as caught:
            pretrain(recipe, tmp_path, until(5, fill_the_disk), device="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith("The checkpoint of step 6 could not be written to ")
    assert str(caught.value).endswith("to go on from the last checkpoint.")
    assert "\n" not in str(caught.value)
    assert run_folder.last_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / "checkpoint-6").exists()
    pretrain(recipe, tmp_path, lambda event: None, device="cpu")
    assert contents(tmp_path) == contents(finished.out)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(
    recipe: Recipe, tokenizer: Tokenizer, finished: Any, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished.out, tmp_path / "run"))
    rows = Rows(recipe, tokenizer)
    model = new_model(recipe, pad_id=rows.pad_id, eos_id=rows.end_id)
    trainer = training._trainer(recipe, model, rows, out, silent(out), uses_cpu=True)
    trainer.state.global_step = 7
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    batch = {key: value[None] for key, value in rows[0].items()}
    with pytest.raises(ConfigurationError) as caught:
        trainer.compute_loss(model, batch)
    assert str(caught.value) == (
        "The loss is not a finite number at step 8, so the run has stopped "
        f"({out / 'checkpoint-6'} is kept); lower run.learning_rate and start in another folder "
        "with --out."
    )
    with pytest.raises(ConfigurationError, match="A weight is not a finite number at step 7"):
        trainer._save_checkpoint(model, None)
    assert not (out / "checkpoint-7").exists()


def test_a_run_that_diverges_ends_with_a_sentence(recipe: Recipe, tmp_path: Path) -> None:
    wild = replace(recipe, run=replace(recipe.run, weight_decay=1e20))
    with pytest.raises(ConfigurationError, match=r"not a finite number at step [1-6]"):
        pretrain(wild, tmp_path, lambda event: None, device="cpu")


def test_a_device_that_is_not_there_is_a_sentence(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="on cpu or cuda, not on 'toaster'"):
        pretrain(recipe, tmp_path / "run", lambda event: None, device="toaster")
    assert not (tmp_path / "run").exists()


def test_torchs_own_writer_on_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    """It fails when it closes the file, with whatever its parts say."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with (
            pytest.raises(StateError, match="the disk takes no more"),
            training.writing("It", tmp_path / "x"),
        ):
            torch.save(torch.zeros(100_000), tmp_path / "weights.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_what_is_not_about_the_disk_stays_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"), training.writing("It", tmp_path / "x"):
        raise RuntimeError("a bug")
