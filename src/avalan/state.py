"""Where avalan keeps what it writes: indexes, calibrations, logs. Files there have mode 0600.

`AVALAN_HOME` overrides the folder that the platform suggests.
"""

import os
from pathlib import Path

from avalan import extras
from avalan.errors import StateError, reason_of


def home() -> Path:
    """The state folder's path; it may not exist yet."""
    if override := os.environ.get("AVALAN_HOME"):
        return Path(override).expanduser()
    # platformdirs costs 10 ms, which only a command that needs the folder should pay.
    return Path(extras.load("platformdirs").user_data_path("avalan"))


def folder(name: str) -> Path:
    """The sub-folder `name` of the state folder, made if absent and readable by its owner only.

    Raises:
        StateError: it cannot be made or written.
    """
    path = home() / name
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            "The state folder {path} cannot be made ({reason}); "
            "choose another with the environment variable AVALAN_HOME.",
            path=path,
            reason=reason_of(error),
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateError(
            "The state folder {path} cannot be written; "
            "choose another with the environment variable AVALAN_HOME.",
            path=path,
        )
    return path
