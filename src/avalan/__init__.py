"""avalan: the whole life of a small, self-reflective language model on your own machine.

The public names load on first use (PEP 562), so that `import avalan` stays cheap.
"""

import os
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # Most of the time of this import would be typing's.
    from typing import Any

# Nothing leaves the machine: some builds of ONNX Runtime report its use to their makers, and read
# this when they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

with open(os.path.join(os.path.dirname(__file__), "VERSION.txt"), encoding="ascii") as _file:
    __version__ = _file.read().strip()

_PUBLIC = {
    "AvalanError": "avalan.errors",
    "GenerationSettings": "avalan.model.entities",
    "TextGenerationModel": "avalan.model.nlp.text",
}

__all__ = ["AvalanError", "GenerationSettings", "TextGenerationModel", "__version__"]


def __getattr__(name: str) -> "Any":
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'avalan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__"])
