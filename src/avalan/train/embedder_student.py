"""A small BERT that begins as parts of a larger one, with token embeddings in two factors."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertModel

from avalan.compress.encoder import MOST, principal_components
from avalan.errors import ConfigurationError
from avalan.train.embedder_recipe import Student


def new_student(teacher: BertModel, shape: Student, counts: NDArray[np.int64]) -> BertModel:
    """The student before training.

    Some of the teacher's blocks, as in DistilBERT (Sanh et al., 2019, arXiv:1910.01108); token
    embeddings are a product, as in ALBERT (Lan et al., 2020, arXiv:1909.11942), which begins as
    the principal components of the teacher's.

    Args:
        counts: how often each token occurs in the corpus, (vocab_size,).

    Raises:
        ConfigurationError: the student is larger than the teacher.
    """
    config = copy.deepcopy(teacher.config)
    if not (
        1 <= shape.num_layers <= config.num_hidden_layers
        and 1 <= shape.embedding_size <= config.hidden_size
    ):
        raise ConfigurationError(
            "The student has {layers} layers and token embeddings of {size}, but the teacher has "
            "{most_layers} and {most}; a student has at most as many.",
            layers=shape.num_layers,
            size=shape.embedding_size,
            most_layers=config.num_hidden_layers,
            most=config.hidden_size,
        )
    kept = np.linspace(0, config.num_hidden_layers - 1, shape.num_layers).round().astype(int)
    config.num_hidden_layers = shape.num_layers
    # Nothing is drawn at random while it learns, and little text comes twice.
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    student = BertModel(config, add_pooling_layer=False)
    student.embeddings.load_state_dict(teacher.embeddings.state_dict())
    for block, index in zip(student.encoder.layer, kept, strict=True):
        block.load_state_dict(teacher.encoder.layer[index].state_dict())
    _factorize(student, shape.embedding_size, counts)
    _round_products(student)
    return student


class RoundedLinear(nn.Linear):
    """A linear layer that computes as it will in 8 bits, while its gradient is that of a whole one.

    Source: Jacob et al., 2018, arXiv:1712.05877 (simulated quantisation).
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's own name)
        scales = self.weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / MOST
        weight = _straight_through(self.weight, (self.weight / scales).round() * scales)
        return nn.functional.linear(_straight_through(input, rounded(input)), weight, self.bias)


def rounded(inputs: Tensor) -> Tensor:
    """`inputs` (num_texts, length, width) in 256 steps between its least and its highest number,
    0 among them, for each text; as ONNX's DynamicQuantizeLinear."""
    low = inputs.amin(dim=(1, 2), keepdim=True).clamp_max(0)
    high = inputs.amax(dim=(1, 2), keepdim=True).clamp_min(0)
    step = (high - low).clamp_min(1e-12) / 255
    zero = (-low / step).round()
    return ((inputs / step + zero).round().clamp(0, 255) - zero) * step


def _straight_through(exact: Tensor, coarse: Tensor) -> Tensor:
    """The value of `coarse` with the gradient of `exact`."""
    return exact + (coarse - exact).detach()


def _round_products(student: BertModel) -> None:
    for module in student.encoder.modules():
        if type(module) is nn.Linear:
            module.__class__ = RoundedLinear


def _factorize(student: BertModel, size: int, counts: NDArray[np.int64]) -> None:
    embeddings = student.embeddings
    table = embeddings.word_embeddings.weight.detach().numpy()
    weights = np.sqrt(counts + 1.0)
    mean, factors, basis = principal_components(table, weights, size)
    tokens = nn.Embedding.from_pretrained(torch.from_numpy(factors), freeze=False)
    widen = nn.Linear(size, table.shape[1], bias=False)
    with torch.no_grad():
        widen.weight.copy_(torch.from_numpy(basis.T))
        # Added to every token alike, and so the place for what all of them share.
        embeddings.token_type_embeddings.weight += torch.from_numpy(mean)
    embeddings.word_embeddings = nn.Sequential(tokens, widen)


def plain(student: BertModel) -> BertModel:
    """The same student with one embedding matrix, as any program reads it."""
    whole = BertModel(student.config, add_pooling_layer=False)
    weights = student.state_dict()
    prefix = "embeddings.word_embeddings."
    factors, widen = weights.pop(prefix + "0.weight"), weights.pop(prefix + "1.weight")
    whole.load_state_dict({**weights, prefix + "weight": factors @ widen.T})
    return whole


def pooled(model: nn.Module, token_ids: Tensor, mask: Tensor) -> Tensor:
    """The mean of the tokens' vectors at length 1, (num_texts, width)."""
    hidden = model(input_ids=token_ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return nn.functional.normalize(mean, dim=-1)
