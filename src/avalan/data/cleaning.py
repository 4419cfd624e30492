"""What a data set leaves out: what it has already, what is nearly that, and what it is tested on.

The same again is found by a hash. What is nearly the same is found among texts that people or
models wrote, by MinHash (Broder, 1997) as in datasketch; texts that programs made of templates
always look alike, and are spared. Thirteen words in a row that a test has too are no chance (Brown
et al., 2020, arXiv:2005.14165).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from datasketch import MinHash, MinHashLSH

from avalan.data.authored import DOCUMENTS
from avalan.data.textbook import RUN, runs_of, words_of
from avalan.errors import ConfigurationError, reason_of
from avalan.reflection.record import Record

Reason = Literal["repeated", "alike", "tested"]
"""The same as an earlier record, nearly the same, or shares a run of words with a test."""

SIMILAR = 0.8
"""Jaccard similarity of runs of five characters from which on two questions are nearly the same."""
_LIKENED = ("textbook", "claims")
"""Kinds of records that are compared; the others come again on purpose: a question over other text,
a prompt in another hand."""
_PERMUTATIONS = 128
_CHARACTERS = 5
_FIELDS = ("prompt", "question", "text")


class Cleaner:
    """Sees records one after the other, and says which to leave out."""

    def __init__(self, tested: Iterable[str] = ()) -> None:
        """
        Args:
            tested: texts of tests.
        """
        self._tested = {run for text in tested for run in runs(text)}
        self._seen: set[bytes] = set()
        self._near = MinHashLSH(threshold=SIMILAR, num_perm=_PERMUTATIONS)

    def reason(self, record: Record) -> Reason | None:
        """Why to leave `record` out; None keeps it, and remembers it."""
        if (look := key(record)) in self._seen:
            return "repeated"
        if self._tested and any(
            run in self._tested for text in texts(record) for run in runs(text)
        ):
            return "tested"
        if record.source.get("kind") in _LIKENED or record.source.get("dataset") == DOCUMENTS:
            sketch = _sketch(f"{record.messages[-1].content} {record.answers}")
            if self._near.query(sketch):
                return "alike"
            self._near.insert(record.id, sketch)
        self._seen.add(look)
        return None


def key(record: Record) -> bytes:
    """A hash of all that is said and shown, whatever its case and spaces."""
    said = "\x1f".join(" ".join(text.casefold().split()) for text in texts(record))
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


def texts(record: Record) -> Iterator[str]:
    """What is asked, shown and said."""
    yield from (message.content for message in record.messages)
    for segment in record.segments:
        yield from (passage.text for passage in segment.passages)
        yield segment.text or ""


def runs(text: str) -> Iterator[int]:
    """A hash of each `RUN` words in a row; of all of them where there are no more than these.

    Hashes of this process: no two processes have the same.
    """
    words = words_of(text)
    if len(words) >= _SHORTEST:
        yield from map(hash, runs_of(words) if len(words) > RUN else [tuple(words)])


_SHORTEST = 8
"""Words: shorter questions are asked by many."""


def _sketch(text: str) -> MinHash:
    folded = " ".join(text.casefold().split())
    pieces = {
        folded[i : i + _CHARACTERS].encode() for i in range(max(len(folded) - _CHARACTERS, 0) + 1)
    }
    sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update_batch(sorted(pieces))
    return sketch


def texts_of_tests(paths: Sequence[Path]) -> Iterator[str]:
    """The texts of test files and of those in folders: JSON lines, or plain text, a line each.

    Raises:
        ConfigurationError: a path is missing or cannot be read.
    """
    for path in paths:
        files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
        if not files:
            raise ConfigurationError(
                "There is no *.jsonl in {path}; name files or folders of tests.", path=path
            )
        for file in files:
            yield from _lines(file)


def _lines(file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "The test file {path} cannot be read ({reason}).",
            path=file,
            reason=reason_of(error) if isinstance(error, OSError) else "UTF-8",
        ) from None
    for line in lines:
        row = None
        if file.suffix == ".jsonl" and line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
        if isinstance(row, dict):
            yield from (row[field] for field in _FIELDS if isinstance(row.get(field), str))
        elif line.strip():
            yield line
