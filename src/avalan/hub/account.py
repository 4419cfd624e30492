"""Who asks the hub: the access token, and whom it belongs to."""

import os
from dataclasses import dataclass

import huggingface_hub

from avalan.errors import ModelError
from avalan.hub.failure import explained, require_hub

VARIABLES = ("HF_ACCESS_TOKEN", "HF_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The owner of a token."""

    name: str
    kind: str
    """`user` or `org`."""
    token_name: str | None
    """What its owner called the token."""


def find_token() -> str | None:
    """The token of the environment, or else the one that `hf auth login` has stored."""
    for name in VARIABLES:
        if token := os.environ.get(name, "").strip():
            return token
    return huggingface_hub.get_token()


def who_is(token: str) -> Account:
    """Whom a token belongs to, as the hub says.

    Raises:
        ModelError: the hub refuses the token, or cannot be reached.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        # Headers could not carry it.
        raise ModelError(
            "The access token has characters that no token has; copy it again from the hub's "
            "settings, where it begins with 'hf_'."
        )
    require_hub(None, None)
    with explained(token=token):
        found = huggingface_hub.HfApi().whoami(token=token)
    access = found.get("auth", {}).get("accessToken") or {}
    return Account(
        name=found["name"], kind=found.get("type", "user"), token_name=access.get("displayName")
    )
