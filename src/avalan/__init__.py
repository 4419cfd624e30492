"""avalan: the whole life of a small, self-reflective language model on your own machine.

The public names load on first use (PEP 562), so that `import avalan` stays cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AvalanError": "avalan.errors",
    "GenerationSettings": "avalan.model.entities",
    "TextGenerationModel": "avalan.model.nlp.text",
}

__all__ = ["AvalanError", "GenerationSettings", "TextGenerationModel", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'avalan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__"])
