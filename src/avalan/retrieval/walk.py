"""The files of a folder, as a person who keeps a repository would list them.

Hidden entries, and what version control and tools keep beside the documents, are passed over in
silence; so is what `.gitignore` and `.ignore` name, those above the folder included as far as its
repository reaches. Links to folders are named and not followed, so there are no loops.
"""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from avalan import extras
from avalan.errors import reason_of
from avalan.locale import _
from avalan.retrieval.events import Skipped
from avalan.retrieval.formats import format_of

_KEPT_BY_TOOLS = frozenset({"CVS", "_darcs", "__pycache__", "node_modules"})
_IGNORE_FILES = (".gitignore", ".ignore")

_Rule = Callable[[str], bool | None]
"""Says of an absolute path (folders end in "/") whether it is ignored; None is no opinion."""


def files(folder: Path) -> Iterator[Path | Skipped]:
    """The files in `folder` (absolute) and below, each folder's before those of its subfolders.

    A link comes last, and only if its file does not come by a path of its own or another link.
    Folders that cannot be listed and links to folders come as `Skipped`.
    """
    rules = _rules_above(folder)
    if _is_ignored(f"{folder}/", rules):
        rules = []  # Whoever names an ignored folder wants it.
    waiting = [(folder, rules)]
    links: list[str] = []
    root, seen = os.path.realpath(folder), set[str]()
    while waiting:
        current, rules = waiting.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = _("the folder cannot be listed ({reason})", reason=reason_of(error))
            yield Skipped(path=str(current), reason=reason)
            continue
        rules = rules + _rules_in(current)
        wanted = [entry for entry in entries if _is_wanted(entry, rules)]
        for entry in wanted:
            is_folder = os.path.isdir(entry.path)  # False, not an error, for a link to itself.
            if is_folder and entry.is_symlink():
                reason = _("it is a link to a folder; add it by name")
                yield Skipped(path=entry.path, reason=reason)
            elif entry.is_symlink():
                links.append(entry.path)
            elif not is_folder:
                path = Path(entry.path)
                if format_of(path):  # Others can be read by a link's name only.
                    seen.add(root + entry.path.removeprefix(str(folder)))
                yield path
        below = [Path(entry.path) for entry in wanted if entry.is_dir(follow_symlinks=False)]
        waiting += [(path, rules) for path in reversed(below)]
    for link in links:
        real = os.path.realpath(link)
        if real not in seen:
            seen.add(real)
            yield Path(link)


def _is_wanted(entry: os.DirEntry[str], rules: list[_Rule]) -> bool:
    if entry.name.startswith(".") or entry.name in _KEPT_BY_TOOLS:
        return False
    slash = "/" if entry.is_dir(follow_symlinks=False) else ""
    return not _is_ignored(entry.path + slash, rules)


def _is_ignored(path: str, rules: list[_Rule]) -> bool:
    # The rule nearest to the file has the last word.
    verdicts = (rule(path) for rule in reversed(rules))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def _rules_above(folder: Path) -> list[_Rule]:
    above = []
    for parent in (folder, *folder.parents):
        if parent != folder:
            above.append(parent)
        if (parent / ".git").exists():
            return [rule for ancestor in reversed(above) for rule in _rules_in(ancestor)]
    return []


def _rules_in(folder: Path) -> list[_Rule]:
    lines = [line for name in _IGNORE_FILES for line in _lines(folder / name)]
    if not lines:
        return []
    # pathspec costs 20 ms, which only folders with ignore files should pay.
    spec_class = extras.load("pathspec").GitIgnoreSpec
    spec = spec_class.from_lines(line for line in lines if _is_pattern(spec_class, line))
    return [partial(_verdict, spec.check_file, f"{folder}/".replace("//", "/"))]


def _verdict(check: Callable[[str], Any], prefix: str, path: str) -> bool | None:
    verdict: bool | None = check(path.removeprefix(prefix)).include
    return verdict


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig", "surrogateescape").splitlines()
    except OSError:
        return []


def _is_pattern(spec_class: Any, line: str) -> bool:
    """Git passes over a line that it cannot read, and so do we."""
    try:
        spec_class.from_lines([line])
    except (ValueError, re.error):
        return False
    return True
