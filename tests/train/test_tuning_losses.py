"""The sums that tuning minimises, against torch's own and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from avalan.train.tuning_losses import (
    cross_entropy_sum,
    divergence_sum,
    kl_sum,
    pointing_sum,
    without,
)


def test_cross_entropy_by_hand() -> None:
    # The targets have probability 3/4 and 1/2, and count once and three times.
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    found = cross_entropy_sum(logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert float(found) == pytest.approx(math.log(4 / 3) + 3 * math.log(2))


def test_rows_may_be_summed_in_any_parts() -> None:
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(9, 5), torch.randint(0, 5, (9,)), torch.rand(9)
    parts = [slice(0, 2), slice(2, 9)]
    whole = cross_entropy_sum(logits, targets, weights)
    split = sum(cross_entropy_sum(logits[p], targets[p], weights[p]) for p in parts)
    assert torch.allclose(whole, torch.as_tensor(split))


def test_the_distance_to_the_base_is_torchs_and_nothing_to_itself() -> None:
    torch.manual_seed(0)
    ours, base, weights = torch.randn(6, 5), torch.randn(6, 5), torch.rand(6)
    rows = F.kl_div(
        ours.log_softmax(-1), base.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    assert torch.allclose(kl_sum(ours, base, weights), (rows * weights).sum())
    assert float(kl_sum(base, base, weights)) == pytest.approx(0, abs=1e-6)


def test_what_a_new_token_takes_from_the_old_ones_is_a_distance() -> None:
    # The base has two tokens at 1/2 each; the model gives a third one 1/2, and the two 1/4 each.
    base = torch.tensor([[0.0, 0.0, -torch.inf]])
    ours = torch.log(torch.tensor([[0.25, 0.25, 0.5]])).requires_grad_()
    found = kl_sum(ours, base, torch.ones(1))
    assert float(found.detach()) == pytest.approx(math.log(2))
    found.backward()
    assert ours.grad is not None
    assert torch.isfinite(ours.grad).all()


def test_tokens_that_may_not_be_said_do_not_compete() -> None:
    logits = torch.zeros(2, 4)
    masked = without(logits, torch.tensor([True, False]), [1, 3])
    assert masked.softmax(-1)[0].tolist() == pytest.approx([0.5, 0.0, 0.5, 0.0])
    assert torch.equal(masked[1], logits[1])
    assert without(logits, torch.tensor([True, True]), []) is logits


def topped(teacher: torch.Tensor, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    found = teacher.log_softmax(-1).topk(top_k, dim=-1)
    return found.indices, found.values


@pytest.mark.parametrize("kind", ["forward", "reverse", "jsd"])
def test_with_every_token_kept_the_divergence_is_the_whole_one(kind: str) -> None:
    torch.manual_seed(0)
    logits, teacher, weights = torch.randn(6, 5), torch.randn(6, 5), torch.rand(6)
    p, q = teacher.softmax(-1), logits.softmax(-1)

    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * (a / b).log()).sum(-1)

    middle = (p + q) / 2
    expected = {
        "forward": kl(p, q),
        "reverse": kl(q, p),
        "jsd": (kl(p, middle) + kl(q, middle)) / 2,
    }
    found = divergence_sum(logits, *topped(teacher, 5), weights, kind=kind)
    assert float(found) == pytest.approx(float((expected[kind] * weights).sum()), abs=1e-4)


def test_what_is_not_kept_is_one_token_by_hand() -> None:
    # The teacher has 1/2, 1/4, 1/8, 1/8 and the model 1/4 each; one is kept, three are the rest.
    teacher = torch.log(torch.tensor([[0.5, 0.25, 0.125, 0.125]]))
    found = divergence_sum(torch.zeros(1, 4), *topped(teacher, 1), torch.ones(1), kind="forward")
    assert float(found) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75), abs=1e-5)


@pytest.mark.parametrize("kind", ["forward", "reverse", "jsd"])
def test_a_teacher_is_no_distance_from_itself_at_its_temperature(kind: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 5)
    ids, logprobs = topped(logits / 2.0, 3)
    found = divergence_sum(logits, ids, logprobs, torch.ones(6), kind=kind, temperature=2.0)
    assert float(found) == pytest.approx(0, abs=1e-5)


def test_where_the_answer_stands_by_hand() -> None:
    # (3, 4) and (6, 8) have one direction, (3, 4) / sqrt(12.5), of which the rows' difference takes
    # the first part: log-odds of .8485 for either, of which one is right.
    hidden = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    yes, no = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 1.0])
    found = pointing_sum(hidden, yes, no, torch.tensor([1, 0]))
    odds = 3 / math.sqrt(12.5)
    expected = math.log1p(math.exp(-odds)) + math.log1p(math.exp(odds))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(pointing_sum(hidden[:0], yes, no, torch.tensor([], dtype=torch.int8))) == 0
