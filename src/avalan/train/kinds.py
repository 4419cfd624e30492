"""Recipes of every kind: a language model from nothing, or an embedder from a larger one."""

from typing import Any

from avalan.errors import ConfigurationError
from avalan.train.embedder_recipe import EmbedderRecipe, embedder_from_table
from avalan.train.recipe import Recipe, read_recipe, recipe_from_table

AnyRecipe = Recipe | EmbedderRecipe


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
    if kind not in (None, "embedder"):
        raise ConfigurationError(
            "The recipe {name} is of the kind {kind!r}; write kind = 'embedder', or leave it out "
            "for a language model.",
            name=name,
            kind=kind,
        )
    return recipe_from_table(table, name) if kind is None else embedder_from_table(table, name)
