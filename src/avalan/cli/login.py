"""`--login`: the access token of the hub, checked, and asked for where there is none."""

import argparse
import sys

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import Group
from avalan.errors import ConfigurationError


def add_login(group: Group) -> None:
    """Add the option."""
    group.add_argument(
        "--login",
        action="store_true",
        help="check the hub's access token (HF_ACCESS_TOKEN, HF_TOKEN), or ask for one",
    )


def find_token(args: argparse.Namespace, console: Console) -> str | None:
    """The access token to use, with `--login` after a check by the hub.

    One that is typed serves this command alone and is written nowhere.

    Raises:
        ConfigurationError: `--login` has no token to check, and nobody to ask.
        ModelError: the hub refuses the token, or cannot be reached.
    """
    account = extras.load("avalan.hub.account")
    token: str | None = account.find_token()
    if not args.login:
        return token
    if token is None:
        token = _ask(console)
    who = account.who_is(token)
    named = f" (token {who.token_name!r})" if who.token_name else ""
    console.note(f"Logged in to {_hub()} as {who.name}{named}.")
    return token


def _ask(console: Console) -> str:
    token = ""
    page = f"{_hub()}/settings/tokens"
    if console.answers:
        console.note(f"An access token is made on {page}; it is used once and not stored.")
        try:
            token = extras.load("getpass").getpass("Access token (not shown): ", sys.stderr).strip()
        except EOFError:
            console.note()
    if not token:
        raise ConfigurationError(
            f"--login needs an access token and there is none; make one on {page} and set HF_TOKEN "
            "or HF_ACCESS_TOKEN to it."
        )
    return token


def _hub() -> str:
    return str(extras.load("huggingface_hub").constants.ENDPOINT)
