"""A model's tokenizer without the model: its few small files, from the cache or the hub."""

from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from avalan.hub.account import find_token
from avalan.hub.download import fetch

DEFINITION = "tokenizer.json"
FILES = (
    DEFINITION,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
)


def find_tokenizer(
    name: str, *, cache_dir: str | Path | None, revision: str | None, token: str | None
) -> Path:
    """The folder with the tokenizer of the hub's model `name`, downloaded if need be.

    Args:
        token: the access token; left open, as in `avalan.hub.resolve`.

    Raises:
        ModelError: there is no such model, or the hub cannot be reached.
        StateError: the disk is full or cannot be written.
    """
    try:
        cached = huggingface_hub.try_to_load_from_cache(
            name, DEFINITION, cache_dir=cache_dir, revision=revision
        )
    except errors.HFValidationError:
        cached = None
    if isinstance(cached, str):
        return Path(cached).parent
    return fetch(
        name,
        cache_dir=cache_dir,
        revision=revision,
        offline=False,
        files=list(FILES),
        token=token or find_token(),
    )
