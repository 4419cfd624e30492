"""Reading records: a question, one to four passages, and what an honest reader says.

About a third cannot be answered from what is shown: the detail is missing, the passage is about a
neighbour with a similar name, or it is about something else altogether. Some records show a wrong
answer and teach only its judgement; their text carries no loss.
"""

from dataclasses import dataclass, replace
from functools import partial
from random import Random

from avalan.data import worlds
from avalan.data.noise import as_typed
from avalan.data.worlds import Fact, Level, WorldPassage
from avalan.model.entities import Message
from avalan.reflection.judge import Support
from avalan.reflection.record import LossWeights, Record, RecordPassage, Segment, Split

ABSTENTION = "I don't know: the documents do not say."
_PLAIN, _MUTE = LossWeights(), LossWeights(text=0.0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question and the passage that it is about."""

    question: str
    page: WorldPassage
    fact: Fact | None
    """None when the page does not answer it."""
    utility_if_unanswered: int = 1


def reading_record(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """A record over invented passages; what is held out follows from `level`."""
    page = worlds.passage(rng, level)
    shape = rng.random()
    if shape < 0.22:
        asked = _about_a_missing_detail(page, level, rng) or _about_a_fact(page, level, rng)
    elif shape < 0.32:
        asked = _about_a_neighbour(page, level, rng)
    else:
        asked = _about_a_fact(page, level, rng)
    distractors = _distractors(asked, level, rng)
    return _record(asked, distractors, rng, identifier=identifier, split=split)


def simple_reading_record(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """One short passage, one plain question: reading in its simplest form."""
    page = worlds.simple_passage(rng, level)
    shape = rng.random()
    asked = _about_a_missing_detail(page, level, rng) if shape < 0.25 else None
    if asked is None and shape < 0.35:
        asked = _about_a_neighbour(page, level, rng)
    if asked is None:
        fact = rng.choice(page.facts)
        by_label = rng.random() < 0.35
        ask = worlds.label_question if by_label else partial(worlds.question, level=level)
        asked = _Asked(ask(fact.relation, fact.subject, rng=rng), page, fact)
    return _record(asked, [], rng, identifier=identifier, split=split)


def sentences_record(rng: Random, level: Level, *, identifier: str, split: Split) -> Record:
    """Two to four questions at once, each answered by a sentence, before which is decided anew.

    A look-up has its passage; what that one says, too, goes on from it.
    """
    asked: list[str] = []
    segments: list[Segment] = []
    answers: list[str] = []
    num = rng.randint(2, 4)
    while len(segments) < num:
        page = worlds.simple_passage(rng, level)
        if "\n" in page.text:
            continue  # Lines of a list are no sentences.
        pid = f"w:{len(segments)}"
        shown = RecordPassage(pid=pid, title=page.title, text=page.text, relevant=True)
        whole = [
            replace(fact, value=page.text[slice(*fact.sentence)], span=fact.sentence)
            for fact in page.facts[: min(num - len(segments), rng.randint(1, 2))]
        ]
        asked += [worlds.question(fact.relation, fact.subject, level, rng) for fact in whole]
        answers += [fact.value for fact in whole]
        first = _quote(whole[0], (shown,), "full")
        if segments:  # It stands behind another sentence, as it does nowhere in the passage.
            first = replace(first, text=f" {first.text}", span=None)
        segments.append(first)
        segments += [Segment(decision="continue", text=f" {fact.value}") for fact in whole[1:]]
    return Record(
        id=identifier,
        messages=(Message(role="user", content=rng.choice((" ", " And ", "\n")).join(asked)),),
        segments=tuple(segments),
        utility=5,
        answers=tuple(answers),
        split=split,
        source={"dataset": "worlds"},
    )


def _about_a_fact(page: WorldPassage, level: Level, rng: Random) -> _Asked:
    fact = rng.choice(page.facts)
    if rng.random() < 0.07:
        # A yes/no question is answered by the statement that decides it.
        start, end = fact.sentence
        whole = replace(fact, value=page.text[start:end], span=fact.sentence)
        return _Asked(as_typed(worlds.doubt(fact, page, level, rng), rng), page, whole)
    lonely = len({other.subject for other in page.facts}) == 1
    name = _as_people_say(fact.subject, page, rng) if lonely else fact.subject
    return _Asked(as_typed(worlds.question(fact.relation, name, level, rng), rng), page, fact)


def _about_a_missing_detail(page: WorldPassage, level: Level, rng: Random) -> _Asked | None:
    """A question about the right subject whose answer is not there."""
    subject = rng.choice(page.facts).subject
    missing = [
        relation
        for relation in page.domain.relations
        if not page.states(relation, subject)
        and (worlds.relation_level(relation) == "G2") == (level == "G2")
    ]
    if not missing:
        return None
    relation = rng.choice(missing)
    return _Asked(as_typed(worlds.question(relation, subject, level, rng), rng), page, None, 2)


def _about_a_neighbour(page: WorldPassage, level: Level, rng: Random) -> _Asked:
    """A question about another subject of the same kind, of which the passage says nothing."""
    subject = rng.choice(page.facts).subject
    other = worlds.similar_name(subject, page.domain, rng, training=level == "train")
    relation = rng.choice(page.facts).relation
    if page.states(relation, other):
        return _about_a_fact(page, level, rng)
    return _Asked(as_typed(worlds.question(relation, other, level, rng), rng), page, None)


def _as_people_say(subject: str, page: WorldPassage, rng: Random) -> str:
    """The subject's name, sometimes shortened or only hinted at."""
    shape = rng.random()
    words = subject.removeprefix("the ").split()
    if shape < 0.08 and len(words) > 1:
        return rng.choice((words[0], words[-1]))
    if shape < 0.12:
        return rng.choice(page.domain.aliases)
    return subject


def _distractors(asked: _Asked, level: Level, rng: Random) -> list[WorldPassage]:
    """Passages that do not answer the question, shown before the one that may."""
    count = rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 3))
    found = []
    for _ in range(count):
        domain = asked.page.domain if rng.random() < 0.6 else None
        other = worlds.passage(rng, level, domain=domain)
        if asked.page.subject not in other.text:
            found.append(other)
    return found


def _record(
    asked: _Asked, distractors: list[WorldPassage], rng: Random, *, identifier: str, split: Split
) -> Record:
    pages = [*distractors, asked.page]
    if asked.fact is None:
        rng.shuffle(pages)
    passages = tuple(
        RecordPassage(
            pid=f"w:{index}",
            title=page.title,
            text=page.text,
            relevant=asked.fact is not None and page is asked.page,
        )
        for index, page in enumerate(pages)
    )
    segment, utility, loss, question = _answer(asked, passages, rng)
    return Record(
        id=identifier,
        messages=(Message(role="user", content=question),),
        segments=(segment,),
        utility=utility,
        answers=() if asked.fact is None else (asked.fact.value,),
        split=split,
        source={"dataset": "worlds", "domain": asked.page.domain.name},
        loss=loss,
    )


def _answer(
    asked: _Asked, passages: tuple[RecordPassage, ...], rng: Random
) -> tuple[Segment, int, LossWeights, str]:
    """The segment, its utility by rule, its loss and the question as asked.

    Utility: 5 answered in full, 3 in part, 2 not answered from a passage on the subject, 1 not
    answered at all or wrongly.
    """
    fact = asked.fact
    if fact is None:
        segment = Segment(decision="retrieve", passages=passages, text=ABSTENTION)
        return segment, asked.utility_if_unanswered, _PLAIN, asked.question
    wrong = [other for other in asked.page.facts if other.value != fact.value]
    shape = rng.random()
    if shape < 0.12 and wrong:
        segment = _quote(rng.choice(wrong), passages, "none")
        return segment, 1, _MUTE, asked.question
    if shape < 0.16:
        second = worlds.passage(rng, "train", domain=asked.page.domain)
        more = rng.choice(second.facts)
        question = worlds.question(more.relation, asked.page.subject, "train", rng)
        if not asked.page.states(more.relation, asked.page.subject):
            joint = rng.choice((" And ", " Also: ", " and ", "\n"))
            return _quote(fact, passages, "partial"), 3, _PLAIN, asked.question + joint + question
    return _quote(fact, passages, "full"), 5, _PLAIN, asked.question


def _quote(fact: Fact, passages: tuple[RecordPassage, ...], support: Support) -> Segment:
    return Segment(
        decision="retrieve",
        passages=passages,
        text=fact.value,
        span=fact.span,
        support=support,
        cite=(passages[-1].pid,),
    )
