"""The one door to optional packages, and to modules that are heavy to import.

Light modules never import heavy ones; they call `load`, which turns an absent package into an
instruction. A package that is present but broken shows its own traceback, except where the values
of the environment that huggingface_hub reads while it is imported are why.
"""

import json
import os
import re
from importlib import import_module
from types import ModuleType

from avalan.errors import ConfigurationError, MissingExtra
from avalan.locale import _n

DISTRIBUTION = "avalan-slm"
BUILT = ("gguf",)
"""Extras whose packages are built from source."""


def load(module: str, *, extra: str | None = None) -> ModuleType:
    """Import `module`; `extra` names what to install when a package that it needs is absent.

    Raises:
        MissingExtra: a package outside avalan is not installed.
        ConfigurationError: the environment has values that no client of a hub can use.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if extra is None or missing in ("", "avalan"):
            raise
        sentence = _n("This needs the package {package!r}, which is not installed; run: {command}")
        if extra in BUILT:
            sentence = _n(
                "This needs the package {package!r}, which is not installed; it is built from "
                "source, which takes 3 to 18 minutes: {command}; a llama-server that runs needs no "
                "build: ai://llama-server:8080/NAME"
            )
        raise MissingExtra(
            sentence,
            package=missing,
            command=install_command(extra),
        ) from None
    except ValueError:
        check_hub_environment()
        raise


def check_hub_environment() -> None:
    """Whether a client of a hub can use what the environment says of it.

    Raises:
        ConfigurationError: it cannot.
    """
    address = os.environ.get("HF_ENDPOINT")
    if address is not None and not _is_address(address):
        raise ConfigurationError(
            "HF_ENDPOINT is {address!r}, which is no address; unset it, or set it to one such as "
            "https://huggingface.co or http://127.0.0.1:8000.",
            address=address,
        )
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        value = os.environ.get(name, "1").strip()
        if not re.fullmatch(r"[1-9]\d{0,5}", value, re.ASCII):
            raise ConfigurationError(
                "{name} is {value!r}, which is no number of whole seconds; unset it, or set it to "
                "one such as 10.",
                name=name,
                value=value,
            )


def _is_address(text: str) -> bool:
    try:
        parts = load("urllib.parse").urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # An unfinished IPv6 address, or a port that is none.
        return False


def is_installed(package: str) -> bool:
    """Whether `package` can be imported; it is not."""
    return load("importlib.util").find_spec(package) is not None


def install_command(extra: str) -> str:
    """The command that adds `extra` to this installation, editable checkouts included."""
    if _is_editable():
        return f"pip install -e '.[{extra}]'"
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def _is_editable() -> bool:
    # It costs 40 ms, which only a failure should pay.
    metadata = load("importlib.metadata")
    try:
        origin = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return False
    return bool(origin and json.loads(origin).get("dir_info", {}).get("editable"))
