"""Cloze records: find the sentence that shares words with the question, and say what is missing.

A question is made from a sentence by leaving a part out (Taylor, 1953) and saying the rest as
somebody who asks would; as unsupervised data for reading, Lewis et al., 2019 (arXiv:1906.04980).
Unlike the questions that were written for a relation, these can ask for any part of any sentence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from avalan.data import worlds
from avalan.data.noise import as_typed
from avalan.data.reading import ABSTENTION
from avalan.data.worlds import Level, WorldPassage
from avalan.model.entities import Message
from avalan.reflection.record import Record, RecordPassage, Segment, Split

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?](?=\s|$)|(?=\n|$))")
_WORD = re.compile(r"\S+")
_EDGES = ".,;:!?()[]\"'*#|-—•"
_GRAMMAR = """
a an the of in on at to for from by with and or but is are was were be been has have had it its
this that there than as who which when where what how why not no does do did will can
"""
_SMALL = frozenset(_GRAMMAR.split())
# Where a part that somebody may ask for can begin.
_STARTS = """
in on at to for from by with after before until since during over under between because if when
while so about through only every
"""
_OPENERS = frozenset(_STARTS.split())
# Where such a part can end: before one of these.
_BREAKS = _OPENERS | {"and", "or", "but", "is", "was", "are", "were", "has", "have", "had", "of"}
_ASKS_BY_OPENER = {
    "because": ("why",), "so": ("why",), "by": ("how", "by whom"), "with": ("with what", "how"),
    "in": ("where", "in what", "when"), "on": ("when", "where"), "at": ("where", "when"),
    "from": ("from where", "since when"), "for": ("for what", "how long"),
    "to": ("to what", "where"), "after": ("when", "after what"), "before": ("when", "before what"),
    "until": ("until when",), "since": ("since when",), "if": ("when", "under what condition"),
    "when": ("when",), "while": ("when",), "every": ("how often", "when"), "during": ("when",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """A question, and the part of the passage that answers it, in characters."""

    question: str
    span: tuple[int, int]


def cloze_record(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """One passage, and a question for a part of one of its sentences; a quarter is not in it."""
    page = worlds.passage(rng, level)
    absent = rng.random() < 0.25
    found = _gap(worlds.passage(rng, level) if absent else page, rng)
    while found is None or (absent and shares_words(found.question, page.text)):
        page = worlds.passage(rng, level)
        found = _gap(worlds.passage(rng, level) if absent else page, rng)
    shown = RecordPassage(pid="c:0", title=page.title, text=page.text, relevant=not absent)
    return gap_record(
        found.question,
        shown,
        None if absent else found.span,
        identifier=identifier,
        split=split,
        source={"dataset": "cloze", "domain": page.domain.name},
        rng=rng,
    )


def gap_record(
    question: str,
    passage: RecordPassage,
    span: tuple[int, int] | None,
    *,
    identifier: str,
    split: Split,
    source: dict[str, str],
    rng: Random,
) -> Record:
    """A question, as somebody types it, and its answer in the passage; without `span` none is."""
    if span is None:
        segment = Segment(decision="retrieve", passages=(passage,), text=ABSTENTION)
    else:
        segment = Segment(
            decision="retrieve",
            passages=(passage,),
            text=passage.text[slice(*span)],
            span=span,
            support="full",
            cite=(passage.pid,),
        )
    return Record(
        id=identifier,
        messages=(Message(role="user", content=as_typed(question, rng)),),
        segments=(segment,),
        utility=1 if span is None else 5,
        answers=() if span is None else (passage.text[slice(*span)],),
        split=split,
        source=source,
    )


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences and the lines of `text` stand, in characters."""
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        start += len(match.group()) - len(match.group().lstrip())
        if start < end:
            yield start, end


def shares_words(question: str, text: str) -> bool:
    """Whether `text` has more than half of what a question is about, and may answer it."""
    return _overlap(_content(question), text) > 0.5


def _gap(page: WorldPassage, rng: Random) -> Gap | None:
    return gap(page.text, [fact.span for fact in page.facts], rng)


def gap(text: str, values: Sequence[tuple[int, int]], rng: Random) -> Gap | None:
    """A question for a part of a sentence of `text` that fits no other sentence as well.

    Args:
        values: parts, in characters, that are asked for more often than others.
    """
    places = list(sentences(text))
    rng.shuffle(places)
    for start, end in places:
        words = [(start + m.start(), start + m.end()) for m in _WORD.finditer(text[start:end])]
        span = _part(text, values, (start, end), words, rng)
        if span is None:
            continue
        before = [text[a:b] for a, b in words if b <= span[0]]
        after = [text[a:b] for a, b in words if a >= span[1]]
        question = _asked(text[slice(*span)], before, after, rng)
        asked = _content(question)
        elsewhere = (_overlap(asked, text[a:b]) for a, b in places if (a, b) != (start, end))
        if len(asked) >= 2 and max(elsewhere, default=0.0) < _overlap(asked, text[start:end]):
            return Gap(question, span)
    return None


def _part(
    text: str,
    values: Sequence[tuple[int, int]],
    sentence: tuple[int, int],
    words: list[tuple[int, int]],
    rng: Random,
) -> tuple[int, int] | None:
    """The part to leave out: one of `values`, or up to eight words that make a phrase."""
    start, end = sentence
    inside = [value for value in values if start <= value[0] and value[1] <= end]
    if inside and rng.random() < 0.4:
        return rng.choice(inside)
    if len(words) < 4:
        return None
    begins = [
        index
        for index, (a, b) in enumerate(words)
        if index and (_bare(text[a:b]) in _OPENERS or text[a:b][:1].isdigit())
    ]
    first = rng.choice(begins) if begins and rng.random() < 0.75 else rng.randrange(len(words) - 1)
    bare = [_bare(text[a:b]) for a, b in words]
    ends = [
        index
        for index in range(first, min(first + 8, len(words) - 1 if first == 0 else len(words)))
        if bare[index] not in _SMALL and (bare[index + 1 :] == [] or bare[index + 1] in _BREAKS)
    ]
    if not ends:
        return None
    a, b = words[first][0], words[rng.choice(ends)][1]
    # Behind the mark of a list stands a space.
    while b > a and (text[b - 1] in _EDGES or text[b - 1].isspace()):
        b -= 1
    while a < b and (text[a] in _EDGES or text[a].isspace()):
        a += 1
    return (a, b) if a < b else None


def _asked(gap: str, before: list[str], after: list[str], rng: Random) -> str:
    """The rest of a sentence as a question for `gap`."""
    wh = _question_word(gap, rng)
    kept_before, kept_after = _thinned(before, rng), _thinned(after, rng)
    shape = rng.random()
    if shape < 0.5:
        words = [wh, *kept_before, *kept_after]
    elif shape < 0.7:
        words = [*kept_before, wh, *kept_after]
    elif shape < 0.85:
        words = [*kept_before, *kept_after]
    else:
        words = [*kept_before, *kept_after]
        rng.shuffle(words)
        words.insert(0, wh)
    text = " ".join(words)
    return text[:1].upper() + text[1:] + ("?" if rng.random() < 0.7 else "")


def _question_word(gap: str, rng: Random) -> str:
    words = gap.split()
    opener = _bare(words[0])
    if opener in _ASKS_BY_OPENER:
        return rng.choice(_ASKS_BY_OPENER[opener])
    if any(character.isdigit() for character in words[0]):
        return rng.choice(("how many", "how much", "when", "what", "which"))
    if words[0][:1].isupper():
        return rng.choice(("who", "which", "where", "what"))
    return rng.choice(("what", "what", "which", "how", "who", "where"))


def _thinned(words: list[str], rng: Random) -> list[str]:
    """`words` without most of the small ones and some of the others, free of marks."""
    bare = [word.strip(_EDGES) for word in words]
    return [
        word for word in bare if word and rng.random() > (0.5 if word.lower() in _SMALL else 0.15)
    ]


def _content(text: str) -> set[str]:
    return {_bare(word) for word in text.split()} - _SMALL - {""}


def _overlap(asked: set[str], text: str) -> float:
    """The share of the words of `asked` that stand in `text`."""
    return len(asked & _content(text)) / len(asked) if asked else 0.0


def _bare(word: str) -> str:
    return word.strip(_EDGES).lower()
