"""Invented worlds: passages about entities that do not exist, and questions about them.

A world is a list of domains (`worlds/*.toml`): kinds of subject with relations, each with many
statements and many questions written one by one. A passage picks a subject and some relations,
words them as prose, a list, a table or a mixture, and knows where each answer stands. The levels of
generalisation follow from what is held out by hash:

    G0   wordings seen in training, entities not seen
    G1   statements and questions not seen in training either
    G2   relations not seen in training
"""

import hashlib
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from random import Random
from typing import Any, Literal

from avalan.data.slots import fill, in_training

Level = Literal["train", "G0", "G1", "G2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Something that can be said and asked about a subject."""

    name: str
    label: str
    answer: str | None
    answers: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]

    def value(self, rng: Random) -> str:
        """A new answer."""
        if self.answers:
            return rng.choice(self.answers)
        assert self.answer is not None
        return fill(self.answer, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A kind of subject, and what can be said about it."""

    name: str
    subject: str
    aliases: tuple[str, ...]
    openers: tuple[str, ...]
    fillers: tuple[str, ...]
    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A relation that holds in a passage, and where its answer stands there, in characters."""

    relation: Relation
    subject: str
    value: str
    span: tuple[int, int]
    sentence: tuple[int, int]
    """The whole statement, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPassage:
    """A passage about a subject, with every fact that it states."""

    domain: Domain
    subject: str
    title: str
    text: str
    facts: tuple[Fact, ...]

    def states(self, relation: Relation, subject: str) -> bool:
        """Whether the passage answers `relation` about `subject`."""
        return any(
            fact.relation.name == relation.name and fact.subject == subject for fact in self.facts
        )


@cache
def domains() -> tuple[Domain, ...]:
    """Every domain of `worlds/*.toml`, in a fixed order."""
    folder = files("avalan.data") / "worlds"
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            tables = tomllib.loads(file.read_text(encoding="utf-8"))["domain"]
            found += [_domain(table) for table in tables]
    return tuple(found)


def _domain(table: dict[str, Any]) -> Domain:
    relations = tuple(
        Relation(
            name=f"{table['name']}/{row['name']}",
            label=row["label"],
            answer=row.get("answer"),
            answers=tuple(row.get("answers", ())),
            statements=tuple(row["statements"]),
            questions=tuple(row["questions"]),
        )
        for row in table["relation"]
    )
    return Domain(
        name=table["name"],
        subject=table["subject"],
        aliases=tuple(table["aliases"]),
        openers=tuple(table["openers"]),
        fillers=tuple(table["fillers"]),
        relations=relations,
    )


def bucket(text: str) -> int:
    """A number from 0 to 99 that depends on `text` alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") % 100


def relation_level(relation: Relation) -> Level:
    """One relation in ten is held out for G2."""
    return "G2" if bucket(relation.name) < 10 else "train"


def allowed_wordings(wordings: Sequence[str], level: Level) -> tuple[str, ...]:
    """One wording in eight is held out for G1; the last choice left is never taken away."""
    held_out = tuple(text for text in wordings if bucket(text) >= 88)
    seen = tuple(text for text in wordings if bucket(text) < 88)
    if level == "G1":
        return held_out or seen
    return (seen or held_out) if level in ("train", "G0") else tuple(wordings)


def subject_name(domain: Domain, rng: Random, *, training: bool) -> str:
    """A new subject, of the names that belong to training data or of those that do not."""
    while True:
        name = fill(domain.subject, rng)
        if in_training(name) == training:
            return name


def similar_name(name: str, domain: Domain, rng: Random, *, training: bool) -> str:
    """Another subject; half of the time one that shares a word with `name`."""
    words = name.split()
    for _ in range(20):
        other = subject_name(domain, rng, training=training)
        parts = other.split()
        if len(words) > 1 and len(parts) == len(words) and rng.random() < 0.5:
            index = rng.randrange(len(words))
            parts[index] = words[index]
            other = " ".join(parts)
        if other != name and in_training(other) == training:
            return other
    return subject_name(domain, rng, training=training)


def passage(rng: Random, level: Level, *, domain: Domain | None = None) -> WorldPassage:
    """A passage for `level` (training's wordings and names for `train`)."""
    training = level == "train"
    domain = domain or rng.choice(domains())
    usable = [r for r in domain.relations if _usable(r, level)]
    while not usable:
        domain = rng.choice(domains())
        usable = [r for r in domain.relations if _usable(r, level)]
    subject = subject_name(domain, rng, training=training)
    relations = rng.sample(usable, min(len(usable), rng.choice((1, 2, 3, 3, 4, 5, 6, 8))))
    claims = [(relation, subject) for relation in relations]
    if rng.random() < 0.35:
        other = similar_name(subject, domain, rng, training=training)
        claims += [(r, other) for r in rng.sample(usable, min(len(usable), rng.choice((1, 2, 2))))]
        if rng.random() < 0.6:
            claims.append((relations[0], other))
    claims = list(dict.fromkeys(claims))
    style = rng.choice((_prose, _prose, _prose, _prose, _list, _table, _mixed, _letter))
    page = style(domain, subject, claims, level, rng)
    if rng.random() < 0.2 and len(page.text) < 500:
        page = joined(page, passage(rng, level))
    return page


def simple_passage(rng: Random, level: Level) -> WorldPassage:
    """One subject and one to four facts, as plain statements or as a list, and nothing else."""
    domain = rng.choice([d for d in domains() if any(_usable(r, level) for r in d.relations)])
    usable = [relation for relation in domain.relations if _usable(relation, level)]
    subject = subject_name(domain, rng, training=level == "train")
    page = _Page(domain, subject)
    as_list = rng.random() < 0.4
    for relation in rng.sample(usable, min(len(usable), rng.choice((1, 2, 3, 4)))):
        statement = rng.choice(allowed_wordings(relation.statements, level))
        page.add(("\n" if as_list else " ") if page.text else "")
        template = f"{relation.label}: {{a}}" if as_list else statement
        page.state(template, relation, subject, subject, relation.value(rng))
    return page.finish(_raise(subject))


def _usable(relation: Relation, level: Level) -> bool:
    held_out = relation_level(relation) == "G2"
    return held_out if level == "G2" else not held_out


class _Page:
    """Text that grows, with the places of the answers in it."""

    def __init__(self, domain: Domain, subject: str) -> None:
        self.domain = domain
        self.subject = subject
        self.text = ""
        self.facts: list[Fact] = []

    def add(self, text: str) -> None:
        self.text += text

    def state(
        self, template: str, relation: Relation, subject: str, mention: str, value: str
    ) -> None:
        """Append a statement, its first letter raised, and note where its answer stands."""
        before, _, after = template.partition("{a}")
        before, after = before.replace("{s}", mention), after.replace("{s}", mention)
        if not before and value[:1].islower():
            value = value[:1].upper() + value[1:]
        begin = len(self.text)
        start = begin + len(before)
        self.add(_raise(before) + value + after)
        fact = Fact(
            relation=relation,
            subject=subject,
            value=value,
            span=(start, start + len(value)),
            sentence=(begin, len(self.text)),
        )
        self.facts.append(fact)

    def finish(self, title: str) -> WorldPassage:
        return WorldPassage(
            domain=self.domain,
            subject=self.subject,
            title=title,
            text=self.text,
            facts=tuple(self.facts),
        )


def _raise(text: str) -> str:
    return text[:1].upper() + text[1:]


Claims = list[tuple[Relation, str]]


def _sentences(
    page: _Page, claims: Claims, level: Level, rng: Random, *, joint: str = " "
) -> Iterator[Callable[[], None]]:
    """Deferred statements and fillers in a random order; calling one writes it."""
    jobs: list[tuple[Relation | None, str]] = [*claims]
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4))):
        jobs.append((None, rng.choice(page.domain.fillers)))
    rng.shuffle(jobs)
    mentioned: str | None = None
    for relation, item in jobs:
        if relation is None:
            yield partial(page.add, _raise(item.replace("{s}", page.subject)))
            continue
        # An alias is clear only while the subject is the one mentioned last.
        alias = mentioned == item == page.subject and rng.random() < 0.5
        mention = rng.choice(page.domain.aliases) if alias else item
        mentioned = item
        template = rng.choice(allowed_wordings(relation.statements, level))
        value = relation.value(rng)
        yield partial(page.state, template, relation, item, mention, value)


def _prose(domain: Domain, subject: str, claims: Claims, level: Level, rng: Random) -> WorldPassage:
    page = _Page(domain, subject)
    if rng.random() < 0.4:
        page.add(_raise(rng.choice(domain.openers).replace("{s}", subject)))
    breaks = rng.random() < 0.2
    for write in _sentences(page, claims, level, rng):
        if page.text:
            page.add("\n\n" if breaks and rng.random() < 0.4 else " ")
        write()
    return page.finish(_title(subject, domain, rng))


def _letter(
    domain: Domain, subject: str, claims: Claims, level: Level, rng: Random
) -> WorldPassage:
    page = _Page(domain, subject)
    somebody = fill("person", rng)
    page.add(
        rng.choice(
            ("Dear all,\n", "Hello,\n", f"Hi {somebody},\n", "To whom it may concern,\n",
             "NOTES\n", "Memo\n")
        )
    )  # fmt: skip
    for write in _sentences(page, claims, level, rng):
        if not page.text.endswith("\n"):
            page.add("\n" if rng.random() < 0.3 else " ")
        write()
    page.add(rng.choice(("\nBest wishes", "\nThanks", "\nRegards", "")))
    if rng.random() < 0.5:
        page.add(f"\n{fill('person', rng).split()[0]}")
    return page.finish("" if rng.random() < 0.5 else _title(subject, domain, rng))


def _list(domain: Domain, subject: str, claims: Claims, level: Level, rng: Random) -> WorldPassage:
    page = _Page(domain, subject)
    bullet = rng.choice(("- ", "* ", "", "", "• "))
    for index, (relation, item) in enumerate(sorted(claims, key=lambda claim: claim[1] != subject)):
        if index == 0 or item != page.facts[-1].subject:
            page.add(
                ("\n" if index else "") + f"{rng.choice(('', '## ', '# ', ''))}{_raise(item)}\n"
            )
        page.add("" if page.text.endswith("\n") else "\n")
        page.state(f"{bullet}{relation.label}: {{a}}", relation, item, item, relation.value(rng))
    if rng.random() < 0.4:
        page.add("\n" + _raise(rng.choice(domain.fillers).replace("{s}", subject)))
    return page.finish(_title(subject, domain, rng))


def _table(domain: Domain, subject: str, claims: Claims, level: Level, rng: Random) -> WorldPassage:
    page = _Page(domain, subject)
    bar = rng.choice((" | ", "  ", "\t", ", ", " — "))
    names = {item for _, item in claims}
    for index, (relation, item) in enumerate(claims):
        page.add("\n" if index else "")
        head = f"{item}{bar}" if len(names) > 1 or rng.random() < 0.5 else ""
        page.state(f"{head}{relation.label}{bar}{{a}}", relation, item, item, relation.value(rng))
    return page.finish(_title(subject, domain, rng) or _raise(subject))


def _mixed(domain: Domain, subject: str, claims: Claims, level: Level, rng: Random) -> WorldPassage:
    cut = rng.randint(0, len(claims))
    prose = _prose(domain, subject, claims[:cut], level, rng)
    rest = _list(domain, subject, claims[cut:], level, rng) if claims[cut:] else None
    if rest is None or not prose.text:
        return prose if rest is None else rest
    return joined(prose, rest)


def joined(first: WorldPassage, second: WorldPassage) -> WorldPassage:
    """Two passages as two paragraphs of one, under the title of the first."""
    shift = len(first.text) + 2
    moved = (
        replace(fact, span=_shifted(fact.span, shift), sentence=_shifted(fact.sentence, shift))
        for fact in second.facts
    )
    return replace(first, text=f"{first.text}\n\n{second.text}", facts=(*first.facts, *moved))


def _shifted(span: tuple[int, int], shift: int) -> tuple[int, int]:
    return span[0] + shift, span[1] + shift


def _title(subject: str, domain: Domain, rng: Random) -> str:
    return rng.choice(
        ("", "", _raise(subject), domain.name.capitalize(), "Notes", f"About {subject}")
    )


def question(relation: Relation, subject: str, level: Level, rng: Random) -> str:
    """A question about `relation` of `subject`."""
    template = rng.choice(allowed_wordings(relation.questions, level))
    return _raise_like(template, template.replace("{s}", subject))


def label_question(relation: Relation, subject: str, rng: Random) -> str:
    """The shortest way to ask: by the relation's label."""
    label = relation.label
    return rng.choice(
        (
            f"{label} of {subject}?",
            f"{label}?",
            f"{subject}: {label.lower()}?",
            f"{label} {subject}",
        )
    )


def doubt(fact: Fact, page: WorldPassage, level: Level, rng: Random) -> str:
    """A yes/no question about `fact`, asked with its own value or with a wrong one."""
    value = fact.value if rng.random() < 0.5 else fact.relation.value(rng)
    template = rng.choice(allowed_wordings(fact.relation.statements, level))
    claim = template.replace("{s}", fact.subject).replace("{a}", value).rstrip(".")
    label = fact.relation.label.lower()
    frame = rng.choice(
        ("Is it true that {c}?", "can you confirm that {c}", "{c}, right?",
         "I heard that {c}. Is that so?", "is the {l} of {s} {v}?", "{s}: {l} {v} or not?",
         "Did I get this right: {c}?", "{c}?")
    )  # fmt: skip
    return frame.format(c=claim, l=label, s=fact.subject, v=value)


def _raise_like(template: str, text: str) -> str:
    return _raise(text) if template.startswith("{s}") and text[:4] != "the " else text
