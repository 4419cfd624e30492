"""New tokens: where their rows go, and how they begin."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from avalan import testing
from avalan.errors import ModelError
from avalan.model.engine.new_rows import grow, is_tied, matrices, save_rows, take_rows
from avalan.model.prompt import Tokenizer, load_tokenizer
from avalan.model.vocabulary import add_tokens
from avalan.reflection.tokens import ALL, AVALON, DESCRIPTIONS
from avalan.train.new_tokens import prepare


def base(folder: Path, **config: object) -> tuple[AutoModelForCausalLM, Tokenizer]:
    """A model with 384 tokens, and its tokenizer with the seven of the profile avalon."""
    testing.pico_llama(folder, **config)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, load_tokenizer(folder, change=lambda text: add_tokens(text, (), AVALON))


@pytest.mark.parametrize("tied", [True, False])
def test_the_matrices_grow_and_what_is_tied_stays_tied(tmp_path: Path, tied: bool) -> None:
    model, tokenizer = base(tmp_path, tie_word_embeddings=tied)
    old = [matrix.detach().clone() for matrix in matrices(model)]
    ids = prepare(model, tokenizer, AVALON, start="description", seed=0)
    assert ids == tuple(range(384, 391))
    assert is_tied(model) == tied
    assert len(matrices(model)) == 2 - tied
    for before, after in zip(old, matrices(model), strict=True):
        assert after.shape[0] == 391
        assert torch.equal(after[:384], before)


def test_spare_rows_are_taken_and_nothing_is_cut(tmp_path: Path) -> None:
    testing.pico_llama(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    model.resize_token_embeddings(512)  # As Qwen has more rows than tokens.
    tokenizer = load_tokenizer(tmp_path, change=lambda text: add_tokens(text, (), AVALON))
    prepare(model, tokenizer, AVALON, start="description", seed=0)
    assert model.get_input_embeddings().weight.shape[0] == 512
    grow(model, 100)
    assert model.get_input_embeddings().weight.shape[0] == 512


def test_a_row_begins_as_its_description_says_and_no_two_alike(tmp_path: Path) -> None:
    model, tokenizer = base(tmp_path)
    ids = prepare(model, tokenizer, AVALON, start="description", seed=0)
    rows = model.get_input_embeddings().weight.detach()
    spread = float(rows[:384].std())
    for text, token_id in zip(AVALON, ids, strict=True):
        expected = rows[tokenizer.encode(DESCRIPTIONS[text])].mean(dim=0)
        assert float((rows[token_id] - expected).std()) == pytest.approx(0.1 * spread, rel=0.5)
    assert torch.pdist(rows[list(ids)]).min() > 0.1 * spread


def test_the_seed_draws_the_noise_and_mean_begins_in_the_middle(tmp_path: Path) -> None:
    def started(seed: int, start: str) -> torch.Tensor:
        model, tokenizer = base(tmp_path)
        ids = prepare(model, tokenizer, AVALON, start=start, seed=seed)
        found: torch.Tensor = model.get_input_embeddings().weight.detach()
        return found[list(ids)]

    assert torch.equal(started(1, "description"), started(1, "description"))
    assert not torch.equal(started(1, "description"), started(2, "description"))
    rows = started(1, "mean")
    model, _tokenizer = base(tmp_path)
    middle = model.get_input_embeddings().weight.detach().mean(dim=0)
    spread = float(model.get_input_embeddings().weight.detach().std())
    assert float((rows - middle).std()) < 0.2 * spread


def test_every_token_has_a_description() -> None:
    assert DESCRIPTIONS.keys() == set(ALL)


def test_rows_are_carried_to_a_fresh_base(tmp_path: Path) -> None:
    model, tokenizer = base(tmp_path / "base", tie_word_embeddings=False)
    ids = prepare(model, tokenizer, AVALON, start="description", seed=0)
    save_rows(model, ids, tmp_path)
    fresh, _tokenizer = base(tmp_path / "base", tie_word_embeddings=False)
    take_rows(fresh, tmp_path)
    for ours, theirs in zip(matrices(model), matrices(fresh), strict=True):
        assert torch.equal(ours, theirs)


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    model, tokenizer = base(tmp_path / "base")
    save_rows(model, prepare(model, tokenizer, AVALON, start="mean", seed=0), tmp_path)
    wide, _tokenizer = base(tmp_path / "wide", hidden_size=96)
    with pytest.raises(ModelError, match="rows of another width"):
        take_rows(wide, tmp_path)
