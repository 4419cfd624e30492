"""A synthetic data set on disk: drawn in blocks, cleaned in their order, written as Parquet files.

    DIR/recipe.json               what is made here; another recipe is refused
    DIR/blocks/00012.parquet      records as they were drawn; any machine may draw any of them
    DIR/train-00000.parquet …     what is left of them, by split
    DIR/README.md                 the card
    DIR/manifest.json             counts, and the SHA-256 of each file; written last

Each file appears whole under its name or not at all, so that the same command goes on after a kill;
and since each block follows from its number alone, it gives the same bytes.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from avalan.data.cleaning import Cleaner, texts_of_tests
from avalan.data.synthesis import Maker, Recipe, drawn
from avalan.errors import ConfigurationError
from avalan.reflection.record import Record, Split, from_json, to_json

RECIPE, MANIFEST, CARD, BLOCKS = "recipe.json", "manifest.json", "README.md", "blocks"
_POOR = 0.02
"""Where a block has fewer new records than this share, the recipe has no more to give."""

_PASSAGE = pa.struct(
    [("pid", pa.string()), ("text", pa.string()), ("title", pa.string()), ("relevant", pa.bool_())]
)
_SEGMENT = pa.struct(
    [
        ("decision", pa.string()),
        ("passages", pa.list_(_PASSAGE)),
        ("text", pa.string()),
        ("support", pa.string()),
        ("cite", pa.list_(pa.string())),
        ("span", pa.list_(pa.int32())),
    ]
)
SCHEMA = pa.schema(
    [
        ("schema", pa.string()),
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("segments", pa.list_(_SEGMENT)),
        ("utility", pa.int8()),
        ("answers", pa.list_(pa.string())),
        ("lang", pa.string()),
        ("split", pa.string()),
        ("source", pa.map_(pa.string(), pa.string())),
        ("loss", pa.struct([("reflection", pa.float32()), ("text", pa.float32())])),
    ]
)
"""`selfref/1` as columns."""


@dataclass(frozen=True, slots=True)
class Share:
    """The work of one of several machines."""

    number: int
    """From 1 on."""
    of: int


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is."""

    what: str
    """`drawn` or `written`."""
    done: int
    total: int


Tell = Callable[[Step], None]


def open_folder(recipe: Recipe, folder: Path) -> None:
    """Make `folder` one of `recipe`.

    Raises:
        ConfigurationError: it holds another recipe's data, or other files.
    """
    told = json.dumps(recipe.to_json(), indent=1, sort_keys=True) + "\n"
    path = folder / RECIPE
    if path.exists():
        if path.read_text(encoding="utf-8") != told:
            raise ConfigurationError(
                "The folder {folder} has data of another recipe (see {file} in it); name another "
                "with: --out DIR",
                folder=folder,
                file=RECIPE,
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            "The folder {folder} is not empty; name another with: --out DIR", folder=folder
        )
    (folder / BLOCKS).mkdir(parents=True, exist_ok=True)
    _write(path, lambda new: new.write_text(told, encoding="utf-8"))


def draw(
    recipe: Recipe,
    folder: Path,
    made_by: Mapping[str, Maker],
    *,
    share: Share = Share(1, 1),
    tell: Tell = lambda step: None,
) -> None:
    """Draw the blocks of this machine's share that are not there yet."""
    rows, num = recipe.size.shard_rows, recipe.size.num
    total = -(-num // rows)
    for block in range(share.number - 1, total, share.of):
        _block(recipe, folder, block, made_by)
        tell(Step("drawn", min((block + 1) * rows, num), num))


def finish(
    recipe: Recipe,
    folder: Path,
    made_by: Mapping[str, Maker],
    tested: Sequence[Path] = (),
    *,
    tell: Tell = lambda step: None,
) -> dict[str, Any]:
    """Clean what was drawn, drawing on until there are as many records as wanted; the manifest.

    Raises:
        ConfigurationError: the recipe has not so many different records to give.
    """
    if (done := manifest(folder)) is not None:
        return done
    cleaned = Cleaned(folder, tested, recipe.size.shard_rows)
    num_drawn = 0
    for block in count():
        before = cleaned.num_kept
        for record in _read(_block(recipe, folder, block, made_by)):
            num_drawn += 1
            cleaned.add(record)
            if cleaned.num_kept == recipe.size.num:
                break
        tell(Step("written", cleaned.num_kept, recipe.size.num))
        if cleaned.num_kept == recipe.size.num:
            break
        if cleaned.num_kept - before < _POOR * recipe.size.shard_rows:
            raise ConfigurationError(
                "The recipe {name} gives {kept:,} different records and hardly more ({drawn:,} "
                "were drawn); ask for fewer with --n, or give it more kinds.",
                name=recipe.name,
                kept=cleaned.num_kept,
                drawn=num_drawn,
            )
    told = {
        "recipe": recipe.to_json(),
        "num_drawn": num_drawn,
        **cleaned.close(),
        "licence": "Apache-2.0",
    }
    close(folder, told, card(told))
    shutil.rmtree(folder / BLOCKS)
    return told


class Cleaned:
    """The files of a data set, of records that are looked at one after the other."""

    num_kept = 0

    def __init__(self, folder: Path, tested: Sequence[Path], shard_rows: int) -> None:
        """
        Args:
            tested: files of tests, of which no record may have thirteen words in a row.
            shard_rows: records in a file.
        """
        self._tested = tested
        self._cleaner = Cleaner(texts_of_tests(tested))
        self._writers = {split: _Writer(folder, split, shard_rows) for split in get_args(Split)}
        self._dropped: Counter[str] = Counter()
        self._kept: Counter[tuple[str, str, str]] = Counter()

    def add(self, record: Record) -> None:
        """Write `record`, or leave it out and count why."""
        if reason := self._cleaner.reason(record):
            self._dropped[reason] += 1
            return
        self._writers[record.split].add(record)
        part = record.source.get("part", record.source["dataset"])
        self._kept[record.split, part, record.source["kind"]] += 1
        self.num_kept += 1

    def close(self) -> dict[str, Any]:
        """What a manifest says of the files, which are all written."""
        written = [path for writer in self._writers.values() for path in writer.close()]
        return {
            "num_kept": self.num_kept,
            "dropped": dict(sorted(self._dropped.items())),
            "kept": [
                {"split": split, "part": part, "kind": kind, "num": num}
                for (split, part, kind), num in sorted(self._kept.items())
            ],
            "tested": sorted(path.name for path in self._tested),
            "files": {path.name: _file(path) for path in written},
        }


def close(folder: Path, told: Mapping[str, Any], card_text: str) -> None:
    """Write the card, and then the manifest, which says that a data set is whole."""
    _write(folder / CARD, lambda new: new.write_text(card_text, encoding="utf-8"))
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    _write(folder / MANIFEST, lambda new: new.write_text(text, encoding="utf-8"))


def manifest(folder: Path) -> dict[str, Any] | None:
    """What is in `folder`; None where it is not finished."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def records(folder: Path, split: Split) -> Iterator[Record]:
    """The records of one split, in their order.

    Raises:
        ConfigurationError: the folder has no finished data set.
    """
    told = manifest(folder)
    if told is None:
        raise ConfigurationError(
            "The folder {folder} has no finished data set ({file} is missing); make one with: "
            "avalan data synthesize avalon --out {folder}",
            folder=folder,
            file=MANIFEST,
        )
    for name in told["files"]:
        if name.startswith(split):
            yield from _read(folder / name)


def card(told: Mapping[str, Any]) -> str:
    """The data card."""
    recipe = told["recipe"]
    rows = "\n".join(
        f"| {row['split']} | {row['part']} | {row['kind']} | {row['num']:,} |"
        for row in told["kept"]
    )
    dropped = ", ".join(f"{num:,} {reason}" for reason, num in told["dropped"].items()) or "none"
    tests = ", ".join(told["tested"]) or "none was given"
    generator, seed = recipe["generator"], recipe["size"]["seed"]
    return f"""# {recipe["name"]}: a synthetic data set

{told["num_kept"]:,} records `selfref/1`, made by `avalan data synthesize` (generator {generator})
from the seed {seed}: by programs, from invented worlds; what is of the kind `textbook` was written
one by one, by a language model. No person has read them. Licence: {told["licence"]}.

{told["num_drawn"]:,} were drawn; left out: {dropped}. `repeated` is the same as an earlier one,
`alike` nearly the same, `tested` shares thirteen words in a row with a test ({tests}).

| split | part | kind | records |
|---|---|---|---|
{rows}

Validation has wordings and names that training never sees; half of the test has unseen relations
and domains besides (`source.level`: G1 and G2).
"""


# --- files -------------------------------------------------------------------------------------


def _block(recipe: Recipe, folder: Path, block: int, made_by: Mapping[str, Maker]) -> Path:
    """The file of a block, drawn if it is not there."""
    path = folder / BLOCKS / f"{block:05}.parquet"
    if not path.exists():
        rows = recipe.size.shard_rows
        made = [drawn(recipe, index, made_by) for index in range(block * rows, (block + 1) * rows)]
        path.parent.mkdir(exist_ok=True)
        _save(made, path)
    return path


class _Writer:
    """Files of one split, each of so many records."""

    def __init__(self, folder: Path, split: Split, rows: int) -> None:
        self._folder, self._split, self._rows = folder, split, rows
        self._waiting: list[Record] = []
        self._written: list[Path] = []

    def add(self, record: Record) -> None:
        self._waiting.append(record)
        if len(self._waiting) == self._rows:
            self._flush()

    def close(self) -> list[Path]:
        if self._waiting:
            self._flush()
        return self._written

    def _flush(self) -> None:
        path = self._folder / f"{self._split}-{len(self._written):05}.parquet"
        _save(self._waiting, path)
        self._written.append(path)
        self._waiting = []


def _save(made: Sequence[Record], path: Path) -> None:
    table = pa.Table.from_pylist([_row(record) for record in made], schema=SCHEMA)
    _write(path, lambda new: pq.write_table(table, new, compression="zstd"))


def _row(record: Record) -> dict[str, Any]:
    row = to_json(record)
    return row | {"source": sorted(row["source"].items())}


def _read(path: Path) -> Iterator[Record]:
    for row in pq.read_table(path).to_pylist():
        yield from_json(row | {"source": dict(row["source"])})


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file beside `path`, then give it that name."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(new)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
