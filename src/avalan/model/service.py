"""Served models by URI: where a provider is, and with which key one asks it."""

import os
from dataclasses import dataclass, field

from avalan.errors import ConfigurationError
from avalan.model.entities import EngineSettings
from avalan.model.uri import EngineUri

PROVIDERS = {
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "together": "https://api.together.xyz/v1",
    "ollama": "http://localhost:11434/v1",
    "llama-server": "http://localhost:8080/v1",
}
"""Where each serves the OpenAI protocol."""

LLAMA_SERVER = "llama-server"
"""The provider that is spoken to with token ids."""

OPTIONS = ("base_url", "timeout")
_LOADED = (
    "adapter", "tokenizer", "tokens", "special_tokens",
    "weight_type", "attention", "context_length",
)  # fmt: skip
"""What a server has decided when it loaded its model."""
_DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A served model, and how to ask for it."""

    name: str
    """Its URI without the key."""
    model: str
    base_url: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = _DEFAULT_TIMEOUT_S
    """Longest silence of the server."""
    engine: str = "remote"
    """How it is spoken to: `remote`, over the OpenAI protocol, or `llama_server`."""

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI itself, whose newer models know other names for some settings."""
        return self.base_url == PROVIDERS["openai"]


def find_service(uri: EngineUri) -> Service:
    """The service that a URI means.

    `ai://KEY@openai/gpt-4o`, `ai://env:OPENAI_API_KEY@openai/gpt-4o`, `ai://ollama/qwen3`,
    `ai://local:8000/model`, `ai://llama-server:8080/model`; `?base_url=https://…/v1` names a server
    of one's own, `?timeout=120` (seconds) waits longer for it.

    Raises:
        ConfigurationError: the provider is unknown, an option is, or the key's variable is empty.
    """
    for option in uri.options:
        if option not in OPTIONS:
            raise ConfigurationError(
                "The URI of {name!r} has the option {option!r}; choose from: {known}.",
                name=uri.shown,
                option=option,
                known=", ".join(OPTIONS),
            )
    return Service(
        name=uri.shown,
        model=uri.model,
        base_url=uri.options.get("base_url") or _base_url(uri),
        key=_key(uri),
        timeout_s=_timeout(uri),
        engine="llama_server" if uri.provider.partition(":")[0] == LLAMA_SERVER else "remote",
    )


def check_settings(uri: EngineUri, settings: EngineSettings) -> None:
    """Raises ConfigurationError for settings of loading a model that only its server can make."""
    for name in _LOADED:
        if getattr(settings, name) != getattr(EngineSettings(), name):
            raise ConfigurationError(
                "The server of {model!r} has loaded its model already, so {name} cannot be set "
                "from here; leave it out, or run the model on this machine.",
                model=uri.shown,
                name=name,
            )


def _base_url(uri: EngineUri) -> str:
    host, _, port = uri.provider.partition(":")
    if uri.provider in PROVIDERS:
        return PROVIDERS[uri.provider]
    if host in ("local", LLAMA_SERVER) and port.isdigit():
        return f"http://localhost:{port}/v1"
    raise ConfigurationError(
        "There is no provider {provider!r}; choose from: {known}, local:PORT, or name the server "
        "with ?base_url=https://…/v1.",
        provider=uri.provider,
        known=", ".join(PROVIDERS),
    )


def _key(uri: EngineUri) -> str | None:
    if uri.key is None:
        return None
    scheme, is_named, variable = uri.key.partition(":")
    if not (is_named and scheme == "env"):
        return uri.key
    if not os.environ.get(variable):
        raise ConfigurationError(
            "The key of {name!r} is to come from the variable {variable}, which is not set; run: "
            "export {variable}=…",
            name=uri.shown,
            variable=variable,
        )
    return os.environ[variable]


def _timeout(uri: EngineUri) -> float:
    text = uri.options.get("timeout", str(_DEFAULT_TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(
            "The timeout in the URI of {name!r} is {text!r}, but it must be a number of seconds "
            "above 0.",
            name=uri.shown,
            text=text,
        )
    return seconds
