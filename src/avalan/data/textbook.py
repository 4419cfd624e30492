"""The textbook: documents written one by one, and what is asked and claimed about them.

A folder of JSON lines: `passages.jsonl`, `questions.jsonl`, `claims.jsonl` and `prompts.jsonl`; the
card beside them says what the fields mean and who wrote it. Nothing here makes text.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _
from avalan.model.entities import GRADES, Grade
from avalan.retrieval.ranking import SAME_TEXT, resemblance, shingles

Split = Literal["train", "validation", "test"]
Need = Literal["retrieve", "none"]
Made = TypeVar("Made")

RUN = 13
"""Words in a row that two texts share by no chance (Brown et al., 2020, arXiv:2005.14165)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A document of the textbook."""

    id: str
    title: str
    register: str
    """What kind of document it is: minutes, a leaflet, a changelog …"""
    split: Split
    text: str
    date: str = ""
    version_of: str = ""
    """The page that this one is a newer version of, and contradicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A question about a page."""

    id: str
    passage: str
    split: Split
    question: str
    answers: tuple[str, ...]
    """Verbatim pieces of the page, the best first; empty where the page does not answer."""
    kind: str
    verdict: str = ""
    """`yes` or `no` where that is asked; the answer is the sentence that decides it."""
    traits: tuple[str, ...] = ()
    why: str = ""
    """What is missing, where the page does not answer."""
    elsewhere: tuple[tuple[str, str], ...] = ()
    """Other pages that are needed too, or say otherwise: (id, verbatim piece)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence, and how far its page supports it."""

    id: str
    passage: str
    split: Split
    claim: str
    support: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, and whether answering it needs a look-up (`docs/decision-labels.md`)."""

    id: str
    prompt: str
    need: Need
    kind: str
    language: str
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Textbook:
    """All of it, or the part of one split."""

    pages: tuple[Page, ...]
    inquiries: tuple[Inquiry, ...]
    claims: tuple[Claim, ...]
    prompts: tuple[Prompt, ...]

    def part(self, split: Split) -> "Textbook":
        """What belongs to one split."""
        return Textbook(
            pages=tuple(each for each in self.pages if each.split == split),
            inquiries=tuple(each for each in self.inquiries if each.split == split),
            claims=tuple(each for each in self.claims if each.split == split),
            prompts=tuple(each for each in self.prompts if each.split == split),
        )


def read(folder: Path) -> Textbook:
    """The textbook in `folder`.

    Raises:
        ConfigurationError: a file is missing, or a line of it is not what it should be.
    """
    book = Textbook(
        pages=tuple(_made(folder / "passages.jsonl", lambda row: Page(**row))),
        inquiries=tuple(_made(folder / "questions.jsonl", _inquiry)),
        claims=tuple(_made(folder / "claims.jsonl", lambda row: Claim(**row))),
        prompts=tuple(_made(folder / "prompts.jsonl", lambda row: Prompt(**row))),
    )
    for problem in _broken_references(book):
        raise ConfigurationError(
            "The textbook in {folder} cannot be used ({problem}); repair it.",
            folder=folder,
            problem=problem,
        )
    return book


_WORDS_OF = {"support": GRADES, "need": get_args(Need), "split": get_args(Split)}
"""What may stand in a field."""


def _inquiry(row: Mapping[str, Any]) -> Inquiry:
    plain = {key: value for key, value in row.items() if key != "answerable"}
    found = Inquiry(
        **plain
        | {"answers": tuple(row["answers"]), "traits": tuple(row.get("traits", ()))}
        | {"elsewhere": tuple((id_, piece) for id_, piece in row.get("elsewhere", ()))}
    )
    if row["answerable"] != bool(found.answers):
        raise ValueError("answerable")
    return found


def _made(path: Path, make: Callable[[dict[str, Any]], Made]) -> Iterator[Made]:
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "The textbook's file {path} cannot be read ({reason}); name the folder data/textbook "
            "of a checkout.",
            path=path,
            reason=reason_of(error) if isinstance(error, OSError) else _("it is not UTF-8"),
        ) from None
    # By line feeds alone: JSON strings may hold other separators of lines as they are.
    for number, line in enumerate(text.split("\n") if text else (), 1):
        try:
            row = json.loads(line)
            for field, words in _WORDS_OF.items():
                if field in row and row[field] not in words:
                    raise ValueError(f"{field} is {row[field]!r}")
            yield make(row)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                "Line {number} of {path} cannot be used ({kind}: {error}); repair it.",
                number=number,
                path=path,
                kind=type(error).__name__,
                error=error,
            ) from None


# --- what can be wrong with it -----------------------------------------------------------------


def problems(book: Textbook, held_out: Iterable[str] = ()) -> Iterator[str]:
    """Whatever is wrong, a sentence each; nothing where all is well.

    Args:
        held_out: texts that nothing of the textbook may repeat.
    """
    yield from _repeated_ids(book)
    yield from _broken_references(book)
    yield from _near_duplicates(book)
    yield from _overlaps(book, held_out)


def _repeated_ids(book: Textbook) -> Iterator[str]:
    everything: tuple[Page | Inquiry | Claim | Prompt, ...]
    everything = (*book.pages, *book.inquiries, *book.claims, *book.prompts)
    for name, count in Counter(each.id for each in everything).items():
        if count > 1:
            yield f"{name}: the id is used {count} times"


def _broken_references(book: Textbook) -> Iterator[str]:
    pages = {page.id: page for page in book.pages}
    for page in book.pages:
        if page.version_of and page.version_of not in pages:
            yield f"{page.id}: there is no page {page.version_of}"
        elif page.version_of and pages[page.version_of].split != page.split:
            yield f"{page.id}: its older version is in another split"
    about: tuple[Inquiry | Claim, ...] = (*book.inquiries, *book.claims)
    for each in about:
        if each.passage not in pages:
            yield f"{each.id}: there is no page {each.passage}"
        elif each.split != pages[each.passage].split:
            yield f"{each.id}: its page is in another split"
    for inquiry in book.inquiries:
        pieces = [(inquiry.passage, answer) for answer in inquiry.answers]
        for name, piece in (*pieces, *inquiry.elsewhere):
            if name in pages and piece not in pages[name].text:
                yield f"{inquiry.id}: not verbatim in {name}: {piece!r}"
        for name, _piece in inquiry.elsewhere:
            if name not in pages or pages[name].split != inquiry.split:
                yield f"{inquiry.id}: {name} is no page of its split"


def _near_duplicates(book: Textbook) -> Iterator[str]:
    """Versions of one page are meant to be alike."""
    older = {frozenset((page.id, page.version_of)) for page in book.pages}
    kinds: Sequence[Mapping[str, str]] = (
        {each.id: each.text for each in book.pages},
        {each.id: each.question for each in book.inquiries},
        {each.id: each.claim for each in book.claims},
        {each.id: each.prompt for each in book.prompts},
    )
    for texts in kinds:
        for first, second in alike(texts):
            if frozenset((first, second)) not in older:
                yield f"{first} and {second} say nearly the same"


def alike(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The pairs of names whose texts share at least four fifths of their runs of four words."""
    looks = {name: shingles(text) for name, text in texts.items()}
    holders: dict[int, list[str]] = defaultdict(list)
    for name, look in looks.items():
        for shingle in look:
            holders[shingle].append(name)
    pairs = {pair for names in holders.values() for pair in combinations(names, 2)}
    for first, second in sorted(pairs):
        if resemblance(looks[first], looks[second]) >= SAME_TEXT:
            yield first, second


def _overlaps(book: Textbook, held_out: Iterable[str]) -> Iterator[str]:
    runs: set[tuple[str, ...]] = set()
    whole: set[tuple[str, ...]] = set()
    for text in held_out:
        words = words_of(text)
        runs |= set(runs_of(words))
        whole.add(tuple(words))
    texts = {each.id: each.text for each in book.pages}
    texts |= {each.id: each.question for each in book.inquiries}
    texts |= {each.id: each.prompt for each in book.prompts}
    for name, text in texts.items():
        words = words_of(text)
        if tuple(words) in whole or any(run in runs for run in runs_of(words)):
            yield f"{name} repeats a text that is held out"


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case, without what stands between them."""
    return "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()


def runs_of(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each `RUN` words in a row; none of fewer."""
    return (tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
