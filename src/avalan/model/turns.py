"""What a model has in mind from the last turn, so that the next one reads only what is new."""

from collections.abc import Sequence
from threading import Lock

from avalan.model.engine import State, SteppingEngine


class LastTurn:
    """The state at the end of an answer; safe from any thread.

    Only who takes it has it, so that two answers at the same time never share one.
    """

    def __init__(self) -> None:
        self._kept: tuple[State, list[int]] | None = None
        self._lock = Lock()

    def take(self, engine: SteppingEngine, token_ids: Sequence[int]) -> tuple[State, int]:
        """A state that holds the beginning of `token_ids`, and how many of them; nothing is kept.

        At least one token is left to be read, since nothing is said without its logits. An engine
        that cannot rewind goes on only where `token_ids` go on from all that was kept.
        """
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None:
            return engine.start(), 0
        state, held = kept
        num_common = min(_num_common(held, token_ids), len(token_ids) - 1)
        excess = len(held) - num_common
        if num_common < 1 or (excess and "rewind" not in engine.capabilities):
            del kept, state  # Its room is needed.
            return engine.start(), 0
        if excess:
            engine.rewind(state, excess)
        return state, num_common

    def keep(self, state: State, token_ids: Sequence[int]) -> None:
        """Keep `state`, which holds the beginning of `token_ids`, in place of what was kept."""
        with self._lock:
            self._kept = (state, list(token_ids[: state.length]))

    def forget(self) -> None:
        """Keep nothing, which frees the memory."""
        with self._lock:
            self._kept = None


def _num_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens the two begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
