"""The kinds of documents there are, by the endings of their names.

A format is either text, whose offsets count in the file itself, or it has a module here whose
`read` extracts its text; offsets then count in that text, which the index keeps.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from avalan import extras
from avalan.retrieval.formats import code

Cuts = Literal["prose", "code", "csv", "lines"]
"""Where a text may be cut into chunks: chunks.py."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How files of one kind are read."""

    layout: str = "text"
    """Which lines are headings: text, markdown, rest, csv, none, or a family of `code.FAMILIES`."""
    cuts: Cuts = "prose"
    reader: str = ""
    """The module here that extracts the text; "" where the file is the text."""
    is_binary: bool = False
    """Whether the reader opens the file by itself, and is not given its text."""
    extra: str | None = None
    """What to install for the reader."""
    max_bytes: int = 1024 * _MIB
    """Of a larger file nothing is read, so that one file cannot take the index for itself."""

    def load_reader(self) -> Any:
        """The reader's module.

        Raises:
            MissingExtra: it needs a package that is not installed.
        """
        return extras.load(f"{__name__}.{self.reader}", extra=self.extra)


# What nobody wrote for a reader: a log, data, a file whose name tells nothing.
_LOOSE = Format(max_bytes=32 * _MIB)
_LOG = Format(layout="none", cuts="lines", max_bytes=32 * _MIB)
_MAN = Format(reader="man", max_bytes=16 * _MIB)

FORMATS: dict[str, Format] = {
    ".txt": Format(),
    ".text": Format(),
    ".md": Format(layout="markdown"),
    ".markdown": Format(layout="markdown"),
    ".rst": Format(layout="rest"),
    ".html": Format(reader="html"),
    ".htm": Format(reader="html"),
    ".xhtml": Format(reader="html"),
    ".pdf": Format(reader="pdf", is_binary=True, extra="documents"),
    ".docx": Format(reader="docx", is_binary=True, extra="documents", max_bytes=256 * _MIB),
    ".epub": Format(reader="epub", is_binary=True, max_bytes=256 * _MIB),
    ".ipynb": Format(reader="notebook", max_bytes=32 * _MIB),
    ".csv": Format(layout="csv", cuts="csv"),
    ".tsv": Format(layout="csv", cuts="csv"),
    ".jsonl": Format(layout="none", cuts="lines"),
    ".ndjson": Format(layout="none", cuts="lines"),
    ".json": Format(layout="none", cuts="code", max_bytes=32 * _MIB),
    ".log": _LOG,
    ".tex": Format(),
    ".adoc": Format(),
    ".org": Format(),
    **{ending: Format(layout=family, cuts="code") for ending, family in code.ENDINGS.items()},
}


_SECTION = re.compile(r"\.(?:[1-9](?:p|x|g|pm|perl|posix|ssl|tcl|type|const)?|man)")
"""The endings of manual pages; ".7z" is none."""


def format_of(path: Path) -> Format | None:
    """How the file at `path` is read, as its name says; one without an ending may be text."""
    ending = path.suffix.lower()
    if _SECTION.fullmatch(Path(path.stem).suffix if ending == ".gz" else ending):
        return _MAN
    return FORMATS.get(ending) if ending else _LOOSE
