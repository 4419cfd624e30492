"""What the tasks are measured on: examples made from a seed (G0 to G2) or read from files (G3).

G0   wordings seen in training, entities not seen
G1   wordings not seen in training either
G2   relations of passages, and domains of prompts, not seen in training
G3   questions and passages written one by one: `decisions.jsonl`, `g3/*.passages.jsonl` and
     `g3/*.questions.jsonl` of a data folder
T    the textbook: documents of every kind with what people ask about them, and prompts in four
     languages; its training split taught the reader
H    the invented papers of three institutions, in `house/`: versions that contradict each other,
     questions over two documents, near misses; the first is for validation
P    questions on the reference text that comes with Python, in `python/`; all have an answer, of a
     line or more
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

from avalan import extras
from avalan.data.mixture import one, rng_for
from avalan.data.textbook import Textbook
from avalan.data.worlds import Level, domains
from avalan.errors import ConfigurationError, reason_of
from avalan.locale import _
from avalan.reflection.record import Record

Split = Literal["validation", "test"]
Generated = Literal["G0", "G1", "G2"]
Made = TypeVar("Made")

_DECISIONS = "decisions.jsonl"
_HOUSES: dict[Split, tuple[str, ...]] = {"validation": ("a",), "test": ("b", "c")}
"""The institutions of each split."""
_PYTHON = "python/*.questions.jsonl"
_PASSAGES, _QUESTIONS = "g3/*.passages.jsonl", "g3/*.questions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, and whether answering it needs a look-up (`docs/decision-labels.md`)."""

    id: str
    text: str
    retrieve: bool
    kind: str

    @property
    def group(self) -> str:
        """Examples of one group share their luck; prompts stand alone."""
        return self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A document that questions are about."""

    name: str
    """Its file's name."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about a set of pages, and what counts as right."""

    id: str
    text: str
    answers: tuple[str, ...]
    """Verbatim pieces of the page; empty where no page answers."""
    page: str
    """The name of the page that it is about."""
    versions: tuple[str, ...] = ()
    """Names of older or newer versions of the page that answer it in the same words."""
    kind: str = ""
    """Of H: plain, paraphrase, conflict, multi or unanswerable."""

    @property
    def answerable(self) -> bool:
        """Whether a page answers it."""
        return bool(self.answers)

    @property
    def group(self) -> str:
        """Questions about one page share its luck."""
        return self.page

    def is_on(self, source: str) -> bool:
        """Whether the file `source` is the page, or a version that says the same."""
        name = Path(source).name
        return name == self.page or name in self.versions


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Pages that are searched together, and the questions about them."""

    pages: tuple[Page, ...]
    questions: tuple[Question, ...]


# --- made from a seed --------------------------------------------------------------------------


def generated_prompts(level: Generated, num: int, *, split: Split, seed: int) -> tuple[Prompt, ...]:
    """`num` prompts for the retrieval decision; the same on every machine."""
    prompts = []
    for index in range(num):
        name = f"{level.lower()}-{index:04}"
        rng = rng_for(_stream("decisions", level, split, seed), index)
        record = one("decisions", rng, level, identifier=name, split=split)
        prompts.append(
            Prompt(
                id=name,
                text=record.messages[-1].content,
                retrieve=record.segments[0].decision == "retrieve",
                kind=record.source["kind"],
            )
        )
    return tuple(prompts)


def generated_questions(level: Generated, num: int, *, split: Split, seed: int) -> QuestionSet:
    """`num` questions over invented pages, all pages in one set; the same on every machine."""
    pages: list[Page] = []
    questions = []
    for index in range(num):
        rng = rng_for(_stream("reading", level, split, seed), index)
        record = _clear_record(rng, level, split, f"{level.lower()}-{index:04}")
        shown = [
            (_page(f"{record.id}-{number}", passage.title, passage.text), passage.relevant)
            for number, passage in enumerate(record.segments[0].passages)
        ]
        pages += (page for page, _ in shown)
        right = next((page for page, relevant in shown if relevant), shown[-1][0])
        questions.append(
            Question(
                id=record.id,
                text=record.messages[-1].content,
                answers=record.answers,
                page=right.name,
            )
        )
    return QuestionSet(pages=tuple(pages), questions=tuple(questions))


def taught_answers(num: int, *, split: Split, seed: int) -> tuple[tuple[str, str], ...]:
    """`num` questions, with answers, of the kind that the bundled model is taught by heart.

    Facts, definitions and small sums as people type them; small talk, which has no one right
    answer, is left out.
    """
    rng = rng_for(_stream("memory", "train", split, seed), 0)
    found: list[tuple[str, str]] = []
    while len(found) < num:
        record = one("decisions", rng, "train", identifier="memory", split=split)
        if record.source["kind"] == "memory" and record.utility == 5:
            found.append((record.messages[-1].content, record.answers[0]))
    return tuple(found)


def _stream(task: str, level: Level, split: Split, seed: int) -> int:
    """A seed of its own for each task, level and split, so that no two share examples."""
    digest = hashlib.blake2b(f"{task}/{level}/{split}/{seed}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


def _clear_record(rng: Random, level: Generated, split: Split, name: str) -> Record:
    """A reading record whose question has one right answer among all pages."""
    while True:
        record = one("reading", rng, level, identifier=name, split=split)
        if record.segments[0].support != "partial" and not only_hints(record):
            return record


def only_hints(record: Record) -> bool:
    """Whether the question may say only "the hotel" or "it", of which the pages have many."""
    question = record.messages[-1].content
    named = (domain for domain in domains() if domain.name == record.source["domain"])
    return any(
        re.search(rf"\b{re.escape(alias)}\b", question, re.IGNORECASE)
        for domain in named
        for alias in domain.aliases
    )


def _page(stem: str, title: str, text: str) -> Page:
    if not title:
        return Page(name=f"{stem}.txt", text=f"{text}\n")
    return Page(name=f"{stem}.md", text=f"# {title}\n\n{text}\n")


# --- read from files ---------------------------------------------------------------------------


def default_data() -> Path | None:
    """The data folder of the checkout that the package runs from, if it does."""
    folder = Path(__file__).parents[3] / "tests" / "data"
    return folder if (folder / _DECISIONS).is_file() else None


def written_prompts(folder: Path, split: Split) -> tuple[Prompt, ...]:
    """The prompts of `decisions.jsonl` in one split.

    Raises:
        ConfigurationError: the file is missing or broken.
    """
    return tuple(
        _read(folder / _DECISIONS, row, _prompt)
        for row in _rows(folder / _DECISIONS)
        if row.get("split") == split
    )


def written_questions(folder: Path, split: Split) -> QuestionSet:
    """The questions of `g3/` in one split, and the passages of that split.

    Raises:
        ConfigurationError: a file is missing or broken.
    """
    pages = {
        row["id"]: _read(path, row, _written_page)
        for path in _files(folder, _PASSAGES)
        for row in _rows(path)
        if row.get("split") == split
    }
    questions = tuple(
        _read(path, row, lambda row: _question(row, pages))
        for path in _files(folder, _QUESTIONS)
        for row in _rows(path)
        if row.get("split") == split
    )
    return QuestionSet(pages=tuple(pages.values()), questions=questions)


def house_questions(folder: Path, split: Split) -> QuestionSet:
    """The documents of `house/` in one split, and the questions about them.

    A question over two documents is about the one that has its answer; one about something that
    has changed, about the newer version.

    Raises:
        ConfigurationError: a file is missing or broken.
    """
    pages: list[Page] = []
    questions: list[Question] = []
    for house in _HOUSES[split]:
        (path,) = _files(folder, f"house/{house}.pages.jsonl")
        rows = {row["id"]: row for row in _rows(path)}
        papers = {name: _read(path, row, _house_page) for name, row in rows.items()}
        first: dict[str, str] = {}
        for name, row in rows.items():  # The first version stands before the others.
            first[name] = first.get(row["version_of"], name)
        (path,) = _files(folder, f"house/{house}.questions.jsonl")
        make = partial(_house_question, papers=papers, first=first)
        questions += [_read(path, row, make) for row in _rows(path)]
        pages += papers.values()
    return QuestionSet(pages=tuple(pages), questions=tuple(questions))


def python_questions(folder: Path, split: Split) -> QuestionSet:
    """The pages of Python's reference text that `help()` shows, and the questions about them.

    Another Python may have another text; a question whose answer is not in it is left out.

    Raises:
        ConfigurationError: a file is missing or broken, or this Python came without the text.
    """
    try:
        texts: Mapping[str, str] = extras.load("pydoc_data.topics").topics
    except ModuleNotFoundError:
        raise ConfigurationError(
            "P needs the text of pydoc_data, which this Python lacks; leave P out of --level, or "
            "use Python from python.org."
        ) from None
    pages = {name: Page(name=f"{name}.rst", text=text) for name, text in texts.items()}
    questions = tuple(
        _read(path, row, partial(_python_question, pages=pages))
        for path in _files(folder, _PYTHON)
        for row in _rows(path)
        if row.get("split") == split and row.get("answer", "") in texts.get(row["document"], "")
    )
    return QuestionSet(pages=tuple(pages.values()), questions=questions)


def default_textbook() -> Path | None:
    """The textbook of the checkout that the package runs from, if it does."""
    folder = Path(__file__).parents[3] / "data" / "textbook"
    return folder if folder.is_dir() else None


def textbook_prompts(book: Textbook) -> tuple[Prompt, ...]:
    """The prompts of a part of the textbook; their kind begins with their language."""
    return tuple(
        Prompt(
            id=each.id,
            text=each.prompt,
            retrieve=each.need == "retrieve",
            kind=f"{each.language} {each.kind}",
        )
        for each in book.prompts
    )


def textbook_questions(book: Textbook) -> QuestionSet:
    """The pages of a part of the textbook, which are searched together, and its questions."""
    pages = {page.id: _page(page.id, page.title, page.text) for page in book.pages}
    questions = tuple(
        Question(
            id=each.id, text=each.question, answers=each.answers, page=pages[each.passage].name
        )
        for each in book.inquiries
    )
    return QuestionSet(pages=tuple(pages.values()), questions=questions)


def data_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the tasks' data, by its path inside `folder`."""
    return _hashes(
        folder, [folder / _DECISIONS, *_files(folder, _PASSAGES), *_files(folder, _QUESTIONS)]
    )


def house_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of `house/`, by its path inside `folder`."""
    return _hashes(folder, _files(folder, "house/*.jsonl"))


def python_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of `python/`, by its path inside `folder`."""
    return _hashes(folder, _files(folder, _PYTHON))


def textbook_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a textbook, by its path from the folder above."""
    return _hashes(folder.parent, sorted(folder.glob("*.jsonl")))


def _hashes(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(_bytes(path)).hexdigest()
        for path in files
    }


def _prompt(row: Mapping[str, Any]) -> Prompt:
    retrieve = {"retrieve": True, "none": False}[row["need"]]
    return Prompt(id=row["id"], text=row["prompt"], retrieve=retrieve, kind=row["kind"])


def _written_page(row: Mapping[str, Any]) -> Page:
    return _page(row["id"], row["title"], row["text"])


def _question(row: Mapping[str, Any], pages: Mapping[str, Page]) -> Question:
    page = pages[row["passage"]]
    answers = tuple(row["answers"])
    if row["answerable"] != bool(answers) or any(answer not in page.text for answer in answers):
        raise ValueError(_("the answers of {id} do not fit its passage", id=row["id"]))
    return Question(id=row["id"], text=row["question"], answers=answers, page=page.name)


def _house_page(row: Mapping[str, Any]) -> Page:
    return Page(name=f"{row['id']}-{row['file']}", text=row["text"])


def _house_question(
    row: Mapping[str, Any], papers: Mapping[str, Page], first: Mapping[str, str]
) -> Question:
    name = row["pages"][-1 if row["kind"] == "multi" else 0]
    page, answers = papers[name], tuple(row["answers"])
    is_answerable = row["kind"] != "unanswerable"
    if is_answerable != bool(answers) or any(answer not in page.text for answer in answers):
        raise ValueError(_("the answers of {id} do not fit its passage", id=row["id"]))
    related = (papers[other] for other in papers if first[other] == first[name])
    return Question(
        id=row["id"],
        text=row["question"],
        answers=answers,
        page=page.name,
        versions=tuple(
            each.name
            for each in related
            if each is not page and any(answer in each.text for answer in answers)
        ),
        kind=row["kind"],
    )


def _python_question(row: Mapping[str, Any], pages: Mapping[str, Page]) -> Question:
    return Question(
        id=row["id"],
        text=row["question"],
        answers=(row["answer"],),
        page=pages[row["document"]].name,
        versions=tuple(pages[name].name for name in row["also"] if name in pages),
        kind=row["kind"],
    )


def _read(path: Path, row: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Made]) -> Made:
    try:
        return make(row)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "A line of {path} cannot be used ({kind}: {error}); its fields are {fields}.",
            path=path,
            kind=type(error).__name__,
            error=error,
            fields=", ".join(row),
        ) from None


def _files(folder: Path, pattern: str) -> list[Path]:
    if found := sorted(folder.glob(pattern)):
        return found
    raise ConfigurationError(
        "The data folder {folder} has no file {pattern}; name the tests/data of a checkout "
        "with: --data DIR",
        folder=folder,
        pattern=pattern,
    )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_bytes(path).splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ConfigurationError(
                "Line {number} of {path} is not a JSON object; repair it.", number=number, path=path
            )
        yield row


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            "The data file {path} cannot be read ({reason}); name the tests/data of a "
            "checkout with: --data DIR",
            path=path,
            reason=reason_of(error),
        ) from None
