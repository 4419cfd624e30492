"""New rows in a model's token matrices, for tokens that its vocabulary was given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from avalan.errors import reason_of
from avalan.locale import _
from avalan.model.adapter import NEW_ROWS, foreign

_IDS, _INPUT, _OUTPUT = "token_ids", "input", "output"


def is_tied(model: Any) -> bool:
    """Whether the head is the same matrix as the embedding."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def matrices(model: Any) -> list[Tensor]:
    """The token matrices, (num_rows, width): the embedding, and the head where it is another."""
    head = model.get_output_embeddings()
    found = [model.get_input_embeddings().weight]
    return found if head is None or is_tied(model) else [*found, head.weight]


def grow(model: Any, num_rows: int) -> None:
    """Give the token matrices `num_rows` rows where they have fewer; what is tied stays tied.

    They are never cut: many models have spare rows, which new tokens take.
    """
    if model.get_input_embeddings().weight.shape[0] < num_rows:
        # What the new rows hold is decided elsewhere: the mean that transformers gives each of
        # them makes them all alike.
        model.resize_token_embeddings(num_rows, mean_resizing=False)


def save_rows(model: Any, token_ids: Sequence[int], folder: Path) -> None:
    """Write the rows of `token_ids` beside an adapter, for a base that lacks them."""
    ids = list(token_ids)
    made = zip((_INPUT, _OUTPUT), matrices(model), strict=False)
    kept = {name: matrix.detach()[ids].clone().contiguous() for name, matrix in made}
    save_file({_IDS: kept[_INPUT].new_tensor(ids), **kept}, folder / NEW_ROWS)


def take_rows(model: Any, folder: Path) -> None:
    """Give a base the rows that were written beside an adapter, if there are any.

    Raises:
        ModelError: they are of another model.
    """
    path = folder / NEW_ROWS
    if not path.is_file():
        return
    try:
        held = load_file(path)
        ids = held[_IDS].long()
    except (OSError, ValueError, KeyError) as error:
        raise foreign(folder, reason_of(error)) from error
    grow(model, int(ids.max()) + 1)
    for name, matrix in zip((_INPUT, _OUTPUT), matrices(model), strict=False):
        if name not in held or held[name].shape[1:] != matrix.shape[1:]:
            raise foreign(folder, _("{file} has rows of another width", file=NEW_ROWS))
        matrix.data[ids] = held[name].to(matrix)
