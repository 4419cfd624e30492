"""The reader's numbers: one encoder that reads a question and a page together, with several heads.

Each token has eight numbers: the first two say how likely the answer begins and ends there (Devlin
et al., 2019, arXiv:1810.04805). The others count at the first token only, which stands for the
pair: relevance, the four grades of support, and the need of a look-up. What follows from them is
decided elsewhere.

Of the likely answers not the likeliest is pointed at but the one that has most in common with all
of them, which is minimum Bayes risk (Kumar and Byrne, 2004): where several edges of an answer are
possible, the likeliest is often the shortest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from avalan.errors import ModelError
from avalan.model.entities import GRADES
from avalan.model.prompt import read_json

Logits = NDArray[np.float32]
Place = tuple[int, int]
"""The first character, and the one after the last."""

START, END, RELEVANCE = 0, 1, 2
SUPPORT = slice(3, 3 + len(GRADES))
NEED = 7
NUM_HEADS = 8

CONFIG = "reader.json"
"""Says how many tokens a reader reads at once; a folder that has it is one."""

_MOST_TOKENS = 40
"""Of an answer."""
_NUM_LIKELY = 200
"""Spans; all others together have next to no probability."""
_FLATNESS = 1.5
"""The temperature at which likely spans are weighed; chosen on validation data (EXPERIMENTS.md)."""
_NOWHERE = -30.0
"""Log-odds where no token can begin an answer; no reading comes near."""
_STRIDE = 64
"""Tokens that two windows of a long page share."""
_CONTROL_TOKENS = 3
"""Around and between question and page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A question, and as much of a page as fits beside it."""

    token_ids: tuple[int, ...]
    kinds: tuple[int, ...]
    """0 for the question, 1 for the page."""
    places: tuple[Place | None, ...]
    """Characters of the page that each token stands for; None outside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointed:
    """The answer in a page."""

    span: Place | None
    """In characters; None where no token of the page can begin an answer."""
    clarity: float = 0.0
    """How much it is expected to have in common with the right span: their tokens' F1, 0 to 1."""
    focus: float = 0.0
    """log P(the answer lies in the pieces that the likeliest span is in, if at all); at most 0."""
    margin: float
    """Log-odds of all spans together against "not here"."""
    relevance: float
    """P(the page holds the answer), 0 to 1, uncalibrated."""


def read_longest(folder: Path) -> int:
    """How many tokens the reader in `folder` reads at once.

    Raises:
        ModelError: there is no reader.
    """
    longest = read_json(folder / CONFIG).get("longest")
    if not isinstance(longest, int) or longest < 16:
        raise ModelError(
            "{folder} is no reader ({file} is missing or says nothing); train one with: avalan "
            "model train reader.toml",
            folder=folder,
            file=CONFIG,
        )
    return longest


class PairReader:
    """Reads pairs of texts; threads may share it."""

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        run: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], Logits],
        longest: int,
    ) -> None:
        """
        Args:
            tokenizer: one that cuts nothing, and reads no control token in a text.
            run: token ids, mask and kinds, each (1, length), to logits (1, length, NUM_HEADS).
            longest: tokens of a window.
        """
        self._tokenizer, self._run, self._longest = tokenizer, run, longest

    def point(
        self,
        question: str,
        page: str,
        *,
        start: int = 0,
        pieces: Sequence[Place] = (),
        bars: Sequence[Place] = (),
    ) -> Pointed:
        """The answer to `question` in `page`, and how likely there is one.

        Args:
            start: the first character where an answer may begin; a heading is only read.
            pieces: parts of the page that an answer rather stays within, such as sentences, in
                characters; without any, it stays within the page.
            bars: parts where no answer begins or ends, such as a section's number.
        """
        windows = self._logits(question, page)
        found = [_pointed(logits, window, start, pieces, bars) for window, logits in windows]
        best = max(found, key=lambda each: each.margin)
        return replace(best, relevance=max(each.relevance for each in found))

    def support(self, claim: str, page: str) -> tuple[float, ...]:
        """P of each of `GRADES` for `claim`, by the window of the page that says most of it."""
        grades = [softmax(logits[0, SUPPORT]) for _window, logits in self._logits(claim, page)]
        best = min(grades, key=lambda each: each[GRADES.index("none")])
        return tuple(float(each) for each in best)

    def need(self, prompt: str) -> float:
        """P(answering `prompt` needs a look-up), 0 to 1, uncalibrated."""
        ((_window, logits),) = self._logits(prompt, "")
        return sigmoid(float(logits[0, NEED]))

    def _logits(self, first: str, page: str) -> Iterator[tuple[Window, Logits]]:
        for window in windows(self._tokenizer, first, page, self._longest):
            ids = np.array([window.token_ids], np.int64)
            kinds = np.array([window.kinds], np.int64)
            yield window, self._run(ids, np.ones_like(ids), kinds)[0]


def windows(tokenizer: tokenizers.Tokenizer, first: str, page: str, longest: int) -> list[Window]:
    """`first` beside each part of `page`, which overlap; one window alone where there is no page.

    Args:
        longest: tokens of a window, control tokens included.
    """
    asked = tokenizer.encode(first, add_special_tokens=False)
    room = longest - _CONTROL_TOKENS
    # A page must have room beside a long question, which is cut.
    num_asked = min(len(asked.ids), room // 2 if page else room)
    begin, separator = _controls(tokenizer)
    head = (begin, *asked.ids[:num_asked], separator)
    if not page:
        return [Window(token_ids=head, kinds=(0,) * len(head), places=(None,) * len(head))]
    read = tokenizer.encode(page, add_special_tokens=False)
    found = []
    for part in _parts(len(read.ids), longest - len(head) - 1):
        ids, places = read.ids[part], read.offsets[part]
        found.append(
            Window(
                token_ids=(*head, *ids, separator),
                kinds=(0,) * len(head) + (1,) * (len(ids) + 1),
                places=(*(None,) * len(head), *places, None),
            )
        )
    return found


def _controls(tokenizer: tokenizers.Tokenizer) -> tuple[int, int]:
    ids = tokenizer.encode("").ids
    return ids[0], ids[-1]


def _parts(num_tokens: int, room: int) -> list[slice]:
    """Which tokens of a page each window has; together they have all."""
    shared = min(_STRIDE, room // 2)
    starts = range(0, max(num_tokens - shared, 1), room - shared)
    return [slice(start, start + room) for start in starts]


def _pointed(
    logits: Logits, window: Window, start: int, pieces: Sequence[Place], bars: Sequence[Place]
) -> Pointed:
    relevance = sigmoid(float(logits[0, RELEVANCE]))
    inside = [i for i, place in enumerate(window.places) if place and place[0] >= start]
    if not inside:
        return Pointed(span=None, margin=_NOWHERE, relevance=relevance)
    begin, end = inside[0], inside[-1] + 1
    places = [place for place in window.places[begin:end] if place is not None]
    is_barred = np.array([_is_in(place, bars) for place in places])
    if is_barred.all():
        return Pointed(span=None, margin=_NOWHERE, relevance=relevance)
    edges = np.where(is_barred[:, None], -np.inf, logits[begin:end])
    scores = span_scores(edges[:, START], edges[:, END], _MOST_TOKENS)
    first, length = divmod(int(scores.argmax()), _MOST_TOKENS)
    likeliest = places[first][0], places[first + length][1]
    piece = _touched(pieces, likeliest) if pieces else (places[0][0], places[-1][1])
    held = [i for i, (low, high) in enumerate(places) if low >= piece[0] and high <= piece[1]]
    (first, last), clarity = clearest_span(scores, held[0], held[-1], flatness=_FLATNESS)
    odds = log_sum(scores)
    return Pointed(
        span=(places[first][0], places[last][1]),
        clarity=clarity,
        focus=log_sum(_within(scores, held[0], held[-1])) - odds,
        margin=odds - float(logits[0, START] + logits[0, END]),
        relevance=relevance,
    )


def _is_in(place: Place, parts: Sequence[Place]) -> bool:
    return any(low <= place[0] and place[1] <= high for low, high in parts)


def _touched(pieces: Sequence[Place], span: Place) -> Place:
    """`span`, and all pieces that it lies in, as one."""
    touched = [span, *(each for each in pieces if each[0] < span[1] and each[1] > span[0])]
    return min(start for start, _ in touched), max(end for _, end in touched)


def span_scores(
    starts: Sequence[float] | Logits, ends: Sequence[float] | Logits, most_tokens: int
) -> NDArray[np.float64]:
    """The sums of a start and an end, (num_tokens, most_tokens): of [i, n], from i to i + n.

    Args:
        starts, ends: (num_tokens,), at least one; where a span would reach beyond, it is -inf.
    """
    padded = np.pad(np.asarray(ends, np.float64), (0, most_tokens - 1), constant_values=-np.inf)
    reach = np.lib.stride_tricks.sliding_window_view(padded, most_tokens)
    scores: NDArray[np.float64] = np.asarray(starts, np.float64)[:, None] + reach
    return scores


def _within(scores: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """The scores of the spans from token `first` to `last`; -inf for the others."""
    begins = np.arange(len(scores))[:, None]
    ends = begins + np.arange(scores.shape[1])
    return np.where((begins >= first) & (ends <= last), scores, -np.inf)


def clearest_span(
    scores: NDArray[np.float64], first: int, last: int, *, flatness: float
) -> tuple[tuple[int, int], float]:
    """The span from token `first` to `last` with the largest expected F1; and that F1.

    The F1 is of the tokens of two spans, 2 |A ∩ B| / (|A| + |B|), and expected over all spans, by
    the softmax of `scores` / `flatness`.

    Args:
        scores: as of `span_scores`; the largest one is of a span from `first` to `last`.
    """
    flat = scores.ravel()
    likely = np.argsort(-flat, kind="stable")[:_NUM_LIKELY]
    likely = likely[np.isfinite(flat[likely])]
    starts, lengths = np.divmod(likely, scores.shape[1])
    ends = starts + lengths
    shares = np.exp((flat[likely] - flat[likely[0]]) / flatness)
    both = np.minimum.outer(ends, ends) - np.maximum.outer(starts, starts) + 1
    f1 = 2 * np.maximum(both, 0) / np.add.outer(lengths + 1, lengths + 1)
    expected = f1 @ (shares / shares.sum())
    best = int(np.where((starts >= first) & (ends <= last), expected, -1.0).argmax())
    return (int(starts[best]), int(ends[best])), float(expected[best])


def log_sum(scores: NDArray[np.float64]) -> float:
    """log Σ exp of all, at least one of them finite."""
    most = scores.max()
    return float(most + np.log(np.exp(scores - most).sum()))


def softmax(logits: Logits) -> Logits:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Logits = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logit: float) -> float:
    """The probability of log-odds."""
    return float(1 / (1 + np.exp(-np.clip(logit, -500, 500))))
