"""Who asks the hub: the access token, and whom it belongs to."""

import os

import huggingface_hub
from huggingface_hub import get_token

from avalan.errors import ModelError
from avalan.hub.failure import TOKEN_VARIABLES, explained, parsed, require_hub


def find_token() -> str | None:
    """The token of the environment, or else the one that `hf auth login` has stored.

    Raises:
        ModelError: it is none.
    """
    in_environment = (os.environ.get(name, "").strip() for name in TOKEN_VARIABLES)
    token = next(filter(None, in_environment), None) or get_token()
    return token and _checked(token)


def who_is(token: str) -> tuple[str, str | None]:
    """Whom a token belongs to, as the hub says, and what its owner called it.

    Raises:
        ModelError: the hub refuses the token, or cannot be reached.
    """
    _checked(token)
    require_hub()
    with explained(token=token), parsed():
        found = huggingface_hub.HfApi().whoami(token=token)
        access = found.get("auth", {}).get("accessToken") or {}
        return found["name"], access.get("displayName")


def _checked(token: str) -> str:
    """`token` itself, if a header can carry it; an error of the header's would show it."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ModelError(
            "The access token has characters that no token has; copy it again from the hub's "
            "settings, where it begins with 'hf_'."
        )
    return token
