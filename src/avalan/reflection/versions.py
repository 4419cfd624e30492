"""Versions of a document that contradict each other: the newer one counts, and both are shown.

Documents are versions where a good part of the one's words stand in the other in the same order;
which is newer they say themselves. Nothing is known of those that do not say when they are from.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from avalan.errors import RetrievalError
from avalan.reflection.judge import Reading
from avalan.retrieval.dates import date_of
from avalan.retrieval.entities import Passage
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.ranking import containment, shingles
from avalan.retrieval.sentences import around

SHARED = 0.1
"""Of the shorter document's runs of four words. In the papers for validation, versions share .15 to
.59 of them and all others .015 at most."""
SAME_PLACE = 0.5
"""Of the words of the shorter of two sentences that speak of the same thing."""

NUM_COMPARED = 64
"""Passages of each document, from its beginning: that is enough to know a version by."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """Which passage answers, and which older ones say something else; by rank."""

    rank: int
    superseded: tuple[int, ...] = ()


class Versions:
    """What the documents of an index are to one another."""

    def __init__(self, index: SyncIndex) -> None:
        self._look = cache(lambda source: _look(index, source))

    def date(self, source: str) -> date | None:
        """When a document says that it is from."""
        return self._look(source)[0]

    def is_newer(self, source: str, than: str) -> bool:
        """Whether the document at `source` is a newer version of the one at `than`."""
        if source == than:
            return False
        (day, words), (earlier, others) = self._look(source), self._look(than)
        if day is None or earlier is None or day <= earlier:
            return False
        return containment(words, others) >= SHARED

    def newest(
        self,
        question: str,
        passages: Sequence[Passage],
        readings: Sequence[Reading],
        best: int,
        *,
        least: float,
    ) -> Quoted:
        """The quotation to give instead of `best`, if a newer version has one at the same place.

        Args:
            question: where it names the year of an older version, that one is meant.
            passages, readings: by rank.
            best: the rank of the quotation that is most likely right.
            least: the confidence from which on a quotation counts.
        """
        counted = [
            rank
            for rank, reading in enumerate(readings)
            if reading.span is not None and reading.confidence >= least
        ]
        sources = [passage.source for passage in passages]
        if len({sources[rank] for rank in counted}) < 2 or self._is_named(question, sources[best]):
            return Quoted(rank=best)
        newer = [
            rank
            for rank in counted
            if self.is_newer(sources[rank], sources[best])
            and _is_same_place(passages, readings, rank, best)
        ]
        chosen = max(newer, key=lambda rank: readings[rank].confidence, default=best)
        if chosen != best:
            # There may be a newer one still.
            return self.newest(question, passages, readings, chosen, least=least)
        return Quoted(
            rank=best,
            superseded=tuple(
                rank
                for rank in counted
                if self.is_newer(sources[best], sources[rank])
                and _says_otherwise(passages, readings, rank, best)
            ),
        )

    def is_superseded(self, question: str, source: str, others: Iterable[str]) -> bool:
        """Whether one of the documents `others` is a newer version, and this one is not meant."""
        if self._is_named(question, source):
            return False
        return any(self.is_newer(other, source) for other in others)

    def _is_named(self, question: str, source: str) -> bool:
        """Whether the question names the year that a document is from."""
        day = self.date(source)
        return day is not None and str(day.year) in _WORD.findall(question)


def _look(index: SyncIndex, source: str) -> tuple[date | None, frozenset[int]]:
    try:
        text = "\n".join(passage.text for passage in index.passages(source, NUM_COMPARED))
    except RetrievalError:  # Another process has removed it since the search.
        return None, frozenset()
    return date_of(Path(source).name, text), shingles(text)


def _is_same_place(
    passages: Sequence[Passage], readings: Sequence[Reading], rank: int, other: int
) -> bool:
    """Whether two quotations stand under one heading, or in sentences that are much alike."""
    heading = passages[rank].heading
    if heading and heading == passages[other].heading:
        return True
    first, second = (_words(_sentence(passages[each], readings[each])) for each in (rank, other))
    return containment(first, second) >= SAME_PLACE


def _says_otherwise(
    passages: Sequence[Passage], readings: Sequence[Reading], rank: int, other: int
) -> bool:
    """Whether two quotations differ and stand in sentences that are much alike."""
    said = [_words(_quotation(passages[each], readings[each])) for each in (rank, other)]
    told = [_words(_sentence(passages[each], readings[each])) for each in (rank, other)]
    return said[0] != said[1] and containment(*told) >= SAME_PLACE


def _quotation(passage: Passage, reading: Reading) -> str:
    assert reading.span is not None
    return passage.text[slice(*reading.span)]


def _sentence(passage: Passage, reading: Reading) -> str:
    assert reading.span is not None
    return passage.text[slice(*around(passage.text, reading.span))]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
