"""Tokens added to a tokenizer, and its files written so that any program can load them.

All of it is done on the files' own data: no library has to understand the model.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from avalan.errors import ConfigurationError, StateError, reason_of
from avalan.model.prompt import read_json

DEFINITION, SETTINGS, NAMES = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
_BESIDE = ("chat_template.jinja", "generation_config.json")
_OURS = frozenset((DEFINITION, SETTINGS, NAMES, *_BESIDE, "added_tokens.json"))
_EXTRA = ("extra_special_tokens", "additional_special_tokens")
"""The list of further control tokens, as transformers calls it since version 5 and before."""


def add_tokens(
    definition: str, tokens: Sequence[str] = (), special_tokens: Sequence[str] = ()
) -> str:
    """The text of a `tokenizer.json` with `tokens` and control tokens added to it.

    They are found in a text as they are written here, whatever stands beside them. One that is in
    the vocabulary keeps its id.

    Raises:
        ConfigurationError: a token is empty.
    """
    if not tokens and not special_tokens:
        return definition
    if not all((*tokens, *special_tokens)):
        raise ConfigurationError(
            "A token to add is empty; write its text, as in: --token '<my_token>'"
        )
    made = tokenizers.Tokenizer.from_str(definition)
    made.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in tokens])
    made.add_special_tokens(
        [tokenizers.AddedToken(text, normalized=False) for text in special_tokens]
    )
    changed: str = made.to_str(pretty=True)
    return changed


def check_folder_to_save(folder: Path) -> None:
    """Whether a tokenizer may be written to `folder`: it is new, empty, or a tokenizer's own.

    Raises:
        ConfigurationError: it is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(
            "{folder!r} is a file, so no tokenizer can be saved in it; name a folder.",
            folder=str(folder),
        )
    others = sorted(path.name for path in folder.glob("*") if path.name not in _OURS)
    if others:
        shown = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
        raise ConfigurationError(
            "The folder {folder!r} holds other files ({shown}), beside which no tokenizer is "
            "saved; name a new folder.",
            folder=str(folder),
            shown=shown,
        )


def save_tokenizer(
    source: Path, folder: Path, *, tokens: Sequence[str] = (), special_tokens: Sequence[str] = ()
) -> list[str]:
    """Write the tokenizer of `source`, with tokens added, to `folder`; returns the files' names.

    Raises:
        ConfigurationError: `folder` is something else, or a token is empty.
        ModelError: a file of `source` is not what its name says.
        StateError: the files cannot be written.
    """
    check_folder_to_save(folder)
    own = (source / DEFINITION).read_text(encoding="utf-8")
    definition = add_tokens(own, tokens, special_tokens)
    settings = _settings(read_json(source / SETTINGS), definition, special_tokens)
    made = {DEFINITION: definition, SETTINGS: _text(settings)}
    if (source / NAMES).is_file():
        made[NAMES] = _text(_with_extra(read_json(source / NAMES), special_tokens))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
        copied = [name for name in _BESIDE if (source / name).is_file()]
        for name in copied:
            if not (folder / name).exists() or not (folder / name).samefile(source / name):
                shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise StateError(
            "The tokenizer cannot be saved to {folder!r} ({reason}); choose another folder.",
            folder=str(folder),
            reason=reason_of(error),
        ) from None
    return [*made, *copied]


def _settings(
    settings: Mapping[str, Any], definition: str, special_tokens: Sequence[str]
) -> dict[str, Any]:
    """`tokenizer_config.json` for the new definition."""
    made = _with_extra(settings, special_tokens)
    # Without a class, a loader would look for the model's configuration to guess it.
    made.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
    # The code that a model brings is not copied, and not needed for these files.
    made.pop("auto_map", None)
    if "added_tokens_decoder" in made:
        added = json.loads(definition).get("added_tokens", [])
        made["added_tokens_decoder"] = {str(token.pop("id")): token for token in added}
    return made


def _with_extra(settings: Mapping[str, Any], special_tokens: Sequence[str]) -> dict[str, Any]:
    made = dict(settings)
    if not special_tokens:
        return made
    name = next((name for name in _EXTRA if made.get(name)), _EXTRA[0])
    held = made.get(name) or []
    if isinstance(held, Mapping):  # By name, which new ones have none of.
        return made
    known = {each.get("content") if isinstance(each, Mapping) else each for each in held}
    made[name] = [*held, *(text for text in special_tokens if text not in known)]
    return made


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
