"""Recipes: what ships, what may be changed, and what is said about one that cannot be used."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from avalan.cli import main
from avalan.data.mixture import Stage
from avalan.errors import ConfigurationError
from avalan.train.kinds import load_any
from avalan.train.recipe import (
    EXAMPLE,
    Loss,
    Recipe,
    load_recipe,
    recipe_from_table,
    shipped_recipes,
)

STAGE = "[[stage]]\nuntil = 1.0\nlookup = 1.0\nreading = 0.0\ndecisions = 0.0\n"


def written(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_that_ships_can_be_loaded_with_and_without_its_ending(name: str) -> None:
    recipe = load_any(name)
    assert recipe == load_any(f"{name}.toml")
    assert recipe.name == name
    assert not isinstance(recipe, Recipe) or recipe.stages[-1].until == 1.0


def test_the_bundled_recipe_is_about_five_million_parameters_with_context_512() -> None:
    recipe = load_recipe("bundled")
    assert recipe.model.vocab_size == 4096
    assert recipe.model.context_length >= 512


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, STAGE))
    assert recipe == Recipe(
        name="own", stages=(Stage(until=1.0, lookup=1.0, reading=0.0, decisions=0.0),)
    )


def test_changes_override_the_file_and_are_read_as_toml(tmp_path: Path) -> None:
    changes = {"run.seed": "8", "loss.eos": "1", "run.bf16": "false", "run.learning_rate": "1e-3"}
    recipe = load_recipe(written(tmp_path, STAGE), changes)
    assert (recipe.run.seed, recipe.loss.eos, recipe.run.bf16) == (8, 1, False)
    assert recipe.run.learning_rate == 0.001


def test_a_file_beats_a_recipe_that_ships_under_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bundled.toml").write_text(STAGE)
    assert load_recipe("bundled.toml").run.num_steps == 3000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[run", "is not valid TOML: "),
        ("", "The recipe own has no [[stage]], which says"),
        (f"[run]\nnum_step = 5\n{STAGE}", "'run.num_step' that means nothing here; did you mean"),
        (f"[rnu]\nseed = 5\n{STAGE}", "did you mean 'run'?"),
        (f"[run]\nseed = 'seven'\n{STAGE}", "run.seed to 'seven', but it must be a whole number"),
        (f"[run]\nseed = true\n{STAGE}", "run.seed to true, but it must be a whole number"),
        (f"[run]\nbf16 = 1\n{STAGE}", "run.bf16 to 1, but it must be true or false"),
        (f"run = 5\n{STAGE}", "recipe own has run = 5; write it as [run]"),
        ("[[stage]]\nuntil = 1.0\nlookup = 1.0\n", "incomplete [[stage]]; add: reading, decisions"),
        ("[stage]\nuntil = 1.0\n", "has no [[stage]]"),
        (STAGE.replace("lookup = 1.0", "lookup = 0.0"), "must be ≥ 0 and not all be 0"),
        (STAGE.replace("reading = 0.0", "reading = -1.0"), "must be ≥ 0 and not all be 0"),
        (STAGE.replace("until = 1.0", "until = 1.5"), "until is 1.5, but it must be above 0"),
        (
            f"[model]\nvocab_size = 100\n{STAGE}",
            "model.vocab_size is 100, but it must be from 276 to 1,048,576",
        ),
        (
            f"[model]\nhidden_size = 250\n{STAGE}",
            "num_heads is 4, but it must divide model.hidden_size (250) into even",
        ),
        (
            f"[model]\nnum_kv_heads = 3\n{STAGE}",
            "num_kv_heads is 3, but it must divide model.num_heads (4)",
        ),
        (f"[run]\nnum_steps = 0\n{STAGE}", "run.num_steps is 0, but it must be from 1 to"),
        (
            f"[run]\nlearning_rate = nan\n{STAGE}",
            "run.learning_rate is nan, but it must be > 0 and finite",
        ),
        (f"[run]\nnum_steps = 99999999999\n{STAGE}", "run.num_steps is 99999999999, but it must"),
        (f"[run]\nsave_steps = {10**30}\n{STAGE}", "it must be from 1 to 10,000,000"),
        (f"[run]\nweight_decay = inf\n{STAGE}", "run.weight_decay is inf"),
        (f"[run]\nseed = {2**32}\n{STAGE}", "run.seed is 4294967296, but it must be from 0 to"),
        (f"[loss]\ntext = -0.5\n{STAGE}", "loss.text is -0.5, but it must be from 0 to"),
        (f"[loss]\ntext = 0.0\nreflection = 0.0\n{STAGE}", "give text or reflection a weight"),
    ],
)
def test_a_recipe_that_cannot_be_used_says_why_in_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(written(tmp_path, text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("seed", "8", "write section.key=value"),
        ("run.sed", "8", "did you mean 'run.seed'?"),
        ("stage.until", "1", "copy the recipe to change them"),
        ("run.seed", "eight", "must be a whole number"),
    ],
)
def test_a_change_that_means_nothing_is_refused(key: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_recipe("bundled", {key: value})
    assert sentence in str(caught.value)


def test_the_stage_that_is_shown_to_whoever_has_none_can_be_used(tmp_path: Path) -> None:
    lines = EXAMPLE.replace(", ", "\n")
    assert len(load_recipe(written(tmp_path, f"[[stage]]\n{lines}\n")).stages) == 1


def test_a_recipe_that_is_not_there_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no recipe 'x.toml'.*one of: avalon, "):
        load_recipe("x.toml")
    with pytest.raises(ConfigurationError, match="is a folder"):
        load_recipe(str(tmp_path))


def test_a_recipe_that_is_not_text_says_where(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(b"[run]\xff")
    with pytest.raises(ConfigurationError, match=r"not UTF-8 text \(byte 5\)"):
        load_recipe(str(path))


def test_reading_a_table_leaves_it_as_it_was() -> None:
    table = {"stage": [{"until": 1.0, "lookup": 1, "reading": 0, "decisions": 0}]}
    assert recipe_from_table(table, "x") == recipe_from_table(table, "x")


# --- docs/training.md -----------------------------------------------------------------------------

GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_guides_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (source,) = blocks("python")
    exec(source, {})
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_the_guides_training_commands_have_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "".join(blocks("bash")).splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("avalan model train")]
    assert len(commands) == 9
    for words in commands:
        assert main([*words[1:], "--dry-run"]) == 0
        assert "parameters" in capsys.readouterr().out


def test_the_guide_names_every_weight_of_the_loss_and_every_kind_of_record() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE))
    parts = {row.name for row in fields(Loss)} - {"shown_share"}
    kinds = {row.name for row in fields(Stage)} - {"until"}
    assert rows == parts | kinds
