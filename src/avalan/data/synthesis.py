"""Synthetic data: which record is number `i`, from a recipe and a seed alone.

Number `i` is the same on every machine and in every order, so that work is split over machines and
goes on after a kill. What is held out is held out by template and by entity: validation has
wordings and names that training never sees (level G1), half of the test relations and domains
besides (G2); see `worlds`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from random import Random
from typing import Any

from avalan.data.general import GENERAL
from avalan.data.mixture import REFLECTIVE, one, rng_for
from avalan.data.textbook import Textbook
from avalan.data.textbook_records import (
    blanks_maker,
    claims_maker,
    near_maker,
    prompts_maker,
    single_maker,
    textbook_maker,
)
from avalan.data.worlds import Level
from avalan.errors import ConfigurationError
from avalan.locale import _
from avalan.reflection.record import Record, Split
from avalan.table import check_keys, field_types, read_fields, read_toml

GENERATOR = 2
"""Raised when the same recipe comes to give other records."""

_OF_BOOK = {
    "textbook": (textbook_maker, "inquiries", "questions.jsonl"),
    "single": (single_maker, "inquiries", "questions.jsonl"),
    "near": (near_maker, "inquiries", "questions.jsonl"),
    "blanks": (blanks_maker, "pages", "passages.jsonl"),
    "claims": (claims_maker, "claims", "claims.jsonl"),
    "prompts": (prompts_maker, "prompts", "prompts.jsonl"),
}
"""Of what was written one by one: who makes it of which part of a textbook, in which file."""
WRITTEN = tuple(_OF_BOOK)
"""Kinds of records: made of invented worlds, ordinary text, and what was written one by one (the
textbook's questions and prompts; its questions over one page each, or over some sentences of it;
parts of its sentences asked for; its claims; its prompts)."""
KINDS = (*REFLECTIVE, *GENERAL, *WRITTEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much, from which seed."""

    num: int = 201_000
    """Records, all splits together."""
    seed: int = 7
    """Seed of every record."""
    validation: float = 0.01
    """Share of the records that is kept for choosing (0 to 1)."""
    test: float = 0.01
    """Share of the records that is kept for the end (0 to 1)."""
    shard_rows: int = 5_000
    """Records in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a synthetic data set is made of."""

    name: str
    size: Size = field(default_factory=Size)
    mix: Mapping[str, float]
    """The share of each part."""
    parts: Mapping[str, Mapping[str, float]]
    """Of each part, the share of each kind of record."""

    def to_json(self) -> dict[str, Any]:
        """As in a manifest."""
        return {"generator": GENERATOR, **dataclasses.asdict(self)}


Maker = Callable[..., Record]
"""(rng, level, *, identifier, split) → record."""


def shipped_recipes() -> list[str]:
    """The names of the recipes in the package."""
    rows = (files("avalan.data") / "recipes").iterdir()
    return sorted(row.name.removesuffix(".toml") for row in rows if row.name.endswith(".toml"))


def load_recipe(
    name: str,
    *,
    num: int | None = None,
    seed: int | None = None,
    mix: Mapping[str, float] | None = None,
) -> Recipe:
    """The recipe in the TOML file `name`, or the one of that name in the package.

    Args:
        num, seed, mix: instead of what the file says.

    Raises:
        ConfigurationError: there is no such recipe, or a key or a value of it is impossible.
    """
    file = _("The recipe {name}", name=name)
    table = read_toml(_find(name), file)
    check_keys(table, ["size", "mix", "parts"], file)
    size = Size(**read_fields(field_types(Size), table.get("size", {}), "size", file))
    changes = {"num": num, "seed": seed}
    size = replace(size, **{key: value for key, value in changes.items() if value is not None})
    _check(size, file)
    parts = table.get("parts", {})
    return Recipe(
        name=Path(name).stem,
        size=size,
        mix=_shares(mix or table.get("mix", {}), parts, "mix", file),
        parts={
            part: _shares(shares, KINDS, f"parts.{part}", file) for part, shares in parts.items()
        },
    )


def _find(name: str) -> Traversable:
    path = Path(name)
    if path.is_file():
        return path
    if name.removesuffix(".toml") in shipped_recipes():
        return files("avalan.data") / "recipes" / f"{name.removesuffix('.toml')}.toml"
    raise ConfigurationError(
        "There is no recipe {name!r}; give the path of a TOML file, or one of: {known}.",
        name=name,
        known=", ".join(shipped_recipes()),
    )


def _shares(values: Any, known: Any, section: str, file: str) -> dict[str, float]:
    """Shares by name; they need not sum to 1."""
    if not isinstance(values, dict):
        raise ConfigurationError(
            "{file} has {section} = {values!r}; write it as [{section}].",
            file=file,
            section=section,
            values=values,
        )
    check_keys(values, known, file, section=section)
    for name, share in values.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1e9:
            raise ConfigurationError(
                "{file} sets {key} to {value!r}, but it must be a share: a number from 0 on.",
                file=file,
                key=f"{section}.{name}",
                value=share,
            )
    if not sum(values.values()):
        raise ConfigurationError(
            "{file} has no shares in [{section}]; give one of these a number above 0: {names}.",
            file=file,
            section=section,
            names=", ".join(known),
        )
    return {name: float(share) for name, share in values.items()}


def _check(size: Size, file: str) -> None:
    ranges = {
        "num": (size.num, 1, 10**9),
        "seed": (size.seed, 0, 2**32 - 1),
        "shard_rows": (size.shard_rows, 1, 10**6),
        "validation": (size.validation, 0, 1),
        "test": (size.test, 0, 1),
    }
    for key, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise ConfigurationError(
                "{file} has size.{key} = {value}, but it must be from {least:,} to {most:,}.",
                file=file,
                key=key,
                value=value,
                least=least,
                most=most,
            )
    if size.validation + size.test > 1:
        raise ConfigurationError(
            "{file} keeps more than everything for validation and test; lower one of them.",
            file=file,
        )


def read_mix(text: str) -> dict[str, float]:
    """The shares of `--mix`, as in `selfrag=0.8,general=0.2`.

    Raises:
        ConfigurationError: it is written otherwise.
    """
    found = {}
    for item in text.split(","):
        name, _equals, share = item.partition("=")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            raise ConfigurationError(
                "--mix {text} cannot be read; write it as: selfrag=0.8,general=0.2", text=text
            ) from None
    return found


def makers(recipe: Recipe, book: Textbook | None) -> dict[str, Maker]:
    """Who makes each kind of record that the recipe wants.

    Raises:
        ConfigurationError: it wants the textbook's, and there is no textbook, or none of that kind
            to learn from.
    """
    wanted = {kind for shares in recipe.parts.values() for kind, share in shares.items() if share}
    found: dict[str, Maker] = {kind: partial(one, kind) for kind in (*REFLECTIVE, *GENERAL)}
    if wanted & set(WRITTEN):
        if book is None:
            raise ConfigurationError(
                "The recipe {name} has records of the textbook; name the data/textbook of a "
                "checkout with: --textbook DIR",
                name=recipe.name,
            )
        lessons = book.part("train")
        for kind in sorted(wanted & set(WRITTEN)):
            make, part, file = _OF_BOOK[kind]
            if not getattr(lessons, part):
                raise ConfigurationError(
                    "The recipe {name} has records of kind {kind}, but no line of the textbook's "
                    "{file} is for training; leave the kind out, or add lines.",
                    name=recipe.name,
                    kind=kind,
                    file=file,
                )
            found[kind] = make(lessons)
    return {kind: make for kind, make in found.items() if kind in wanted}


def drawn(recipe: Recipe, index: int, made_by: Mapping[str, Maker]) -> Record:
    """Record number `index` of the recipe, before any is left out.

    Its `source` says the part, the kind and the level.
    """
    rng = rng_for(recipe.size.seed, index)
    split = _split(recipe.size, rng)
    part = _one_of(recipe.mix, rng)
    shares = recipe.parts[part]
    if split != "train":
        # What was written one by one has splits of its own, of which only training is taken.
        made = {kind: share for kind, share in shares.items() if kind not in WRITTEN}
        shares = made if sum(made.values()) else {"reading": 1.0}
    kind = _one_of(shares, rng)
    level: Level = "train"
    if split != "train":
        level = "G2" if split == "test" and rng.random() < 0.5 else "G1"
    maker = made_by.get(kind) or partial(one, kind)
    record = maker(rng, level, identifier=f"{recipe.name}-{index:07}", split=split)
    source = {**record.source, "part": part, "kind": kind, "level": level}
    return replace(record, source=source)


def _split(size: Size, rng: Random) -> Split:
    place = rng.random()
    if place < size.test:
        return "test"
    return "validation" if place < size.test + size.validation else "train"


def _one_of(shares: Mapping[str, float], rng: Random) -> str:
    (name,) = rng.choices(list(shares), weights=list(shares.values()))
    return name
