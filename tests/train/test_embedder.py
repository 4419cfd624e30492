"""Distilling an embedder: what is learned, from what, and that a killed run goes on exactly."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from avalan import testing
from avalan.cli import main
from avalan.errors import ConfigurationError
from avalan.model.nlp.sentence import open_embedder
from avalan.train import run_folder
from avalan.train.embedder import batch_plan, distil
from avalan.train.embedder_recipe import Corpus, EmbedderRecipe, Student
from avalan.train.embedder_student import RoundedLinear, new_student, plain, pooled, rounded
from avalan.train.embedding_losses import cosine_loss, relation_loss
from avalan.train.embedding_texts import query_of, texts
from avalan.train.kinds import load_any
from avalan.train.plan import num_student_parameters, plan
from avalan.train.progress import Event
from avalan.train.run_folder import StepReport
from avalan.train.teacher_vectors import teacher_vectors

PICO = """
kind = "embedder"
[teacher]
model = "{teacher}"
[student]
num_layers = 2
embedding_size = 16
[corpus]
files = ["{file}"]
worlds = 6
max_tokens = 24
[loss]
bank = 8
[run]
num_steps = 6
rows_per_step = 4
warmup_steps = 2
save_steps = 3
"""
LINES = [
    "the cat sat on the mat", "Gardens\\nthe cat looks at the garden", "a train leaves at 9",
    "harbour", "the train looks at the cat", "a mat on the mat", "leaves", "the harbour at 9",
]  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_bert(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def recipe(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbedderRecipe:
    folder = tmp_path_factory.mktemp("embedder")
    (folder / "lines.txt").write_text("\n".join(LINES))
    (folder / "pico.toml").write_text(PICO.format(teacher=teacher, file=folder / "lines.txt"))
    read = load_any(str(folder / "pico.toml"))
    assert isinstance(read, EmbedderRecipe)
    return read


@pytest.fixture(scope="module")
def finished(recipe: EmbedderRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("run")
    distil(recipe, out, lambda _event: None, device="cpu")
    return out


# --- the run --------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def test_a_run_that_was_killed_goes_on_to_the_very_same_weights(
    finished: Path, recipe: EmbedderRecipe, tmp_path: Path
) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, StepReport) and event.step == 5:
            raise Killed

    with pytest.raises(Killed):
        distil(recipe, tmp_path, kill, device="cpu")
    events: list[Event] = []
    distil(recipe, tmp_path, events.append, device="cpu")
    assert [event.step for event in events if isinstance(event, StepReport)] == [4, 5, 6]
    weights = [(out / "model/model.safetensors").read_bytes() for out in (tmp_path, finished)]
    assert weights[0] == weights[1]
    expected = [report.loss for report in run_folder.reports(finished)]
    assert [report.loss for report in run_folder.reports(tmp_path)] == expected


def test_the_result_is_an_embedder_that_anything_reads(finished: Path) -> None:
    vectors = open_embedder(str(finished / "model")).embed(["the cat", "a train"])
    assert vectors.shape == (2, 32)
    assert not np.allclose(vectors[0], vectors[1])


def test_other_weights_than_the_recipes_are_refused(
    recipe: EmbedderRecipe, teacher: Path, tmp_path: Path
) -> None:
    found = hashlib.sha256((teacher / "model.safetensors").read_bytes()).hexdigest()
    wrong = replace(recipe, teacher=replace(recipe.teacher, sha256="0" * 64))
    with pytest.raises(ConfigurationError, match=found):
        distil(wrong, tmp_path, lambda _event: None, device="cpu")


def test_the_teacher_reads_every_text_once(teacher: Path, tmp_path: Path) -> None:
    embedder = open_embedder(str(teacher))
    first = teacher_vectors(["the cat", "a mat"], embedder, tmp_path, lambda _count: None)
    assert first.dtype == np.float16
    embedder.close()  # From here on, asking it fails.
    again = teacher_vectors(["the cat", "a mat"], embedder, tmp_path, lambda _count: None)
    assert np.array_equal(first, again)


def test_the_command_tells_the_plan(
    recipe: EmbedderRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "train", "embedder", "--dry-run", "--out", str(tmp_path / "run")]) == 0
    assert "The plan of embedder" in capsys.readouterr().out


# --- losses ---------------------------------------------------------------------------------------


def test_cosine_loss_by_hand() -> None:
    student = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    teacher = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert cosine_loss(student, teacher).item() == pytest.approx(0.5)


def test_relation_loss_by_hand() -> None:
    bank = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    student, teacher = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    # Both distributions over the bank are (p, 1 - p) in one order or the other.
    p = 1 / (1 + math.exp(-2))
    expected = p * math.log(p / (1 - p)) + (1 - p) * math.log((1 - p) / p)
    assert relation_loss(student, teacher, bank, temperature=0.5).item() == pytest.approx(expected)
    assert relation_loss(teacher, teacher, bank, temperature=0.5).item() == pytest.approx(0)


# --- the student ----------------------------------------------------------------------------------


def test_a_student_as_large_as_its_teacher_is_its_teacher(teacher: Path) -> None:
    model = BertModel.from_pretrained(teacher, add_pooling_layer=False)
    counts = np.ones(model.config.vocab_size, np.int64)
    student = new_student(model, Student(num_layers=4, embedding_size=32), counts)
    token_ids = torch.tensor([[2, 9, 12, 3]])
    mask = torch.ones_like(token_ids)
    whole = pooled(plain(student).eval(), token_ids, mask)
    assert torch.allclose(whole, pooled(model.eval(), token_ids, mask), atol=1e-4)
    # Rounded products are near, and not the same.
    near = pooled(student, token_ids, mask)
    assert 0.98 < (near * whole).sum() < 0.999999


def test_a_student_takes_the_first_and_the_last_block(teacher: Path) -> None:
    model = BertModel.from_pretrained(teacher, add_pooling_layer=False)
    counts = np.ones(model.config.vocab_size, np.int64)
    student = new_student(model, Student(num_layers=2, embedding_size=8), counts)
    for mine, its in ((0, 0), (1, 3)):
        weights = (
            m.encoder.layer[i].output.dense.weight for m, i in ((student, mine), (model, its))
        )
        assert torch.equal(*weights)
    assert student.embeddings.word_embeddings[0].weight.shape == (counts.size, 8)


def test_a_student_larger_than_its_teacher_is_refused(teacher: Path) -> None:
    model = BertModel.from_pretrained(teacher, add_pooling_layer=False)
    with pytest.raises(ConfigurationError, match="at most as many"):
        new_student(
            model,
            Student(num_layers=5, embedding_size=8),
            np.ones(model.config.vocab_size, np.int64),
        )


def test_inputs_are_rounded_by_hand() -> None:
    inputs = torch.tensor([[[-1.0, 0.0, 1.55, 0.004]]])
    # 255 steps of 0.01, zero at the 100th.
    assert rounded(inputs).flatten().tolist() == pytest.approx([-1, 0, 1.55, 0], abs=1e-6)


def test_gradients_pass_through_the_rounding() -> None:
    layer = RoundedLinear(3, 2)
    exact = nn.Linear(3, 2)
    exact.load_state_dict(layer.state_dict())
    inputs = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    for module in (layer, exact):
        module(inputs).sum().backward()
    assert layer.weight.grad is not None
    assert exact.weight.grad is not None
    assert torch.allclose(layer.weight.grad, exact.weight.grad, atol=0.05)


# --- texts and steps ------------------------------------------------------------------------------


def test_texts_are_the_same_from_the_same_seed(recipe: EmbedderRecipe) -> None:
    first, again, other = (texts(recipe.corpus, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == len(first)
    assert "Gardens\nthe cat looks at the garden" in first


def test_a_missing_corpus_names_what_makes_it() -> None:
    with pytest.raises(ConfigurationError, match="embedder_corpus"):
        texts(Corpus(files=("nowhere.txt",)), seed=1)


def test_a_query_is_a_few_words_of_its_text() -> None:
    text = "Vacuuming\nthe database reclaims storage occupied by dead tuples every night"
    for seed in range(20):
        query = query_of(text, Random(seed))
        words = set(query.split())
        assert "vacuuming" in query or (words <= set(text.lower().split()) and 1 < len(words) < 7)


def test_every_text_comes_once_a_round_with_those_of_its_length() -> None:
    steps = batch_plan([5, 1, 9, 2, 2, 8, 7, 1], 2, 8, seed=0)
    first = np.concatenate(steps[:4]).tolist()
    assert sorted(first) == list(range(8))
    assert {tuple(sorted(step.tolist())) for step in steps[:4]} >= {(1, 7), (3, 4)}
    assert len(steps) == 8


def test_too_few_texts_are_told() -> None:
    with pytest.raises(ConfigurationError, match="has 3 texts, but a step needs 4"):
        batch_plan([1, 1, 1], 4, 2, seed=0)


# --- recipes --------------------------------------------------------------------------------------


def test_the_shipped_recipe_is_an_embedders() -> None:
    recipe = load_any("embedder.toml", {"run.seed": "8"})
    assert isinstance(recipe, EmbedderRecipe)
    assert recipe.run.seed == 8
    assert len(recipe.teacher.sha256) == 64


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("run.num_steps", "0", "run.num_steps is 0"),
        ("loss.temperature", "0", "loss.temperature is 0"),
        ("student.layers", "2", "means nothing here"),
        ("corpus.query_share", "2.0", "from 0 to 1"),
    ],
)
def test_impossible_values_are_told(key: str, value: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        load_any("embedder.toml", {key: value})


def test_a_loss_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cosine or relation"):
        load_any("embedder.toml", {"loss.cosine": "0", "loss.relation": "0"})


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('kind = "oracle"\n')
    with pytest.raises(ConfigurationError, match="kind 'oracle'"):
        load_any(str(tmp_path / "x.toml"))


def test_the_plan_counts_the_students_weights() -> None:
    with torch.device("meta"):
        config = BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=2)
        whole = BertModel(config, add_pooling_layer=False)
    sizes = {name: weight.numel() for name, weight in whole.named_parameters()}
    table = sizes.pop("embeddings.word_embeddings.weight")
    factors = 64 * (table // 384 + 384)
    shape = Student(num_layers=2, embedding_size=64)
    assert num_student_parameters(shape) == sum(sizes.values()) + factors


def test_the_plan_tells_how_far_a_run_is(recipe: EmbedderRecipe, finished: Path) -> None:
    assert plan(recipe, finished).done_steps == 6
