"""From the scores of two searches to one ranking, without the same text twice. Pure functions."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from avalan.retrieval.entities import Passage

LEXICAL_WEIGHT = 0.4
"""What all words of a question count beside a cosine of 1; chosen on validation questions, where
0.3 to 0.7 are alike (EXPERIMENTS.md)."""
SAME_TEXT = 0.8
"""Passages that resemble each other at least this much (0 to 1) are the same text."""
_RUN = 4

_WORD = re.compile(r"\w+")


def fuse(
    lexical: Mapping[int, float],
    dense: Mapping[int, float],
    *,
    most_lexical: float,
    lexical_weight: float = LEXICAL_WEIGHT,
) -> dict[int, float]:
    """One score for each passage that either search found.

    Args:
        lexical: BM25 by passage; 0 for what shares no word with the question.
        dense: cosine similarity by passage. One that is missing has no vector yet, and counts as
            the likest of those that have where it is the best by words, and else as less, down to
            their median: words have to do for it.
        most_lexical: what BM25 could come to.
        lexical_weight: of the share of it that a passage reaches, beside its cosine.

    A convex combination of scores (Bruch et al., 2022, arXiv:2210.11934), but for one thing: BM25
    is scaled by what the question could reach, not by what was found. Where only a weak word is
    shared, the best passage by words is therefore known to be a poor one, and meaning decides.
    """
    if not dense:
        return {number: score / most_lexical for number, score in lexical.items()}
    ranked = sorted(dense.values())
    middle, likest = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2, ranked[-1]
    best_found = max(lexical.values(), default=0.0) or 1.0

    def cosine(number: int) -> float:
        if number in dense:
            return dense[number]
        return middle + (likest - middle) * lexical[number] / best_found

    most = most_lexical or 1.0
    return {
        number: cosine(number) + lexical_weight * lexical.get(number, 0.0) / most
        for number in {**lexical, **dense}
    }


def ranked(scores: Mapping[int, float]) -> list[int]:
    """The passages, best first; ties in the order of their numbers."""
    return sorted(scores, key=lambda number: (-scores[number], number))


def fold(batches: Iterable[Sequence[Passage]], top_k: int) -> list[Passage]:
    """The first `top_k` different texts; what repeats one stands in its `also`.

    Batches are read until there are that many, and each to its end.
    """
    kept: list[Passage] = []
    looks: list[frozenset[int]] = []
    for batch in batches:
        for passage in batch:
            look = shingles(passage.text)
            same = next(
                (i for i, other in enumerate(looks) if resemblance(look, other) >= SAME_TEXT), None
            )
            if same is not None:
                kept[same] = replace(kept[same], also=(*kept[same].also, passage))
            elif len(kept) < top_k:
                kept.append(passage)
                looks.append(look)
        if len(kept) == top_k:
            break
    return kept


def shingles(text: str) -> frozenset[int]:
    """Hashes of every run of four words, letter case aside; of all words where there are fewer."""
    words = _WORD.findall(text.lower())
    if len(words) <= _RUN:
        return frozenset((hash(tuple(words)),))
    return frozenset(map(hash, _runs(words)))


def resemblance(first: frozenset[int], second: frozenset[int]) -> float:
    """The share of the shingles of both that each has (Jaccard), 0 to 1.

    Source: Broder, 1997, "On the resemblance and containment of documents",
    doi:10.1109/SEQUEN.1997.666900.
    """
    fewer, more = sorted((len(first), len(second)))
    if fewer < SAME_TEXT * more:
        return 0.0  # It cannot come to what anybody asks for.
    num_common = len(first & second)
    return num_common / (fewer + more - num_common)


def containment(first: Set[Hashable], second: Set[Hashable]) -> float:
    """The share of the smaller set that the other one has too, 0 to 1 (Broder, 1997)."""
    fewer = min(len(first), len(second))
    return len(first & second) / fewer if fewer else 0.0


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[i:] for i in range(_RUN)), strict=False)


def reranked(passages: Sequence[Passage], scores: Iterable[float]) -> list[Passage]:
    """The passages by new scores, best first; ties stay in their order."""
    scored = [replace(each, score=score) for each, score in zip(passages, scores, strict=True)]
    return sorted(scored, key=lambda passage: -passage.score)
