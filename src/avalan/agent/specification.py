"""An agent's file: who it is, the values of its variables, its model, how it answers.

The docstrings of the fields are the documentation of the TOML keys, and the help of
`avalan agent init`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from avalan import extras
from avalan.errors import ConfigurationError
from avalan.locale import _
from avalan.model.entities import EngineSettings, GenerationSettings
from avalan.table import check_keys, field_types, read_fields, read_toml, value_of

DEFAULT_MODEL = "bundled"
SECTIONS = ("agent", "template", "engine", "run")
MODEL_KEYS = ("model_id", "uri")
"""Two spellings of one key of [engine]; a file uses one of them."""

NOT_FROM_A_FILE = frozenset({"trust_remote_code", "allow_pickle", "access_token"})
"""Engine settings that a file from elsewhere may not decide for the person who runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """The section [agent]. All but the name may use variables, as `{{language}}`."""

    name: str | None = None
    """What the agent is called."""
    role: str
    """Who the agent is, as `You are an expert translator.`; needed."""
    task: str | None = None
    """What it is to do with each input."""
    instructions: str | None = None
    """How it is to do it."""
    rules: tuple[str, ...] = ()
    """What it must always keep to, one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpecification:
    """Everything that an agent's file says."""

    persona: Persona
    variables: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """The section [template]: values for the variables in the persona's texts."""
    model: str = DEFAULT_MODEL
    """The section [engine]'s `model_id` or `uri`: a name that `avalan model run` understands."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    """The rest of [engine]."""
    run: GenerationSettings = field(default_factory=GenerationSettings)
    """The section [run]."""


def load_specification(
    path: str | Path, changes: Mapping[str, str] | None = None
) -> AgentSpecification:
    """Read an agent's file.

    A model's path that begins with `./` or `../`, and a relative `cache_dir`, start from the
    file's folder, so that a folder with an agent and its model can be moved.

    Args:
        changes: dotted keys and values, as `{"template.language": "French"}`, that override the
            file. Where a text is wanted the value is taken as it is, elsewhere as TOML.

    Raises:
        ConfigurationError: the file cannot be read, a key is unknown or missing, or a value is of
            another type or impossible.
    """
    path = Path(path)
    file = _("The agent file {path}", path=path)
    if not path.exists() and path.parent.is_dir():
        raise ConfigurationError(
            "There is no agent file {path!r}; check the path, or make one with: avalan agent init",
            path=str(path),
        )
    if path.is_dir():
        raise ConfigurationError("{file} is a folder; give the path of a TOML file.", file=file)
    table = read_toml(path, file)
    for key, value in (changes or {}).items():
        override(table, key, value)
    return specification_from_table(table, file=file, folder=path.parent)


def specification_from_table(
    table: Mapping[str, Any], *, file: str = "", folder: Path | None = None
) -> AgentSpecification:
    """The specification from what a TOML file says.

    Args:
        file: how the sentences call the file; left open, "The agent".
        folder: where relative paths start; left open, the current folder.

    Raises:
        ConfigurationError: as `load_specification`.
    """
    file = file or _("The agent")
    check_keys(table, SECTIONS, file)
    sections = {name: _section(table, name, file) for name in SECTIONS}
    persona, engine, run = (
        read_fields(key_types(name), sections[name], name, file)
        for name in ("agent", "engine", "run")
    )
    if not persona.get("role", "").strip():
        raise ConfigurationError(
            '{file} gives the agent no role; add to [agent]: role = "You are …".', file=file
        )
    model = _model(engine, file)
    settings = GenerationSettings(**run)
    extras.load("avalan.model.decode.sampling").check_settings(settings)
    return AgentSpecification(
        persona=Persona(**persona),
        variables=MappingProxyType(_variables(sections["template"], file)),
        model=model if folder is None else _from(folder, model),
        engine=EngineSettings(**_with_cache_dir(engine, folder)),
        run=settings,
    )


def override(table: dict[str, Any], key: str, value: str) -> None:
    """Set the dotted `key` of an agent's table.

    Raises:
        ConfigurationError: the key does not name a section and a key in it.
    """
    section, _dot, name = key.partition(".")
    if section not in SECTIONS or not name:
        raise ConfigurationError(
            "{change} changes nothing in an agent; write section.key=value, where the "
            "section is one of: {sections}.",
            change=f"{key}={value}",
            sections=", ".join(SECTIONS),
        )
    place = table.setdefault(section, {})
    if not isinstance(place, dict):
        return  # The reader's sentence says what is wrong with it.
    if section == "engine" and name in MODEL_KEYS:
        for other in MODEL_KEYS:
            place.pop(other, None)
    takes_text = section == "template" or key_types(section).get(name) is str
    place[name] = value if takes_text else value_of(value)


def key_types(section: str) -> dict[str, Any]:
    """The keys of a section and their types; those of [template] are the author's own."""
    match section:
        case "agent":
            return field_types(Persona)
        case "engine":
            kinds = dict.fromkeys(MODEL_KEYS, str) | field_types(EngineSettings)
            return {name: kind for name, kind in kinds.items() if name not in NOT_FROM_A_FILE}
        case "run":
            return field_types(GenerationSettings)
    return {}


def _section(table: Mapping[str, Any], name: str, file: str) -> Mapping[str, Any]:
    values = table.get(name, {})
    if not isinstance(values, dict):
        raise ConfigurationError(
            "{file} has a key {name!r}; write it as a section: [{name}].", file=file, name=name
        )
    return values


def _model(engine: dict[str, Any], file: str) -> str:
    """Take the model's name out of the section [engine]."""
    named = {key: engine.pop(key) for key in MODEL_KEYS if key in engine}
    if len(named) > 1:
        raise ConfigurationError(
            "{file} names its model twice, by engine.model_id and engine.uri; keep one of them.",
            file=file,
        )
    for key, model in named.items():
        if not model.strip():
            raise ConfigurationError(
                "{file} leaves engine.{key} empty; name a model, such as 'bundled'.",
                file=file,
                key=key,
            )
        return str(model)
    return DEFAULT_MODEL


def _variables(values: Mapping[str, Any], file: str) -> dict[str, Any]:
    for name in values:
        if not (name.isidentifier() and name.isascii()):
            raise ConfigurationError(
                "{file} has a variable {name!r}, which {{{{…}}}} cannot name; use letters, "
                "digits and underscores.",
                file=file,
                name=name,
            )
    return dict(values)


def _from(folder: Path, model: str) -> str:
    """A path that says it is relative, from `folder`; any other name as it is."""
    if model.replace("\\", "/").startswith(("./", "../")) or model in (".", ".."):
        return str((folder / model).absolute())
    return model


def _with_cache_dir(engine: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    if folder is None or "cache_dir" not in engine:
        return dict(engine)
    cache_dir = folder / os.path.expanduser(engine["cache_dir"])
    return {**engine, "cache_dir": str(cache_dir.absolute())}
