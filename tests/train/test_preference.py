"""Teaching by what is better: each method learns a preference that a random model does not have."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from avalan import testing
from avalan.data.preferences import as_conversations
from avalan.errors import ConfigurationError
from avalan.train import run_folder
from avalan.train.kinds import load_any
from avalan.train.orpo import log_odds, mean_logprobs, orpo_loss
from avalan.train.plan import plan
from avalan.train.preference import pairs, prefer, prompt_ids
from avalan.train.preference_recipe import PreferenceRecipe
from avalan.train.progress import Event

GOOD, BAD = " The library is in the old town.", " I know nothing."
PROMPTS = [f"Where is the library? {number}" for number in range(8)]

REWARD = """
def reward(prompts, completions, wanted, **_columns):
    return [float(text.count(letter)) for text, letter in zip(completions, wanted)]
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_llama(tmp_path_factory.mktemp("base"), num_hidden_layers=1)


@pytest.fixture
def recipe(base: Path, tmp_path: Path) -> Callable[..., PreferenceRecipe]:
    def made(method: str, **changes: str) -> PreferenceRecipe:
        rows: list[Mapping[str, Any]] = [
            {"prompt": prompt, "chosen": GOOD, "rejected": BAD} for prompt in PROMPTS
        ]
        if method == "kto":
            rows = [
                {"prompt": prompt, "completion": text, "label": text == GOOD}
                for prompt in PROMPTS
                for text in (GOOD, BAD)
            ]
        if method == "grpo":
            rows = [{"prompt": prompt, "wanted": "e"} for prompt in PROMPTS]
            (tmp_path / "reward.py").write_text(REWARD)
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = load_any(
            method,
            {
                "base.model": str(base),
                "lessons.data": str(data),
                "lessons.max_tokens": "64",
                "run.num_steps": "4",
                "run.rows_per_step": "4",
                "run.save_steps": "2",
                "run.warmup_steps": "0",
                "run.learning_rate": "5e-3",
                "change.rank": "4",
                **({"method.reward": str(tmp_path / "reward.py"), "method.num_generations": "4",
                    "method.max_new_tokens": "8"} if method == "grpo" else {}),
                **changes,
            },
        )  # fmt: skip
        assert isinstance(found, PreferenceRecipe)
        return found

    return made


def unheard(_event: Event) -> None:
    """Nobody listens."""


def margin(folder: Path) -> float:
    """By how much the chosen answer is likelier, in nats a token."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    rows = as_conversations([{"prompt": PROMPTS[0], "chosen": GOOD, "rejected": BAD}])
    batch = pairs(rows, tokenizer=tokenizer, longest=64)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    chosen, rejected = mean_logprobs(logits, batch["labels"])
    return float(chosen - rejected)


@pytest.mark.parametrize("change", ["lora", "full"])
@pytest.mark.parametrize("method", ["dpo", "kto", "orpo"])
def test_the_chosen_answer_becomes_likelier(
    method: str, change: str, recipe: Callable[..., PreferenceRecipe], base: Path, tmp_path: Path
) -> None:
    chosen = recipe(method, **{"change.method": change})
    folder = prefer(chosen, tmp_path / "run", unheard, device="cpu")
    assert margin(folder) > margin(base) + 0.1
    reports = run_folder.reports(tmp_path / "run")
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert (tmp_path / "run" / "adapter").exists() == (change == "lora")


def conversation(answer: str, tokenizer: Any) -> list[int]:
    said = [{"role": "user", "content": PROMPTS[0]}, {"role": "assistant", "content": answer}]
    found: list[int] = tokenizer.apply_chat_template(said, tokenize=True, return_dict=False)
    return found


def test_a_prompt_stands_under_the_chat_template(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    rows = [
        {"prompt": "Hi", "chosen": "a", "rejected": "b"},
        {"prompt": messages, "chosen": "a", "rejected": "b"},
    ]
    first, second = as_conversations(rows)
    assert first["prompt"] == messages[1:]
    assert second["prompt"] == messages
    assert second["chosen"] == [{"role": "assistant", "content": "a"}]
    asked = tokenizer.decode(prompt_ids(first["prompt"], tokenizer))
    assert asked == tokenizer.apply_chat_template(
        messages[1:], add_generation_prompt=True, tokenize=False
    )
    tokenizer.pad_token = tokenizer.eos_token
    batch = pairs([first], tokenizer=tokenizer, longest=64)
    assert tokenizer.decode(batch["input_ids"][0]).startswith(asked)


def test_a_reward_model_grades_the_chosen_higher(
    recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    folder = prefer(
        recipe("reward", **{"run.num_steps": "8"}), tmp_path / "run", unheard, device="cpu"
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        good, bad = (
            float(model(input_ids=torch.tensor([conversation(text, tokenizer)])).logits)
            for text in (GOOD, BAD)
        )
    assert good > bad


def test_what_is_drawn_is_rewarded_by_a_file(
    recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    chosen = recipe("grpo", **{"run.num_steps": "2", "change.method": "full"})
    folder = prefer(chosen, tmp_path / "run", unheard, device="cpu")
    assert (folder / "model.safetensors").is_file()
    assert len(run_folder.reports(tmp_path / "run")) == 2


def test_a_run_that_is_cut_off_goes_on_to_the_same_losses(
    recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    chosen = recipe("dpo")
    prefer(chosen, tmp_path / "whole", unheard, device="cpu")

    def stop(event: Event) -> None:
        if getattr(event, "step", 0) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prefer(chosen, tmp_path / "cut", stop, device="cpu")
    prefer(chosen, tmp_path / "cut", unheard, device="cpu")
    whole, cut = (
        [report.loss for report in run_folder.reports(tmp_path / name)] for name in ("whole", "cut")
    )
    assert cut == pytest.approx(whole, abs=1e-5)


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(
    recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    chosen = recipe("orpo", **{"run.learning_rate": "1e30", "change.method": "full"})
    with pytest.raises(ConfigurationError, match="A weight is not a finite number at step"):
        prefer(chosen, tmp_path / "run", unheard, device="cpu")


# --- ORPO's loss ----------------------------------------------------------------------------------


def test_the_log_odds_by_hand_and_far_out() -> None:
    found = log_odds(torch.log(torch.tensor([0.5, 0.75, 0.2])))
    assert found.tolist() == pytest.approx([0.0, np.log(3), np.log(0.25)], abs=1e-6)
    assert float(log_odds(torch.tensor(-60.0))) == pytest.approx(-60.0)
    near = torch.tensor(-1e-12, requires_grad=True)
    log_odds(near).backward()
    assert near.grad is not None
    assert torch.isfinite(near.grad)


@pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")
def test_the_loss_is_trls() -> None:
    from trl.experimental.orpo import ORPOTrainer

    class Self:
        beta = 0.3

        class accelerator:
            device = "cpu"

    torch.manual_seed(0)
    chosen, rejected = -torch.rand(6) * 3, -torch.rand(6) * 3
    losses, *_others = ORPOTrainer.odds_ratio_loss(Self(), chosen, rejected)
    nll = torch.tensor(1.7)
    found = orpo_loss(chosen, rejected, nll, beta=0.3)
    assert float(found) == pytest.approx(float(nll - losses.mean()), abs=1e-5)


def test_the_mean_logprobs_are_those_of_the_answer_alone() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 7)
    labels = torch.tensor([[-100, -100, 3, 4, 1], [-100, 2, 6, -100, -100]])
    losses = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
    )
    rows = losses.view(2, 4)
    expected = [-float(rows[0, 1:].mean()), -float(rows[1, :2].mean())]
    assert mean_logprobs(logits, labels).tolist() == pytest.approx(expected, abs=1e-5)


# --- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2 of .* is not JSON"),
        ('{"prompt": "a", "chosen": "b"}', "Line 2 of .* needs a field 'rejected' that is a text"),
        ('{"prompt": "a", "chosen": 3, "rejected": "c"}', "needs a field 'chosen'"),
        ('{"prompt": [{"role": 1}], "chosen": "b", "rejected": "c"}', "needs a field 'prompt'"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c", "more": 1}', "has other fields"),
    ],
)
def test_a_broken_line_is_named(
    line: str, sentence: str, recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    chosen = recipe("dpo")
    data = Path(chosen.lessons.data)
    data.write_text(data.read_text().splitlines()[0] + f"\n{line}\n")
    with pytest.raises(ConfigurationError, match=sentence):
        prefer(chosen, tmp_path / "run", unheard, device="cpu")


def test_a_prompt_that_leaves_no_room_for_an_answer_is_named(
    recipe: Callable[..., PreferenceRecipe], tmp_path: Path
) -> None:
    chosen = recipe("orpo")
    row = {"prompt": "river " * 80, "chosen": GOOD, "rejected": BAD}
    with Path(chosen.lessons.data).open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(
        ConfigurationError, match=r"The prompt of row 9 has .* nothing of an answer"
    ):
        prefer(chosen, tmp_path / "run", unheard, device="cpu")


@pytest.mark.parametrize(
    ("method", "changes", "sentence"),
    [
        ("dpo", {"lessons.data": '"absent"'}, "There are no preferences at absent"),
        ("dpo", {"method.name": '"ppo"'}, "must be one of: dpo, kto, orpo, grpo, reward"),
        ("grpo", {"method.reward": '""'}, "GRPO needs a reward"),
        ("grpo", {"method.reward": '"absent.py"'}, "The reward in absent.py cannot be used"),
        ("grpo", {"run.rows_per_step": "6"}, "does not divide"),
        ("dpo", {"base.model": '""'}, "names no base"),
        ("kto", {"run.rows_per_step": "1"}, "must be at least 2"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    method: str,
    changes: dict[str, str],
    sentence: str,
    recipe: Callable[..., PreferenceRecipe],
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        prefer(recipe(method, **changes), tmp_path / "run", unheard, device="cpu")


def test_the_plan_tells_its_sizes(recipe: Callable[..., PreferenceRecipe], tmp_path: Path) -> None:
    found = plan(recipe("dpo"), tmp_path / "run")
    assert (found.num_steps, found.tokens_per_step) == (4, 2 * 4 * 64)
    assert 0 < found.num_trained < found.num_parameters
