"""The one door to optional packages, and to modules that are heavy to import.

Light modules never import heavy ones; they call `load`, which turns an absent package into an
instruction. A package that is present but broken shows its own traceback.
"""

import json
from importlib import import_module
from types import ModuleType

from avalan.errors import MissingExtra

DISTRIBUTION = "avalan-slm"


def load(module: str, *, extra: str | None = None) -> ModuleType:
    """Import `module`; `extra` names what to install when a package that it needs is absent.

    Raises:
        MissingExtra: a package outside avalan is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if extra is None or missing in ("", "avalan"):
            raise
        raise MissingExtra(
            "This needs the package {package!r}, which is not installed; run: {command}",
            package=missing,
            command=install_command(extra),
        ) from None


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
