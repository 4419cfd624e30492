"""How a question is answered: plain values, so that a command line can show them at once."""

from dataclasses import dataclass, field
from math import inf
from typing import Literal, Self

from avalan.errors import ConfigurationError

Retrieve = Literal["adaptive", "always", "never"]
Style = Literal["auto", "quote", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What counts how much in the score of a draft, beside how probable its tokens are."""

    relevance: float = 1.0
    support: float = 1.0
    utility: float = 0.5

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `1,1,0.5`: of relevance, support and utility.

        Raises:
            ConfigurationError: they are not three numbers of at least 0.
        """
        try:
            relevance, support, utility = map(float, text.split(","))
        except ValueError:
            relevance = support = utility = -1.0
        if not all(0 <= each < inf for each in (relevance, support, utility)):
            raise ConfigurationError(
                "--weights is {text!r}, but it takes three numbers of at least 0, for relevance, "
                "support and utility, as in: --weights 1,1,0.5",
                text=text,
            )
        return cls(relevance=relevance, support=support, utility=utility)


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
    style: Style = "auto"
    """Quote the documents, or write sentences that cite them; left open, a model that is named
    writes, unless it was taught to quote."""
    require_support: bool = False
    """Leave out of a written answer what no passage bears out."""
    beams: int = 1
    """How many drafts of a written answer are kept beside each other."""
    weights: Weights = field(default_factory=Weights)
    """What relevance, support and utility count where drafts are compared."""
