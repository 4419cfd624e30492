"""A small router: a line through the space of question vectors, beside which look-ups lie.

It has met no model and knows no document; it is the cheapest sign there is, and a baseline that
every gate has to beat. Fitted on the textbook's training prompts by `scripts/router.py`.
"""

import json
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from avalan import extras

_FILE = "router.json"


class Router:
    """Linear in the vector of a question."""

    def __init__(self) -> None:
        """Raises ModelError: the embedder in the box cannot be loaded."""
        found = json.loads((files("avalan.reflection") / _FILE).read_text(encoding="utf-8"))
        self._weights: NDArray[np.float32] = np.array(found["weights"], np.float32)
        self._bias = float(found["bias"])
        self._embedder = extras.load("avalan.model.nlp.sentence").open_embedder()

    def logit(self, question: str) -> float:
        """log of the odds that the question needs a look-up."""
        (vector,) = self._embedder.embed([question], kind="query")
        return float(vector @ self._weights) + self._bias


@cache
def router() -> Router:
    """One for the whole process."""
    return Router()
