"""What was fitted for a model, kept in the state folder for whenever the model is asked."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from avalan import state
from avalan.errors import StateError

Fitted = TypeVar("Fitted")


def path_of(kind: str, model: str) -> Path:
    """Where it is kept: a readable name, and a hash that tells models apart.

    Args:
        kind: the folder.
    """
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-")[-60:] or "model"
    return state.home() / kind / f"{readable}-{sha256(model.encode()).hexdigest()[:8]}.json"


def keep(kind: str, model: str, values: Mapping[str, Any]) -> Path:
    """Write it; what was there before is replaced at once.

    Raises:
        StateError: the state folder cannot be written.
    """
    folder, path = state.folder(kind), path_of(kind, model)
    made = folder / f".{path.name}.new"
    made.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    made.replace(path)
    return path


def kept(
    kind: str, model: str, made_of: Callable[[Mapping[str, Any]], Fitted], *, task: str
) -> Fitted | None:
    """What was kept; None where nothing was.

    Args:
        task: that fits it anew.

    Raises:
        StateError: its file is broken.
    """
    path = path_of(kind, model)
    try:
        return made_of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise StateError(
            "What was fitted in {path} cannot be read; remove the file, or fit it again with: "
            "avalan model evaluate {model} --task {task} --calibrate",
            path=path,
            model=model,
            task=task,
        ) from None
