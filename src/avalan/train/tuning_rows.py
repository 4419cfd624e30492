"""Rows of tokens for tuning: made once, kept with the run, and read in a new order each epoch.

They lie in files that are mapped into memory, so that a large data set needs none, and a run that
goes on reads the same rows.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avalan.data.record_files import read_records, read_texts
from avalan.errors import ConfigurationError
from avalan.model.prompt import Tokenizer
from avalan.reflection.record import Record, Split
from avalan.train.tuning_recipe import TuningRecipe
from avalan.train.tuning_tokens import Tokens, all_tokens, text_tokens

_COLUMNS = {
    "input_ids": np.int32,
    "position_ids": np.int32,
    "weights": np.float32,
    "is_plain": np.bool_,
    "is_inside": np.bool_,
    "quoted": np.int8,
}
_COUNTS = "rows.json"
_OPEN = 32
"""Rows that wait for a record that fills them."""
TAUGHT = ("teacher_ids", "teacher_logprobs")
"""Columns that a teacher adds, (num_rows, row_length, top_k): what may come after each token."""


def packed(
    found: Iterable[Tokens], *, row_length: int, pad_id: int, alone: bool
) -> Iterator[dict[str, list[Any]]]:
    """Rows of whole records, each blind to the others in its row.

    A record goes to the first of a few open rows that has room (first fit); where there is none a
    new row is opened, and the fullest is done.

    Args:
        alone: one record to a row, for models with a state that runs through a row.
    """
    rows: list[dict[str, list[Any]]] = []
    for each in found:
        num = len(each.input_ids)
        if num > row_length:
            continue
        row = next((row for row in rows if len(row["input_ids"]) + num <= row_length), None)
        if row is None or alone:
            row = _empty()
            rows.append(row)
        row["position_ids"] += range(num)
        for name in ("input_ids", "weights", "is_plain", "is_inside", "quoted"):
            row[name] += getattr(each, name)
        if len(rows) > (0 if alone else _OPEN):
            fullest = max(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))
            yield _padded(rows.pop(fullest), row_length, pad_id)
    for row in rows:
        yield _padded(row, row_length, pad_id)


def _empty() -> dict[str, list[Any]]:
    return {name: [] for name in _COLUMNS}


def _padded(row: dict[str, list[Any]], length: int, pad_id: int) -> dict[str, list[Any]]:
    num = length - len(row["input_ids"])
    filling = {
        "input_ids": [pad_id] * num,
        "position_ids": list(range(num)),
        "quoted": [-1] * num,
    }
    return {name: values + filling.get(name, [0] * num) for name, values in row.items()}


class Rows(Dataset[dict[str, Tensor]]):
    """Rows on disk, read in an order that each epoch shuffles anew from the seed."""

    def __init__(self, folder: Path, *, num_read: int, seed: int) -> None:
        """
        Args:
            num_read: how many rows a run reads in all; see `order`.
            seed: of the order.
        """
        taught = [name for name in TAUGHT if (folder / f"{name}.npy").is_file()]
        self._columns = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in (*_COLUMNS, *taught)
        }
        self._order = order(len(self._columns["input_ids"]), num_read, seed)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self._order[index]
        row = {name: torch.from_numpy(np.array(c[number])) for name, c in self._columns.items()}
        whole = [name for name in row if name.endswith("_ids")]
        return row | {name: row[name].long() for name in whole}


def order(num_rows: int, num_read: int, seed: int) -> list[int]:
    """Which row is read when: all of them in a new order, again and again."""
    found: list[int] = []
    epoch = 0
    while len(found) < num_read:
        rows = list(range(num_rows))
        Random(f"{seed}:{epoch}").shuffle(rows)
        found += rows
        epoch += 1
    return found[:num_read]


def made_rows(
    recipe: TuningRecipe, split: Split, tokenizer: Tokenizer, folder: Path, *, alone: bool
) -> int:
    """Write the rows of one split into `folder`, unless they are there; how many there are.

    Raises:
        ConfigurationError: the data cannot be read, or no record fits a row.
    """
    if (folder / _COUNTS).is_file():
        return int(json.loads((folder / _COUNTS).read_text(encoding="utf-8"))["num_rows"])
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS}
    for row in packed(
        _read(recipe, split, tokenizer),
        row_length=recipe.lessons.max_tokens,
        pad_id=0,  # Any token will do: nothing sees it and nothing is asked of it.
        alone=alone,
    ):
        for name, kind in _COLUMNS.items():
            columns[name].append(np.array(row[name], kind))
    num_rows = len(columns["input_ids"])
    if num_rows == 0 and split == "train":
        raise ConfigurationError(
            "No record of {data} fits a row of {tokens:,} tokens; raise lessons.max_tokens, or "
            "give other data.",
            data=recipe.lessons.data or ", ".join(recipe.lessons.texts),
            tokens=recipe.lessons.max_tokens,
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in columns.items():
        if values:
            np.save(folder / f"{name}.npy", np.stack(values))
    (folder / _COUNTS).write_text(json.dumps({"num_rows": num_rows}) + "\n", encoding="utf-8")
    return num_rows


def _read(recipe: TuningRecipe, split: Split, tokenizer: Tokenizer) -> Iterator[Tokens]:
    lessons = recipe.lessons
    if lessons.texts:
        texts = read_texts([Path(place).expanduser() for place in lessons.texts])
        length, weight = lessons.max_tokens, recipe.loss.text
        return text_tokens(texts, tokenizer, row_length=length, weight=weight)
    num = lessons.num if split == "train" else lessons.held_out
    records = _first(read_records(Path(lessons.data).expanduser(), split), num)
    return all_tokens(recipe, records, tokenizer)


def _first(records: Iterator[Record], num: int) -> Iterator[Record]:
    for count, record in enumerate(records, 1):
        yield record
        if count == num:
            return
