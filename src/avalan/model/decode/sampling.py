"""From logits to a token: pure functions on one row, (vocab_size,), float32; and the settings that
they follow.

A filter removes a token by setting its logit to -inf. The order is that of transformers: repetition
penalty, temperature, top-k, top-p, min-p.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError
from avalan.locale import _, _n
from avalan.model.entities import GenerationSettings

Row = NDArray[np.float32]
MOST_BEAMS = 256
_REMOVED = np.float32(-np.inf)


def logprobs(logits: Row) -> Row:
    """Natural logarithms of the probabilities; also of (rows, vocab_size), row by row."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.exp(shifted).sum(axis=-1, keepdims=True)
    result: Row = shifted - np.log(total)
    return result


def probs(logits: Row) -> Row:
    """The probabilities; a logit of -inf is a probability of 0."""
    return np.exp(logprobs(logits))


def penalize_repetition(logits: Row, seen_ids: Collection[int], penalty: float) -> Row:
    """Divide the positive and multiply the negative logits of `seen_ids` by `penalty`.

    Source: Keskar et al., 2019, arXiv:1909.05858, with the sign rule of transformers.
    """
    ids = np.fromiter(seen_ids, np.int64, len(seen_ids))
    result = logits.copy()
    seen = logits[ids]
    result[ids] = np.where(seen < 0, seen * penalty, seen / penalty)
    return result


def keep_top_k(logits: Row, k: int) -> Row:
    """Keep the k highest, and every token that ties with the last of them."""
    if k >= logits.size:
        return logits
    threshold = np.partition(logits, -k)[-k]
    return np.where(logits < threshold, _REMOVED, logits)


def keep_top_p(logits: Row, p: float) -> Row:
    """Keep the most probable tokens until their sum reaches p; at least one.

    Source: Holtzman et al., 2019, arXiv:1904.09751.
    """
    if p >= 1:
        return logits
    kept = np.flatnonzero(logits > _REMOVED)
    rising = kept[np.argsort(logits[kept], kind="stable")]
    # A token goes when it and all below it are worth no more than 1 - p.
    below = np.cumsum(probs(logits[rising]))
    removed = rising[:-1][below[:-1] <= 1 - p]
    result = logits.copy()
    result[removed] = _REMOVED
    return result


def keep_min_p(logits: Row, min_p: float) -> Row:
    """Keep tokens at least `min_p` times as probable as the most probable one.

    Source: Nguyen et al., 2024, arXiv:2407.01082.
    """
    values = probs(logits)
    removed = values < np.float32(min_p) * values.max()
    removed[logits.argmax()] = False
    return np.where(removed, _REMOVED, logits)


def process(logits: Row, settings: GenerationSettings, seen_ids: Collection[int]) -> Row:
    """The logits to draw from, after everything that `settings` ask for.

    Args:
        seen_ids: the tokens of the prompt and of the answer so far, each once.
    """
    if settings.repetition_penalty is not None and settings.repetition_penalty != 1:
        logits = penalize_repetition(logits, seen_ids, settings.repetition_penalty)
    if not settings.samples:
        return logits  # What follows never changes which token is the highest.
    if settings.temperature is not None:
        logits = logits / np.float32(settings.temperature)
    if settings.top_k is not None:
        logits = keep_top_k(logits, settings.top_k)
    if settings.top_p is not None:
        logits = keep_top_p(logits, settings.top_p)
    if settings.min_p is not None:
        logits = keep_min_p(logits, settings.min_p)
    return logits


def draw(logits: Row, random: np.random.Generator) -> tuple[int, float]:
    """A token id at random by the probabilities of `logits`, and its probability."""
    values = probs(logits)
    rising = np.cumsum(values, dtype=np.float64)
    # The last sum is 1 but for rounding; the draw is scaled so that it stays inside.
    token_id = int(np.searchsorted(rising, random.random() * rising[-1], side="right"))
    return token_id, float(values[token_id])


def check_settings(settings: GenerationSettings) -> None:
    """Whether the numbers in `settings` are usable.

    Raises:
        ConfigurationError: one is not; the sentence says which range is.
    """
    k, penalty, warmth = settings.top_k, settings.repetition_penalty, settings.temperature
    beams, length = settings.num_beams, settings.length_penalty
    rules = (
        ("max_new_tokens", settings.max_new_tokens >= 1, _n("at least 1")),
        ("max_length", settings.max_length is None or settings.max_length >= 1, _n("at least 1")),
        ("min_length", settings.min_length is None or settings.min_length >= 0, _n("at least 0")),
        ("num_beams", beams is None or 1 <= beams <= MOST_BEAMS, _n("from 1 to {most}")),
        ("length_penalty", length is None or -1e3 <= length <= 1e3, _n("from -1000 to 1000")),
        (
            "temperature",
            warmth in (None, 0) or 1e-3 <= warmth <= 1e3,
            _n("0, or from 0.001 to 1000"),
        ),
        ("top_k", k is None or k >= 1, _n("at least 1")),
        ("top_p", settings.top_p is None or 0 < settings.top_p <= 1, _n("above 0 and at most 1")),
        ("min_p", settings.min_p is None or 0 <= settings.min_p <= 1, _n("between 0 and 1")),
        ("repetition_penalty", penalty is None or 1e-3 <= penalty <= 1e3, _n("from 0.001 to 1000")),
        ("seed", settings.seed is None or settings.seed >= 0, _n("at least 0")),
        ("num_alternatives", settings.num_alternatives >= 0, _n("at least 0")),
        ("choices", all(settings.choices), _n("texts that are not empty")),
        ("stop_strings", all(settings.stop_strings), _n("texts that are not empty")),
    )
    for name, usable, wanted in rules:
        if not usable:
            raise ConfigurationError(
                "The setting {name} is {value!r}, but it must be {wanted}.",
                name=name,
                value=getattr(settings, name),
                wanted=_(wanted, most=MOST_BEAMS),
            )
    constraints = [name for name in ("schema", "regex", "choices") if getattr(settings, name)]
    if len(constraints) > 1:
        raise ConfigurationError(
            "An answer follows one constraint, but there are {names}; leave all but one out.",
            names=", ".join(constraints),
        )


def for_one_answer(settings: GenerationSettings, num_prompt_tokens: int) -> GenerationSettings:
    """`settings`, checked, with `max_length` turned into `max_new_tokens`.

    As in transformers, `max_length` counts the prompt; unlike there, a prompt that leaves no room
    is refused, and so is what only a beam search could honour.

    Raises:
        ConfigurationError: a setting is out of its range or is for sequence-to-sequence models,
            or the prompt is as long as `max_length`.
    """
    check_settings(settings)
    beyond = {
        "num_beams": (settings.num_beams or 1) > 1,
        "early_stopping": settings.early_stopping,
        "length_penalty": settings.length_penalty is not None,
        "min_length": settings.min_length,
    }
    for name, is_used in beyond.items():
        if is_used:
            raise ConfigurationError(
                "The setting {name} is {value}, but text generation makes one answer, token "
                "by token, and has no use for it; leave it open, or use a "
                "sequence-to-sequence model.",
                name=name,
                value=getattr(settings, name),
            )
    if settings.max_length is None:
        return settings
    room = settings.max_length - num_prompt_tokens
    if room < 1:
        raise ConfigurationError(
            "The setting max_length is {max_length} and counts the prompt, which has "
            "{num_prompt_tokens} tokens already; raise it, or set max_new_tokens instead.",
            max_length=settings.max_length,
            num_prompt_tokens=num_prompt_tokens,
        )
    return replace(settings, max_new_tokens=room, max_length=None)
