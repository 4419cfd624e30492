"""Who asks the hub: the access token, and whom it belongs to."""

import os

import huggingface_hub

from avalan.errors import ModelError
from avalan.hub.failure import explained, parsed, require_hub


def find_token() -> str | None:
    """The token of the environment, or else the one that `hf auth login` has stored."""
    for name in ("HF_ACCESS_TOKEN", "HF_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    return huggingface_hub.get_token()


def who_is(token: str) -> tuple[str, str | None]:
    """Whom a token belongs to, as the hub says, and what its owner called it.

    Raises:
        ModelError: the hub refuses the token, or cannot be reached.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        # Headers could not carry it.
        raise ModelError(
            "The access token has characters that no token has; copy it again from the hub's "
            "settings, where it begins with 'hf_'."
        )
    require_hub()
    with explained(token=token), parsed():
        found = huggingface_hub.HfApi().whoami(token=token)
        access = found.get("auth", {}).get("accessToken") or {}
        return found["name"], access.get("displayName")
