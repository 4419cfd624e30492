"""Extract the interface's texts, merge them into the translations, and compile these.

The catalogue has what stands in `_()`, `_n()`, `ngettext()` and our errors in the sources. What
people read and stands in no mark (sentences of errors, docstrings of settings that become options'
help, what stands for values there, words of argparse and of systems) is first written into
src/avalan/locale/elsewhere.py, so that `xgettext` with the keywords `_` and `_n` finds all of it
too.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages import Catalog, pofile
from babel.messages.extract import extract_from_dir

from avalan import errors
from avalan.cli import ROOT as COMMAND_LINE
from avalan.cli.parser import GLOBAL_VALUES, Parser
from avalan.cli.tree import Group

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import LOCALE, compile_catalogue, translations  # noqa: E402

SOURCES = ROOT / "src" / "avalan"
ELSEWHERE = SOURCES / "locale" / "elsewhere.py"

# Of the template: a date that moved would be a change in every commit.
BEGINNING = datetime(2026, 11, 22, tzinfo=UTC)

# The settings whose fields are options.
SETTINGS = {
    "avalan.model.entities": ("GenerationSettings", "EngineSettings"),
    "avalan.reflection.settings": ("AskSettings",),
    "avalan.cli.display.settings": ("DisplaySettings",),
    "avalan.agent.specification": ("Persona",),
}

# Their sentence is translated when they are made.
ERRORS = sorted(
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.AvalanError)
)

# What `Parser.error` may get from argparse, of Python 3.11 to 3.14.
ARGPARSE = (
    "argument %(argument_name)s: %(message)s",
    "the following arguments are required: %s",
    "expected one argument",
    "expected at least one argument",
    "expected at most one argument",
    "invalid %(type)s value: %(value)r",
    "invalid choice: %(value)r (choose from %(choices)s)",
    "invalid choice: %(value)r, maybe you meant %(closest)r? (choose from %(choices)s)",
    "not allowed with argument %s",
    "ignored explicit argument %r",
    "unrecognized arguments: %s",
)

# What `reason_of` may get from Linux, macOS, Python, SQLite and the hub's client.
SYSTEM = (
    "Address already in use",
    "All connection attempts failed",
    "Bad file descriptor",
    "Broken pipe",
    "Cannot allocate memory",
    "Connection refused",
    "Connection reset by peer",
    "Connection timed out",
    "Disk quota exceeded",
    "File exists",
    "File name too long",
    "File too large",
    "Host is down",
    "Input/output error",
    "Invalid argument",
    "Is a directory",
    "Name does not resolve",
    "Name or service not known",
    "Network is unreachable",
    "No address associated with hostname",
    "No route to host",
    "No space left on device",
    "No such device or address",
    "No such file or directory",
    "Not a directory",
    "Operation not permitted",
    "Operation timed out",
    "Permission denied",
    "Read-only file system",
    "Resource temporarily unavailable",
    "Server disconnected without sending a response",
    "Temporary failure in name resolution",
    "Text file busy",
    "The read operation timed out",
    "Too many levels of symbolic links",
    "Too many open files",
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
    "nodename nor servname provided, or not known",
    "unable to open database file",
)

HEAD = '''"""What people read and no mark can hold; written by scripts/translations.py."""

from avalan.locale import _n

'''


def main() -> None:
    """What `make translations` does."""
    ELSEWHERE.write_text(elsewhere(), encoding="utf-8")
    template = extracted()
    write(LOCALE / "avalan.pot", template)
    for path in translations():
        write(path, merged(path, template))
        compile_catalogue(path)


def elsewhere() -> str:
    """The module that lists what no mark can hold."""
    listed = (*field_docs(), *sorted(set(metavars(COMMAND_LINE))), *ARGPARSE, *SYSTEM)
    texts = dict.fromkeys([*listed, *sorted(sentences())])
    return HEAD + "".join(f"_n({json.dumps(text, ensure_ascii=False)})\n" for text in texts)


def sentences() -> set[str]:
    """What errors say."""
    return {row[2] for row in rows(dict.fromkeys(ERRORS)) if isinstance(row[2], str)}


def field_docs() -> Iterator[str]:
    """Docstrings of settings, each on one line."""
    from importlib import import_module

    from avalan.cli.options import field_docs as docs

    for module, names in SETTINGS.items():
        for name in names:
            settings = getattr(import_module(module), name)
            shown = {field.name for field in dataclasses.fields(settings)}
            yield from (text for key, text in docs(settings).items() if key in shown and text)


def metavars(place: Group | Parser) -> Iterator[str]:
    """What stands for values in the help of `place` and of all commands below it."""
    if isinstance(place, Group):
        yield from (name for name, _text in GLOBAL_VALUES.values())
        below = [place.choose(word) for word in place.commands]
    else:
        yield from (each.metavar for each in place._actions if isinstance(each.metavar, str))
        below = list(place.verbs().values())
    for each in below:
        yield from metavars(each)


def extracted() -> Catalog:
    """The template: every message, with the places where it stands."""
    catalogue = Catalog(
        project="avalan", version=version(), creation_date=BEGINNING, charset="utf-8", fuzzy=False
    )
    catalogue.header_comment = "# The texts of avalan's interface; see docs/translations.md."
    keywords = {"_": None, "_n": None, "ngettext": (1, 2), **dict.fromkeys(ERRORS)}
    for file, line, message, comments, _context in rows(keywords):
        if file != "locale/elsewhere.py" or message not in catalogue:
            catalogue.add(message, locations=[(f"src/avalan/{file}", line)], auto_comments=comments)
    return catalogue


def rows(keywords: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(file, line, message, comments, context) of every call of the keywords; ours come last."""
    found = extract_from_dir(
        SOURCES,
        method_map=[("**.py", "python")],
        keywords=keywords,
        comment_tags=["Translators:"],
        strip_comment_tags=True,
    )
    return sorted(found, key=lambda row: (row[0] == "locale/elsewhere.py", row[0], row[1]))


def merged(path: Path, template: Catalog) -> Catalog:
    """The translation with the template's messages; what changed a little is marked fuzzy."""
    catalogue = read(path)
    catalogue.update(template, keep_user_comments=True)
    catalogue.obsolete.clear()
    return catalogue


def read(path: Path) -> Catalog:
    """The catalogue in the file; a template's has no language."""
    language = path.parts[-3] if path.suffix == ".po" else None
    with path.open("rb") as file:
        return pofile.read_po(file, locale=language)


def write(path: Path, catalogue: Catalog) -> None:
    """The catalogue as a file that differs only where its texts do: no dates, no line numbers."""
    with path.open("wb") as file:
        pofile.write_po(file, catalogue, width=100, include_lineno=False, omit_header=False)


def version() -> str:
    """As of the package."""
    return (SOURCES / "VERSION.txt").read_text(encoding="ascii").strip()


if __name__ == "__main__":
    main()
