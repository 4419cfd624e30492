"""`--login`: the access token of the hub, checked, and asked for where there is none."""

import argparse
import sys

from avalan import extras
from avalan.cli.console import Console
from avalan.cli.options import Group
from avalan.errors import ConfigurationError
from avalan.locale import _


def add_login(group: Group) -> None:
    """Add the option."""
    group.add_argument(
        "--login",
        action="store_true",
        help=_("check the hub's access token (HF_ACCESS_TOKEN, HF_TOKEN), or ask for one"),
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
    name, token_name = account.who_is(token)
    values = {"hub": _hub(), "name": name, "token": token_name}
    if token_name:
        console.note(_("Logged in to {hub} as {name} (token {token!r}).", **values))
    else:
        console.note(_("Logged in to {hub} as {name}.", **values))
    return token


def _ask(console: Console) -> str:
    token = ""
    page = f"{_hub()}/settings/tokens"
    if console.answers:
        console.note(
            _("An access token is made on {page}; it is used once and not stored.", page=page)
        )
        label = _("Access token (not shown):") + " "
        try:
            token = extras.load("getpass").getpass(label, sys.stderr).strip()
        except EOFError:
            console.note()
        except KeyboardInterrupt:
            console.note()  # The line has an end, whatever comes next.
            raise
    if not token:
        raise ConfigurationError(
            "--login needs an access token and there is none; make one on {page} and set "
            "HF_TOKEN or HF_ACCESS_TOKEN to it.",
            page=page,
        )
    return token


def _hub() -> str:
    return str(extras.load("huggingface_hub").constants.ENDPOINT)
