"""Teaching a model that exists: rows, what learns, and a run that is cut off and goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
)

from avalan import testing
from avalan.compress.merge import find_adapter, merge
from avalan.data.mixture import one
from avalan.errors import ConfigurationError, ModelError, StateError
from avalan.model.engine.new_rows import take_rows
from avalan.model.entities import EngineSettings, Message
from avalan.model.load import open_model
from avalan.model.prompt import load_tokenizer
from avalan.model.vocabulary import add_tokens
from avalan.reflection.avalon_judge import SYSTEM_PROMPT, has_avalon
from avalan.reflection.record import Record, to_json
from avalan.reflection.render import render
from avalan.reflection.tokens import ALL, AVALON, reflection_ids
from avalan.train import packed_attention, run_folder, tuning, tuning_trainer
from avalan.train.kinds import load_any
from avalan.train.new_layers import expand
from avalan.train.plan import plan
from avalan.train.progress import Event
from avalan.train.tuning import sees_others, tune, widen
from avalan.train.tuning_plan import elders
from avalan.train.tuning_recipe import TuningRecipe
from avalan.train.tuning_rows import order, packed
from avalan.train.tuning_tokens import Tokens, all_tokens, end_of_turn, tokens_of

LENGTH = 512


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with nothing of reflection."""
    return testing.pico_llama(tmp_path_factory.mktemp("base"), max_position_embeddings=LENGTH)


def records(num: int = 40) -> Iterator[Record]:
    """Short ones: decisions, and sums without reflection."""
    for number in range(num):
        split = "validation" if number % 10 == 9 else "train"
        kind = "sums" if number % 4 == 3 else "decisions"
        yield one(kind, Random(number), "train", identifier=f"r{number}", split=split)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "records.jsonl"
    path.write_text("".join(json.dumps(to_json(record)) + "\n" for record in records()))
    return path


@pytest.fixture
def recipe(base: Path, data: Path) -> Callable[..., TuningRecipe]:
    def made(name: str = "avalon-better", **changes: str) -> TuningRecipe:
        found = load_any(
            name,
            {
                "base.model": str(base),
                "lessons.data": str(data),
                "lessons.max_tokens": str(LENGTH),
                "lessons.held_out": "0",
                "tokens.system_prompt": '""',
                "change.rank": "4",
                "run.num_steps": "4",
                "run.rows_per_step": "2",
                "run.save_steps": "2",
                "run.warmup_steps": "0",
                "run.learning_rate": "1e-3",
                **changes,
            },
        )
        assert isinstance(found, TuningRecipe)
        return found

    return made


def unheard(_event: Event) -> None:
    """Nobody listens."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


# --- records as tokens ----------------------------------------------------------------------------


def test_what_counts_follows_from_spans(base: Path, recipe: Callable[..., TuningRecipe]) -> None:
    tokenizer = load_tokenizer(base, change=lambda text: add_tokens(text, (), ALL))
    ids = reflection_ids(tokenizer.token_id)
    chosen = recipe("full", **{"loss.reflection": "2.0", "loss.prompt": "0.0"})
    record = next(r for r in records() if not r.is_plain and r.segments[0].text)
    pieces = render(record, tokenizer, ids, end_of_turn(tokenizer))
    made = tokens_of(record, pieces, chosen.loss)
    place = 0
    for piece in pieces:
        expected = {"prompt": 0.0, "reflection": 2.0, "text": 1.0, "eos": 1.0}[piece.kind]
        for number, token_id in enumerate(piece.token_ids):
            assert made.input_ids[place] == token_id
            assert made.weights[place] == (expected * piece.weight if place else 0.0)
            assert made.is_inside[place] == (piece.kind == "text" and number > 0)
            place += 1
    assert not any(made.is_plain)
    assert len(made.input_ids) == place


def test_the_words_of_ordinary_text_are_plain(
    base: Path, recipe: Callable[..., TuningRecipe]
) -> None:
    tokenizer = load_tokenizer(base, change=lambda text: add_tokens(text, (), ALL))
    record = next(record for record in records() if record.is_plain)
    (made,) = all_tokens(recipe("full"), [record], tokenizer)
    assert record.segments[0].text is not None
    said = [i for i, plain in zip(made.input_ids, made.is_plain, strict=True) if plain]
    assert tokenizer.decode(said) == record.segments[0].text


def quoting(num: int) -> list[Record]:
    """Pages and what is quoted of them."""
    made = (one("simple", Random(n), "train", identifier=f"q{n}", split="train") for n in range(99))
    return list(islice((record for record in made if record.segments[0].span), num))


def test_what_is_quoted_is_marked_in_its_page(
    base: Path, recipe: Callable[..., TuningRecipe]
) -> None:
    tokenizer = load_tokenizer(base, change=lambda text: add_tokens(text, (), ALL))
    records = quoting(5)
    for record, made in zip(records, all_tokens(recipe("full"), records, tokenizer), strict=True):
        (segment,) = record.segments
        places = [place for place, mark in enumerate(made.quoted) if mark == 1]
        said = tokenizer.decode(made.input_ids[slice(places[0], places[-1] + 1)])
        assert said.strip() == segment.text
        # The question and what is said are no page.
        shown = tokenizer.decode(
            [i for i, mark in zip(made.input_ids, made.quoted, strict=True) if mark >= 0]
        )
        assert shown == "".join(
            "\n".join(part for part in (page.title, page.text) if part) for page in segment.passages
        )


def test_pointing_teaches_the_lower_half_where_the_answer_stands(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    lessons = tmp_path / "quoting.jsonl"
    lessons.write_text("".join(json.dumps(to_json(record)) + "\n" for record in quoting(3)))
    shared = {"lessons.data": str(lessons), "run.num_steps": "40", "run.optimizer": "adamw"}
    found = {}
    for weight in ("0.0", "1.0"):
        chosen = recipe("full", **{**shared, "loss.pointing": weight, "loss.kl": "0.0"})
        folder = tune(chosen, tmp_path / weight, unheard, device="cpu")
        tokenizer = load_tokenizer(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        full, _partial, none = (
            model.get_output_embeddings().weight[i]
            for i in reflection_ids(tokenizer.token_id).support
        )
        inside, outside = [], []
        for made in all_tokens(chosen, quoting(3), tokenizer):
            with torch.no_grad():
                read = model(input_ids=torch.tensor([made.input_ids]), output_hidden_states=True)
            # Two layers: what goes into the second.
            told = torch.nn.functional.rms_norm(read.hidden_states[1][0], (full.shape[0],))
            odds = (told @ (full - none)).tolist()
            inside += [each for each, mark in zip(odds, made.quoted, strict=True) if mark == 1]
            outside += [each for each, mark in zip(odds, made.quoted, strict=True) if mark == 0]
        found[weight] = sum(inside) / len(inside) - sum(outside) / len(outside)
    assert found["1.0"] > found["0.0"] + 1


def test_the_cards_prompt_stands_above_what_reflects_alone(
    base: Path, recipe: Callable[..., TuningRecipe]
) -> None:
    tokenizer = load_tokenizer(base, change=lambda text: add_tokens(text, (), AVALON))
    chosen = recipe(**{"tokens.system_prompt": "avalon"})
    found = list(records(8))
    for record, made in zip(found, all_tokens(chosen, found, tokenizer), strict=True):
        text = tokenizer.decode(made.input_ids)
        assert (SYSTEM_PROMPT in text) != record.is_plain


def test_a_profile_without_tokens_takes_ordinary_text_only(
    base: Path, recipe: Callable[..., TuningRecipe]
) -> None:
    chosen = recipe(**{"tokens.profile": "none"})
    with pytest.raises(ConfigurationError, match="'none' has no tokens"):
        list(all_tokens(chosen, records(), load_tokenizer(base)))


def row(length: int) -> Tokens:
    flags = [False] * length
    return Tokens([7] * length, [1.0] * length, flags, flags, [0] * length)


def test_records_are_packed_whole_and_a_longer_one_is_left_out() -> None:
    found = list(packed(map(row, (4, 5, 30, 3, 6)), row_length=10, pad_id=0, alone=False))
    assert [sum(made["weights"]) for made in found] == [9, 9]
    assert found[0]["position_ids"] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 0]
    assert found[0]["input_ids"][-1] == 0
    assert found[0]["quoted"] == [0] * 9 + [-1]
    alone = list(packed(map(row, (4, 5)), row_length=10, pad_id=0, alone=True))
    assert [sum(made["weights"]) for made in alone] == [4, 5]


def test_short_records_fill_the_rows_of_long_ones() -> None:
    found = list(packed(map(row, (6, 7, 8, 4, 3, 2)), row_length=10, pad_id=0, alone=False))
    assert [sum(made["weights"]) for made in found] == [10, 10, 10]
    # Only so many rows stay open, however many there are.
    many = packed(map(row, [6] * 100), row_length=10, pad_id=0, alone=False)
    taken = iter([6] * 100)
    next(packed(map(row, taken), row_length=10, pad_id=0, alone=False))
    assert len(list(taken)) == 67
    assert len(list(many)) == 100


def test_each_epoch_reads_every_row_in_an_order_of_its_own() -> None:
    found = order(7, 21, seed=3)
    epochs = [found[:7], found[7:14], found[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order(7, 10, seed=3) == found[:10]
    assert order(7, 21, seed=4) != found


def test_a_turn_ends_with_the_templates_token(base: Path, tmp_path: Path) -> None:
    assert end_of_turn(load_tokenizer(base)) == 1
    settings = json.loads((base / "tokenizer_config.json").read_text())
    for file in ("tokenizer.json", "config.json"):
        (tmp_path / file).write_bytes((base / file).read_bytes())
    del settings["chat_template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="has no chat template"):
        end_of_turn(load_tokenizer(tmp_path))


@pytest.mark.parametrize(("kind", "mixes"), [("llama", False), ("qwen3.5", True), ("mamba", True)])
def test_a_model_is_asked_whether_records_of_a_row_mix(
    kind: str, mixes: bool, base: Path, pico_qwen_folder: Path
) -> None:
    if kind == "mamba":
        shape = {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 1, "vocab_size": 32}
        model = MambaForCausalLM(MambaConfig(**shape))
    else:
        folder = base if kind == "llama" else pico_qwen_folder
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert sees_others(model) == mixes


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "qwen3.5"])
def test_records_of_a_row_do_not_see_each_other(
    kind: str, recipe: Callable[..., TuningRecipe], tmp_path: Path, base: Path
) -> None:
    """In a model with a state that runs through a row, each record has a row of its own."""
    folder = base if kind == "llama" else testing.pico_qwen3_5(tmp_path / "base")
    chosen = recipe("full", **{"base.model": str(folder), "run.num_steps": "1", "loss.kl": "0.0"})
    tune(chosen, tmp_path / "run", unheard, device="cpu")
    rows = tuning.Rows(tmp_path / "run" / "rows" / "train", num_read=4, seed=0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    read = rows[0]
    (starts,) = torch.where(read["position_ids"] == 0)
    assert (len(starts) > 2) == (kind == "llama")
    first = slice(0, int(starts[1]))
    with torch.no_grad():
        packed_logits, alone = (
            model(
                input_ids=read["input_ids"][None, part],
                position_ids=read["position_ids"][None, part],
                use_cache=False,
            ).logits[0, first]
            for part in (slice(None), first)
        )
        last = slice(int(starts[-2]), int(starts[-1]))
        late = model(
            input_ids=read["input_ids"][None, last],
            position_ids=read["position_ids"][None, last],
            use_cache=False,
        ).logits[0]
        whole = model(
            input_ids=read["input_ids"][None],
            position_ids=read["position_ids"][None],
            use_cache=False,
        ).logits[0, last]
    assert torch.allclose(packed_logits, alone, atol=1e-4)
    assert kind != "llama" or torch.allclose(late, whole, atol=1e-4)


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`", "ignore:You have requested", "ignore:Model has `tie_word"
)
@pytest.mark.parametrize("name", ["avalon", "avalon-better", "rows"])
def test_an_adapter_on_a_fresh_base_is_the_merged_model(
    name: str, recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    changes = {"change.method": "rows"} if name == "rows" else {}
    chosen = recipe("avalon-better" if name == "rows" else name, **changes)
    model = tune(chosen, tmp_path / "run", unheard, device="cpu")
    fresh = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapter = tmp_path / "run" / "adapter"
    take_rows(fresh, adapter)
    adapted = peft.PeftModel.from_pretrained(fresh, str(adapter)).eval()
    merge(base, find_adapter(tmp_path / "run"), tmp_path / "merged", weight_type="fp32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    token_ids = torch.arange(391)[None]
    with torch.no_grad():
        ours, theirs = adapted(token_ids).logits, merged(token_ids).logits
    assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    # What the run itself wrote is the same, in 16 bits.
    half = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(half(token_ids).logits, theirs, atol=0.5)


@pytest.mark.parametrize(
    ("method", "moving"),
    [("full", {"inside", "old rows", "new rows"}), ("rows", {"new rows"}),
     ("lora+rows", {"inside", "new rows"}), ("lora+frozen", {"inside"}),
     ("lora+whole", {"inside", "old rows", "new rows"})],
)  # fmt: skip
def test_what_the_recipe_wants_learns_and_nothing_else(
    method: str, moving: set[str], recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    kind, _plus, embeddings = method.partition("+")
    changes = {"change.method": kind, "run.optimizer": "adamw"}
    changes |= {"change.embeddings": embeddings} if embeddings else {}
    model = tune(recipe("full", **changes), tmp_path / "run", unheard, device="cpu")
    old, new = weights(base), weights(model)
    start = load_file(tmp_path / "run" / "new_rows.safetensors")["input"]
    table = "model.embed_tokens.weight"

    def moved(before: torch.Tensor, after: torch.Tensor) -> bool:
        return not torch.allclose(before.float(), after.float(), atol=2e-3)

    found = {
        "inside": any(moved(old[name], new[name]) for name in old if ".q_proj." in name),
        "old rows": moved(old[table], new[table][:384]),
        "new rows": moved(start, new[table][384:]),
    }
    assert {part for part, has_moved in found.items() if has_moved} == moving
    assert new[table].shape[0] == 399


def cut_at(step: int) -> Callable[[Event], None]:
    """Cuts a run off where it tells of a step, of which no checkpoint is written yet."""

    def stop(event: Event) -> None:
        if getattr(event, "step", 0) == step:
            raise KeyboardInterrupt

    return stop


def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(**{"lessons.held_out": "3"})
    whole = tune(chosen, tmp_path / "whole", unheard, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        tune(chosen, tmp_path / "cut", cut_at(3), device="cpu")
    kept = run_folder.last_checkpoint(tmp_path / "cut")
    assert kept is not None
    assert run_folder.step_of(kept) == 2
    again = tune(chosen, tmp_path / "cut", unheard, device="cpu")
    ours, theirs = weights(whole), weights(again)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    losses = [
        [(report.step, report.loss, report.held_out_loss) for report in run_folder.reports(out)]
        for out in (tmp_path / "whole", tmp_path / "cut")
    ]
    assert losses[0] == losses[1]
    assert any(held is not None for _step, _loss, held in losses[0])


def test_rows_may_be_computed_a_few_at_a_time(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    found = []
    for at_once in ("0", "1"):
        chosen = recipe("full", **{"run.rows_at_once": at_once, "run.optimizer": "adamw"})
        tune(chosen, tmp_path / at_once, unheard, device="cpu")
        found.append([report.loss for report in run_folder.reports(tmp_path / at_once)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("name", ["avalon", "avalon-better", "full"])
def test_the_head_reads_what_counts_and_the_losses_stay(
    name: str, recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    linear = torch.nn.functional.linear

    def counting(*given: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        hidden, weight = (*given, *named.values())[:2]
        if weight.shape[0] >= 384:  # The vocabulary; no other matrix is so tall.
            read.append(hidden.numel() // hidden.shape[-1])
        return linear(*given, **named)

    def no_hook(*_: object) -> SimpleNamespace:
        return SimpleNamespace(remove=lambda: None)

    losses = []
    for place, whole in (("some", False), ("all", True)):
        with monkeypatch.context() as patched:
            patched.setattr(torch.nn.functional, "linear", counting)
            if whole:
                patched.setattr(torch.nn.Module, "register_forward_pre_hook", no_hook)
            tune(recipe(name), tmp_path / place, unheard, device="cpu")
        losses.append([report.loss for report in run_folder.reports(tmp_path / place)])
        num_read, read = sum(read), []
        assert (num_read >= 4 * 2 * LENGTH) is whole
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.filterwarnings("ignore:Model has `tie_word")
@pytest.mark.parametrize("name", ["avalon-better", "full"])
def test_a_run_has_the_losses_that_it_has_under_a_mask(
    name: str, recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = Mock(wraps=packed_attention.attend_within)
    monkeypatch.setattr(packed_attention, "attend_within", within)
    losses, num_calls = [], []
    for attention in ("auto", "sdpa"):
        chosen = recipe(name, **{"run.attention": f'"{attention}"', "change.dropout": "0.0"})
        tune(chosen, tmp_path / attention, unheard, device="cpu")
        losses.append([each.loss for each in run_folder.reports(tmp_path / attention)])
        num_calls.append(within.call_count)
    assert num_calls[0] > 0
    assert num_calls[1] == num_calls[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_base_that_looks_otherwise_is_not_asked_to_look_at_all(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    folder = testing.pico_qwen3_5(tmp_path / "base")
    chosen = recipe("full", **{"base.model": str(folder), "run.attention": '"packed"'})
    with pytest.raises(ConfigurationError, match=r"set run\.attention = 'auto'"):
        tune(chosen, tmp_path / "run", unheard, device="cpu")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [("avalon-better", {}), ("full", {"tokens.profile": '"self-rag"', "loss.pointing": "0.3"})],
)
def test_compiled_layers_have_the_losses_of_others_and_go_on_to_the_same_bits(
    name: str, changes: dict[str, str], recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    settings = {"change.dropout": "0.0", "lessons.held_out": "3", **changes}
    losses = []
    for place in ("true", "false"):
        chosen = recipe(name, **settings, **{"run.compile": place})
        tune(chosen, tmp_path / place, unheard, device="cpu")
        losses.append([each.loss for each in run_folder.reports(tmp_path / place)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    whole = weights(tmp_path / "true" / "model")
    shutil.rmtree(tmp_path / "true" / "model")
    shutil.rmtree(tmp_path / "true" / "checkpoint-4")
    tune(recipe(name, **settings, **{"run.compile": "true"}), tmp_path / "true", unheard)
    again = weights(tmp_path / "true" / "model")
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_without_a_compiler_nothing_is_compiled_and_a_sentence_says_so(
    recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/nowhere/c++",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    with pytest.raises(ConfigurationError, match=r"/nowhere/c\+\+.*set run\.compile = false"):
        tune(recipe("full", **{"run.compile": "true"}), tmp_path / "run", unheard, device="cpu")


HASTY = {
    "run.learning_rate": "3.0", "run.save_steps": "1", "lessons.held_out": "3",
    "run.num_steps": "9", "run.optimizer": "adamw", "run.schedule": "constant", "loss.kl": "0.0",
}  # fmt: skip
"""Of a run whose loss soon gets worse."""


def test_the_best_weights_are_kept_and_patience_ends_a_run(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe("full", **{**HASTY, "run.patience": "2"})
    tune(chosen, tmp_path / "run", unheard, device="cpu")
    reports = run_folder.reports(tmp_path / "run")
    held = {r.step: r.held_out_loss for r in reports if r.held_out_loss is not None}
    best = min(held, key=lambda step: held[step] or 0.0)
    assert max(held) == best + 2 < 9
    (state,) = (tmp_path / "run" / f"checkpoint-{max(held)}").glob("trainer_state.json")
    assert json.loads(state.read_text())["best_global_step"] == best
    kept = weights(tmp_path / "run" / f"checkpoint-{best}")["model.norm.weight"]
    made = weights(tmp_path / "run" / "model")["model.norm.weight"]
    assert torch.allclose(kept, made.float(), atol=1e-2)


def test_patience_goes_on_where_a_run_was_cut_off(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe("full", **{**HASTY, "run.patience": "3"})
    tune(chosen, tmp_path / "whole", unheard, device="cpu")
    steps = [report.step for report in run_folder.reports(tmp_path / "whole")]
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        tune(chosen, cut, cut_at(max(steps)), device="cpu")
    tune(chosen, cut, unheard, device="cpu")
    assert max(steps) < 9
    assert [report.step for report in run_folder.reports(cut)] == steps


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_step(
    recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = tuning_trainer.cross_entropy_sum, iter(range(100))

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = whole(*arguments)
        return found * (torch.nan if next(calls) == 2 else 1)

    monkeypatch.setattr(tuning_trainer, "cross_entropy_sum", spoilt)
    with pytest.raises(ConfigurationError, match=r"not a finite number at step 3, .*checkpoint-2"):
        tune(recipe(), tmp_path / "run", unheard, device="cpu")


TWO = """
import sys
from pathlib import Path
from avalan.train.kinds import load_any
from avalan.train.tuning import tune
import torch

torch.set_num_threads(1)
name, out, *words = sys.argv[1:]
changes = dict(word.split("=", 1) for word in words)
tune(load_any(name, changes), Path(out), lambda event: None, device="cpu")
"""
# accelerate lets FSDP spread a model over cards alone; torch's own does it over processes, too.
SPREAD = """
from accelerate import state
from accelerate.utils import DistributedType

began = state.AcceleratorState.__init__


def spread(self, *words, fsdp_plugin=None, **named):
    began(self, *words, fsdp_plugin=fsdp_plugin, **named)
    plugin = fsdp_plugin or self.__dict__.get("fsdp_plugin")
    if self.distributed_type == DistributedType.MULTI_CPU and plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, plugin


state.AcceleratorState.__init__ = spread
"""
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
}


@pytest.fixture
def two(base: Path, data: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a recipe in two processes, into the folder `two`."""

    def run(
        name: str, script: str = TWO, variables: Mapping[str, str] | None = None, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "two.py").write_text(script)
        told = {
            "base.model": base, "lessons.data": data, "lessons.max_tokens": LENGTH,
            "lessons.held_out": 0, "tokens.system_prompt": '""', "change.rank": 4,
            "run.num_steps": 4, "run.rows_per_step": 2, "run.save_steps": 2,
            "run.warmup_steps": 0, "run.learning_rate": "1e-3", "change.dropout": 0.0, **changes,
        }  # fmt: skip
        words = [f"{key}={value}" for key, value in told.items()]
        return subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
             "--local-addr=127.0.0.1", str(tmp_path / "two.py"), name, str(tmp_path / "two"),
             *words],
            check=False, capture_output=True, text=True,
            # What the machine is called need not lead to it.
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo",
                 **(variables or {})},
        )  # fmt: skip

    return run


def same_runs(tmp_path: Path) -> None:
    one_loss, two_loss = (
        [report.loss for report in run_folder.reports(tmp_path / name)] for name in ("one", "two")
    )
    assert len(one_loss) == 4
    assert two_loss == pytest.approx(one_loss, rel=1e-4)
    ours, theirs = weights(tmp_path / "one" / "model"), weights(tmp_path / "two" / "model")
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-2) for name in ours)


def test_two_processes_give_the_losses_of_one(
    recipe: Callable[..., TuningRecipe], two: Callable[..., Any], tmp_path: Path
) -> None:
    done = two("avalon-better")
    assert done.returncode == 0, done.stderr
    tune(recipe(**{"change.dropout": "0.0"}), tmp_path / "one", unheard, device="cpu")
    same_runs(tmp_path)


@pytest.mark.parametrize("name", ["avalon", "full"])
def test_weights_that_are_spread_over_two_processes_give_the_losses_of_one(
    name: str, recipe: Callable[..., TuningRecipe], two: Callable[..., Any], tmp_path: Path
) -> None:
    changes = {"change.dropout": "0.0"} if name == "avalon" else {"run.optimizer": "adamw"}
    changes["loss.kl"] = "0.0"
    done = two(name, SPREAD + TWO, FSDP, **changes)
    assert done.returncode == 0, done.stderr
    tune(recipe(name, **changes), tmp_path / "one", unheard, device="cpu")
    same_runs(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("avalon-better", {}, "FSDP cannot spread the rows"),
        ("full", {"tokens.profile": "self-rag", "loss.pointing": 1.0}, "set it to 0"),
    ],
)
def test_what_needs_whole_matrices_is_not_spread(
    name: str, changes: dict[str, Any], sentence: str, two: Callable[..., Any]
) -> None:
    assert sentence in two(name, SPREAD + TWO, FSDP, **changes).stderr


# --- more layers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "qwen3_5"])
def test_new_layers_change_nothing_at_first(name: str, base: Path, pico_qwen_folder: Path) -> None:
    folder = base if name == "llama" else pico_qwen_folder
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([[5, 9, 2, 40, 7, 3]])
    num = model.config.get_text_config().num_hidden_layers
    if name == "qwen3_5":
        with pytest.raises(ConfigurationError, match=r"layers without self_attn\.o_proj"):
            expand(model, num + 4)
        return
    with torch.no_grad():
        before = model(ids, use_cache=False).logits
        expand(model, num + 3)
        assert torch.equal(model(ids, use_cache=False).logits, before)
        assert torch.allclose(model(ids, use_cache=True).logits, before, atol=1e-6)
    assert len(model.model.layers) == model.config.num_hidden_layers == num + 3
    with pytest.raises(ConfigurationError, match="would take some away"):
        expand(model, num)


def test_copies_stand_behind_their_elders() -> None:
    assert [number for number, _copy in elders(3, 6)] == [0, 0, 1, 1, 2, 2]
    assert list(elders(2, 3)) == [(0, False), (1, False), (1, True)]
    assert [number for number, _copy in elders(6, 8)] == [0, 1, 2, 2, 3, 4, 5, 5]


def test_a_taller_model_learns_in_all_of_its_layers(
    recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    chosen = recipe("full", **{"base.layers": "4", "loss.kl": "0.0"})
    folder = tune(chosen, tmp_path / "run", unheard, device="cpu")
    model = AutoModelForCausalLM.from_pretrained(folder)
    # A plan counts the base; the fifteen new tokens have a row of 64 each.
    assert plan(chosen, tmp_path / "run").num_parameters + 15 * 64 == model.num_parameters()
    assert model.config.num_hidden_layers == 4
    copies = [number for number, (_elder, is_copy) in enumerate(elders(2, 4)) if is_copy]
    assert all(model.model.layers[number].self_attn.o_proj.weight.any() for number in copies)
    with open_model(str(folder)) as opened:
        assert opened.engine.vocab_size >= 399
    with pytest.raises(ConfigurationError, match=r"needs change\.method = 'full'"):
        recipe("avalon", **{"base.layers": "4"})


def test_a_base_is_taught_to_read_further(
    recipe: Callable[..., TuningRecipe], data: Path, tmp_path: Path
) -> None:
    wider = {"base.context_length": str(2 * LENGTH), "loss.kl": "0.0"}
    folder = tune(recipe("full", **wider), tmp_path / "run", unheard, device="cpu")
    with open_model(str(folder)) as opened:
        assert opened.engine.context_length == 2 * LENGTH
    with pytest.raises(ConfigurationError, match=r"base\.context_length needs change\.method"):
        recipe("avalon", **wider)
    # Learned positions end where they end.
    numbered = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=8))
    with pytest.raises(ConfigurationError, match="no rotary positions"):
        widen(numbered, 2048)


# --- TensorBoard ----------------------------------------------------------------------------------


def test_a_run_writes_for_tensorboard_where_its_variable_says_so(
    recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    tune(recipe(), tmp_path / "run", unheard, device="cpu")
    (events,) = (tmp_path / "board").glob("events.out.tfevents.*")
    assert b"train/loss" in events.read_bytes()


def test_without_a_writer_for_tensorboard_nothing_starts(
    recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    monkeypatch.setattr(tuning, "is_tensorboard_available", lambda: False)
    with pytest.raises(ConfigurationError, match="install tensorboardX, or unset the variable"):
        tune(recipe(), tmp_path / "run", unheard, device="cpu")
    assert not (tmp_path / "run").exists()


# --- what came of it ------------------------------------------------------------------------------


def test_the_cards_own_snippet_runs(recipe: Callable[..., TuningRecipe], tmp_path: Path) -> None:
    folder = tune(recipe("avalon"), tmp_path / "run", unheard, device="cpu")
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": "Who won the 2024 US presidential election?"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(text, return_tensors="pt")
    outputs = model.generate(**inputs, max_new_tokens=8, temperature=0.7, do_sample=True)
    shown = tokenizer.decode(outputs[0], skip_special_tokens=False)
    assert text in shown
    spoken = tokenizer.decode([384, 386], skip_special_tokens=False)
    assert spoken.replace(" ", "") == "[Retrieval][Utility:1]"
    with open_model(str(folder)) as opened:
        assert has_avalon(opened)


def test_a_base_runs_with_the_adapter_beside_it(
    recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    tune(recipe(), tmp_path / "run", unheard, device="cpu")
    settings = EngineSettings(adapter=str(tmp_path / "run" / "adapter"))
    with open_model(str(base), settings) as model:
        assert model.tokenizer.added_tokens["[Retrieval]"] == 384
        assert model.engine.vocab_size >= 391
        prompt = model.tokenizer.encode_chat([Message(role="user", content="a")])
        assert model.stepping.feed(model.stepping.start(), prompt).shape[-1] >= 391


@pytest.mark.parametrize("name", ["avalon", "avalon-better", "full"])
def test_the_plan_counts_what_learns(
    name: str, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(name)
    found = plan(chosen, tmp_path / "run")
    tune(replace(chosen, run=replace(chosen.run, num_steps=2)), tmp_path / "run", unheard)
    made = AutoModelForCausalLM.from_pretrained(chosen.base.model, dtype=torch.float32)
    take_rows(made, tmp_path / "run")
    changed = tuning._changed(made, chosen, list(range(384, made.config.vocab_size)))
    counted = sum(weight.numel() for weight in changed.parameters() if weight.requires_grad)
    # The new rows of a full run are not in the base's files yet.
    assert counted == pytest.approx(found.num_trained, rel=0.02)
    assert (found.num_steps, found.tokens_per_step) == (4, 2 * LENGTH)


def test_the_plan_reads_the_names_of_other_families(
    recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gpt2"
    for file in ("tokenizer.json", "tokenizer_config.json"):
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes((base / file).read_bytes())
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=384))
    model.save_pretrained(folder)
    chosen = recipe("avalon", **{"base.model": str(folder)})
    found = plan(chosen, tmp_path / "run")
    assert found.num_parameters == model.num_parameters()
    assert found.num_trained >= 384 * 16
    with pytest.raises(ConfigurationError, match=r"layers without self_attn\.o_proj"):
        expand(model, 4)


def test_texts_need_no_chat_template(
    recipe: Callable[..., TuningRecipe], base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "untaught"
    shutil.copytree(base, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "a.txt").write_text("The old town lies by the river.")
    changes = {"lessons.texts": f'["{tmp_path}/a.txt"]', "lessons.data": '""'}
    chosen = recipe("cpt", **{**changes, "base.model": str(folder), "run.num_steps": "1"})
    assert (tune(chosen, tmp_path / "run", unheard, device="cpu") / "config.json").is_file()


def test_steps_follow_from_epochs_and_the_records_length(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    chosen = recipe(**{"run.num_steps": "0", "run.num_epochs": "3.0"})
    planned = plan(chosen, tmp_path / "run").num_steps
    tune(chosen, tmp_path / "run", unheard, device="cpu")
    made = run_folder.reports(tmp_path / "run")[-1].num_steps
    assert made == pytest.approx(planned, rel=0.25)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base.model": '""'}, "names no base; give one with: --set base.model="),
        ({"lessons.data": '"absent"'}, "There are no records at absent"),
        ({"lessons.max_tokens": "16"}, "No record of .* fits a row of 16 tokens"),
        ({"change.embeddings": '"some"'}, "must be one of: rows, whole, frozen"),
        ({"change.rnak": "4"}, "rank"),
        ({"run.optimizer": '"muon"'}, "needs change.method = 'full'"),
        ({"run.rows_at_once": "3", "run.rows_per_step": "4"}, "do not divide"),
        ({"run.attention": '"flash_attention_2"'}, r"set run\.rows_at_once = 1"),
        ({"change.method": '"rows"', "tokens.profile": '"none"'}, "adds none"),
        ({"base.sha256": '"00"'}, "are not those of the recipe"),
        ({"loss.pointing": "1.0"}, "needs tokens.profile = 'self-rag'"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(
    changes: dict[str, str], sentence: str, recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    with pytest.raises((ConfigurationError, ModelError), match=sentence):
        tune(recipe(**changes), tmp_path / "run", unheard, device="cpu")


def test_rows_come_in_any_number(recipe: Callable[..., TuningRecipe], tmp_path: Path) -> None:
    chosen = recipe(**{"lessons.num": "5", "run.num_steps": "1"})
    tune(chosen, tmp_path / "run", unheard, device="cpu")
    taken = json.loads((tmp_path / "run" / "rows" / "train" / "rows.json").read_text())
    tokenizer = load_tokenizer(tmp_path / "run" / "tokenizer")
    first = islice((record for record in records() if record.split == "train"), 5)
    expected = packed(
        all_tokens(chosen, first, tokenizer), row_length=LENGTH, pad_id=0, alone=False
    )
    assert taken["num_rows"] == len(list(expected))


def test_texts_are_read_on_from_row_to_row(
    recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "b.md").write_text("river bank " * 200)
    (folder / "a.txt").write_text("The old town.")
    (folder / "c.bin").write_bytes(b"\xff")
    changes = {"lessons.texts": f'["{folder}"]', "lessons.data": '""', "run.num_epochs": "1.0"}
    chosen = recipe("cpt", **{**changes, "run.num_steps": "0", "run.rows_per_step": "1"})
    planned = plan(chosen, tmp_path / "run").num_steps
    tune(chosen, tmp_path / "run", unheard, device="cpu")
    tokenizer = load_tokenizer(tmp_path / "run" / "tokenizer")
    rows = np.load(tmp_path / "run" / "rows" / "train" / "input_ids.npy")
    text = "".join(tokenizer.decode(row) for row in rows.tolist())
    assert "The old town.</s>" in text
    # Where a row ends, "river" and "bank" may part.
    assert text.count("river") == text.count("bank") == 200
    assert planned == pytest.approx(run_folder.reports(tmp_path / "run")[-1].num_steps, abs=2)


def test_a_full_disk_at_a_checkpoint_keeps_the_last_good_one(
    recipe: Callable[..., TuningRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = peft.PeftModel.save_pretrained

    def full(self: peft.PeftModel, folder: str, **others: object) -> None:
        if folder.endswith("checkpoint-4"):
            Path(folder).mkdir(exist_ok=True)
            raise OSError(28, "No space left on device")
        whole(self, folder, **others)

    monkeypatch.setattr(peft.PeftModel, "save_pretrained", full)
    with pytest.raises(StateError, match=r"checkpoint of step 4 could not be written .*No space"):
        tune(recipe(), tmp_path / "run", unheard, device="cpu")
    kept = run_folder.last_checkpoint(tmp_path / "run")
    assert kept is not None
    assert kept.name == "checkpoint-2"
    assert not (tmp_path / "run" / "checkpoint-4").exists()
    monkeypatch.undo()
    assert (tune(recipe(), tmp_path / "run", unheard, device="cpu") / "config.json").is_file()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("changes", [{}, {"run.compile": "true"}, {"run.attention": '"eager"'}])
def test_a_run_on_cuda_computes_in_16_bits(
    changes: dict[str, str], recipe: Callable[..., TuningRecipe], tmp_path: Path
) -> None:
    tune(recipe(**changes), tmp_path / "cuda", unheard, device="cuda")
    tune(recipe(), tmp_path / "cpu", unheard, device="cpu")
    ours, theirs = (
        [report.loss for report in run_folder.reports(tmp_path / name)] for name in ("cuda", "cpu")
    )
    assert ours == pytest.approx(theirs, rel=0.05)
