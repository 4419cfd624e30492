"""Recipes of every kind: a language model from nothing or from one that exists, an embedder or a
reader from an encoder."""

from collections.abc import Callable
from typing import Any

from avalan.errors import ConfigurationError
from avalan.train.embedder_recipe import EmbedderRecipe, embedder_from_table
from avalan.train.preference_recipe import PreferenceRecipe, preference_from_table
from avalan.train.reader_recipe import ReaderRecipe, reader_from_table
from avalan.train.recipe import Recipe, read_recipe, recipe_from_table
from avalan.train.tuning_recipe import TuningRecipe, tuning_from_table

AnyRecipe = Recipe | EmbedderRecipe | ReaderRecipe | TuningRecipe | PreferenceRecipe

_KINDS: dict[object, Callable[[dict[str, Any], str], AnyRecipe]] = {
    None: recipe_from_table,
    "embedder": embedder_from_table,
    "reader": reader_from_table,
    "tuning": tuning_from_table,
    "preference": preference_from_table,
}


def load_any(name: str, changes: dict[str, str] | None = None) -> AnyRecipe:
    """Read the recipe file `name`, or the one of that name in the package.

    Args:
        changes: dotted keys and TOML values, as `{"run.seed": "8"}`, that override the file.

    Raises:
        ConfigurationError: there is no such recipe, it cannot be read, a key is unknown, or a
            value is of another type or impossible.
    """
    return from_table(*read_recipe(name, changes))


def from_table(table: dict[str, Any], name: str) -> AnyRecipe:
    """The recipe `name` of the kind that its table says; without one, a language model's.

    Raises:
        ConfigurationError: as `load_any`.
    """
    kind = table.get("kind")
    if not isinstance(kind, str | None) or kind not in _KINDS:
        raise ConfigurationError(
            "The recipe {name} is of the kind {kind!r}; write one of {known}, or leave kind out "
            "for a language model from nothing.",
            name=name,
            kind=kind,
            known=", ".join(str(each) for each in _KINDS if each),
        )
    return _KINDS[kind](table, name)
