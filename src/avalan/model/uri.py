"""Names of models: a bare id, a path, or `ai://[key@]provider/model?options`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from avalan.errors import ConfigurationError
from avalan.locale import _

LOCAL = "local"
"""The provider of models that run on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUri:
    """Which model, and who runs it."""

    model: str
    """The model's id or path, as its provider knows it."""
    provider: str = LOCAL
    """`local`, or the name of a service."""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What follows the question mark."""
    key: str | None = field(default=None, repr=False)
    """The service's key, or `env:NAME`. It is left out of every text made from this object."""

    @property
    def shown(self) -> str:
        """The name without the key, to print and to keep."""
        return self.model if self.is_local else f"ai://{self.provider}/{self.model}"

    @property
    def is_local(self) -> bool:
        """Whether the model runs on this machine."""
        return self.provider == LOCAL


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
    scheme, is_uri, rest = text.partition("://")
    if not is_uri:
        return EngineUri(model=text)
    if scheme.lower() != "ai":
        raise ConfigurationError(
            "A model's URI begins with 'ai://', not with '{scheme}://'; write ai://provider/model.",
            scheme=scheme,
        )
    place, _mark, query = rest.partition("?")
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
        options=dict(parse_qsl(query, keep_blank_values=True)),
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ConfigurationError(
            "{what}; write ai://provider/model, with key@ before the provider where it needs one.",
            what=what,
        )
