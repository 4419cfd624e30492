"""How a question is answered: plain values, so that a command line can show them at once."""

from dataclasses import dataclass
from typing import Literal

Retrieve = Literal["adaptive", "always", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSettings:
    """How a question is answered. The docstrings below are also the command line's help."""

    retrieve: Retrieve = "adaptive"
    """When to look something up: adaptive, always or never."""
    threshold: float | None = None
    """Look up from this probability on (0 to 1); left open, the calibrated one."""
    top_k: int = 5
    """How many passages are read."""
    min_confidence: float | None = None
    """Answer from this confidence on (0 to 1); left open, the calibrated one."""
