"""Names of models: a bare id, a path, or `ai://[key@]provider/model?options`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote

from avalan.errors import ConfigurationError
from avalan.locale import _

SCHEME = "ai://"
LOCAL = "local"
"""The provider of models that run on this machine."""
_FROM_ENVIRONMENT = "env:"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUri:
    """Which model, and who runs it."""

    model: str
    """The model's id or path, as its provider knows it."""
    provider: str = LOCAL
    """`local`, or the name of a service."""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """What follows the question mark."""
    key: str | None = field(default=None, repr=False)
    """The service's key, or `env:NAME`. It is left out of every text made from this object."""

    @property
    def is_local(self) -> bool:
        """Whether the model runs on this machine."""
        return self.provider == LOCAL

    def secret(self) -> str | None:
        """The key itself, read from the environment where `env:NAME` says so.

        Raises:
            ConfigurationError: the environment variable is not set.
        """
        if self.key is None or not self.key.startswith(_FROM_ENVIRONMENT):
            return self.key
        name = self.key.removeprefix(_FROM_ENVIRONMENT)
        value = os.environ.get(name)
        if not value:
            raise ConfigurationError(
                "The key for {provider!r} is to be read from the environment variable "
                "{name!r}, which is not set; set it and try again.",
                provider=self.provider,
                name=name,
            )
        return value


def parse_uri(text: str) -> EngineUri:
    """Read the name of a model.

    Anything that does not begin with `ai://` is an id or a path, taken as it is. In a URI, `%40`
    and the like stand for characters that would otherwise separate its parts.

    Raises:
        ConfigurationError: the name is empty, or the URI lacks a part. The sentence never holds
            the key.
    """
    text = text.strip()
    if not text:
        raise ConfigurationError("The name of the model is empty; give one, such as 'bundled'.")
    if not text.lower().startswith(SCHEME):
        if "://" in text:
            scheme = text.partition("://")[0]
            raise ConfigurationError(
                "A model's URI begins with 'ai://', not with '{scheme}://'; write "
                "ai://provider/model.",
                scheme=scheme,
            )
        return EngineUri(model=text)
    place, _mark, query = text[len(SCHEME) :].partition("?")
    authority, _slash, model = place.partition("/")
    key, at, provider = authority.rpartition("@")
    _require(bool(provider), _("The model's URI names no provider"))
    _require(bool(model), _("The model's URI names no model of {provider!r}", provider=provider))
    _require(
        not at or bool(key),
        _("The model's URI has an empty key for {provider!r}", provider=provider),
    )
    return EngineUri(
        model=unquote(model),
        provider=unquote(provider),
        key=unquote(key) if at else None,
        options=_options(query),
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ConfigurationError(
            "{what}; write ai://provider/model, with key@ before the provider where it needs one.",
            what=what,
        )


def _options(query: str) -> Mapping[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        names = [pair[0] for pair in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(
            "The model's URI gives the option {twice!r} twice; keep one.", twice=twice
        )
    return MappingProxyType(options)
