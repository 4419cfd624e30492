"""Muon and AdamW as one optimizer: who moves what, one schedule, one state."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPT2Config, GPT2LMHeadModel

from avalan.train.optimizer import Muon, MuonWithAdamW, orthogonalized


class Small(nn.Module):
    """An embedding, a block with a matrix, and a norm, each used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(7, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4, bias=False)])
        self.norm = nn.LayerNorm(4, bias=False)

    def forward(self, token_ids: Tensor) -> Tensor:
        return self.norm(self.matrix(self.embed(token_ids)))

    @property
    def matrix(self) -> nn.Linear:
        (block,) = self.blocks
        assert isinstance(block, nn.Linear)
        return block


def train(model: Small, optimizer: MuonWithAdamW, *, num_steps: int) -> list[Tensor]:
    """The weights after some steps on fixed data."""
    for _ in range(num_steps):
        optimizer.zero_grad()
        model(torch.arange(7)).pow(3).sum().backward()
        optimizer.step()
    return [weight.detach().clone() for weight in model.parameters()]


def test_matrices_inside_go_to_muon_and_the_rest_to_adamw() -> None:
    model = Small()
    optimizer = MuonWithAdamW(model, lr=0.1, weight_decay=0.5)
    (inner,), (outer,) = optimizer.muon.param_groups, optimizer.adamw.param_groups
    assert [id(p) for p in inner["params"]] == [id(model.matrix.weight)]
    assert [id(p) for p in outer["params"]] == [id(model.embed.weight), id(model.norm.weight)]
    assert (inner["weight_decay"], outer["weight_decay"]) == (0.5, 0.0)


def test_a_head_of_its_own_is_no_matrix_inside() -> None:
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 16, "tie_word_embeddings": False}
    model = GPT2LMHeadModel(GPT2Config(**shape))
    (inner,) = MuonWithAdamW(model, lr=0.1, weight_decay=0.5).muon.param_groups
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert {names[id(weight)] for weight in inner["params"]} == {
        f"transformer.h.0.{name}.weight"
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }


def test_a_step_of_adamw_is_torchs_own_and_by_hand() -> None:
    model = Small()
    before = model.embed.weight.detach().clone()
    twin = nn.Parameter(before.clone())
    optimizer = MuonWithAdamW(model, lr=0.1, weight_decay=0.5)
    (after, *_) = train(model, optimizer, num_steps=1)
    assert model.embed.weight.grad is not None
    twin.grad = model.embed.weight.grad.clone()
    torch.optim.AdamW([twin], lr=0.1, betas=(0.9, 0.95), weight_decay=0.0).step()
    assert torch.equal(after, twin)
    # The first step of Adam moves each weight by the learning rate, against its gradient.
    grad = twin.grad
    expected = before - 0.1 * grad / (grad.abs() + 1e-8)
    assert torch.allclose(after, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("in_bf16", [True, False])
def test_steps_of_muon_are_torchs_own(
    shape: tuple[int, int], in_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.train.optimizer.has_bf16", lambda device: in_bf16)
    torch.manual_seed(1)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = (
        Muon([ours], lr=0.1, momentum=0.95, weight_decay=0.3),
        torch.optim.Muon(
            [theirs], lr=0.1, momentum=0.95, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"
        ),
    )
    for _ in range(3):
        grad = torch.randn(shape)
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = grad.clone()
            optimizer.step()
    assert torch.equal(ours, theirs) or not in_bf16
    # bfloat16 has three digits.
    assert torch.allclose(ours, theirs, atol=0.02)


def test_a_step_of_muon_is_orthogonal() -> None:
    model = Small()
    before = model.matrix.weight.detach().clone()
    after = train(model, MuonWithAdamW(model, lr=0.1, weight_decay=0.0), num_steps=1)[1]
    # An orthogonal step: its singular values are near 0.2 · lr · sqrt(4), where the iteration
    # brings the strong ones.
    singular = torch.linalg.svdvals(before - after) / (0.2 * 0.1 * 2)
    assert 0.5 < float(singular.max()) < 1.3


def test_singular_values_come_near_one_whatever_they_were() -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonalized(torch.randn(5, 9), torch.float32))
    assert float(found.min()) > 0.6
    assert float(found.max()) < 1.3


def test_a_schedule_reaches_both() -> None:
    optimizer = MuonWithAdamW(Small(), lr=0.1, weight_decay=0.0)
    schedule = LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    schedule.step()
    rates = [
        group["lr"] for part in (optimizer.muon, optimizer.adamw) for group in part.param_groups
    ]
    assert rates == pytest.approx([0.05, 0.05])


def test_a_run_that_is_stopped_and_resumed_gives_the_same_weights() -> None:
    whole = Small()
    expected = train(whole, MuonWithAdamW(whole, lr=0.1, weight_decay=0.1), num_steps=5)
    first = Small()
    optimizer = MuonWithAdamW(first, lr=0.1, weight_decay=0.1)
    train(first, optimizer, num_steps=2)
    state = copy.deepcopy(optimizer.state_dict())
    second = Small()
    second.load_state_dict(first.state_dict())
    resumed = MuonWithAdamW(second, lr=0.9, weight_decay=0.1)
    resumed.load_state_dict(state)
    found = train(second, resumed, num_steps=3)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_schedule_still_reaches_both_after_a_state_was_loaded() -> None:
    optimizer = MuonWithAdamW(Small(), lr=0.1, weight_decay=0.0)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in optimizer.param_groups:
        group["lr"] = 0.7
    parts = (optimizer.muon, optimizer.adamw)
    assert [group["lr"] for part in parts for group in part.param_groups] == [0.7, 0.7]


def test_gradients_are_cleared_in_both() -> None:
    model = Small()
    optimizer = MuonWithAdamW(model, lr=0.1, weight_decay=0.0)
    train(model, optimizer, num_steps=1)
    optimizer.zero_grad()
    assert all(weight.grad is None for weight in model.parameters())
