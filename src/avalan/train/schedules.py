"""The learning rate over a run, as factors of its peak. Pure functions."""

import math
from typing import Any

SCHEDULES = ("cosine", "wsd", "constant")


def warmup_factor(step: int, warmup_steps: int) -> float:
    """The share of the peak at `step`, which rises to 1 over `warmup_steps`."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def wsd_factor(step: int, *, num_steps: int, warmup_steps: int, decay_share: float) -> float:
    """Warm up, stay, decay linearly to 0.

    Source: Hu et al., 2024, arXiv:2404.06395 (WSD).
    """
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    decay_steps = max(1, round(num_steps * decay_share))
    return min(1.0, max(0.0, (num_steps - step) / decay_steps))


def cosine_factor(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """Warm up, then half a cosine down to 0.

    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983 (one cycle of SGDR).
    """
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    gone = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))


def factor_of(name: str, step: int, *, num_steps: int, run: Any) -> float:
    """The factor of the schedule `name` at `step`, by the warm-up and decay of a recipe's `run`."""
    match name:
        case "cosine":
            return cosine_factor(step, num_steps=num_steps, warmup_steps=run.warmup_steps)
        case "constant":
            return warmup_factor(step, run.warmup_steps)
    return wsd_factor(
        step, num_steps=num_steps, warmup_steps=run.warmup_steps, decay_share=run.decay_share
    )
