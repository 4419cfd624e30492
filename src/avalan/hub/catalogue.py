"""What a hub serves: repositories, their revisions and their files, whoever keeps them.

A file is found by looking its name up among those that a walk over the folder has found; no path
is ever put together from what a client asked for.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
"""A repository's name."""

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit id."""

_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The real hub resolves what git prints as a short id, and not less.
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")

# The hub keeps these kinds, and whatever is larger, in large file storage (LFS).
_LFS_SUFFIX = re.compile(
    r"\.(bin|gguf|h5|model|msgpack|npz|onnx|onnx_data|ot|pkl|pth?|safetensors|tflite|zip)"
)
_LFS_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a revision."""

    path: str
    """Its name in the repository, with forward slashes."""
    location: Path
    """Where its bytes lie."""
    size_bytes: int
    etag: str
    """The hub's name for the content: SHA-256 for a file in LFS, else the SHA-1 of a git blob."""

    @property
    def in_lfs(self) -> bool:
        """Whether the hub keeps it in large file storage."""
        return len(self.etag) == 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A model's repository."""

    name: str
    """`owner/name`, or `name` alone."""
    refs: Mapping[str, str]
    """Branch or tag → commit id."""
    snapshots: Mapping[str, Path]
    """Commit id → the folder with its files; the newest first, and at least one."""
    last_modified: datetime
    root: Path | None = None
    """No file outside this folder is served, wherever links lead; None for the snapshot's own."""
    gated: bool = False
    """Its files are only for those who accepted its licence."""
    private: bool = False
    """Only those with access learn that it exists."""
    tags: tuple[str, ...] = ()
    pipeline_tag: str | None = None
    library_name: str | None = None
    licence: str | None = None
    downloads: int = 0
    likes: int = 0

    @property
    def owner(self) -> str | None:
        """The user or organisation; None for a name without one."""
        owner, slash, _ = self.name.partition("/")
        return owner if slash else None

    @property
    def all_tags(self) -> list[str]:
        """The tags, with those that follow from other fields, each once."""
        licence = f"license:{self.licence}" if self.licence else None
        more = (self.library_name, self.pipeline_tag, licence)
        return list(dict.fromkeys((*self.tags, *filter(None, more))))

    def commit(self, revision: str) -> str | None:
        """The commit id that a branch, a tag, or a full or short commit id stands for."""
        if revision in self.refs:
            return self.refs[revision]
        if revision in self.snapshots:
            return revision
        if not _SHORT_COMMIT.fullmatch(revision):
            return None
        fitting = [commit for commit in self.snapshots if commit.startswith(revision)]
        return fitting[0] if len(fitting) == 1 else None

    def head(self) -> str:
        """The commit of `main`, or the newest one where there is no `main`."""
        return self.refs.get("main") or next(iter(self.snapshots))

    def files(self, commit: str) -> dict[str, HubFile]:
        """The files of a commit, by name, in the order of their names."""
        folder = self.snapshots[commit]
        root = Path(os.path.realpath(self.root or folder))
        paths = sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
        found = (_hub_file(path, folder, root) for path in paths)
        return {file.path: file for file in found if file is not None}


class Catalogue(Protocol):
    """Where a server finds what it serves; asked anew for every request."""

    def names(self) -> Sequence[str]:
        """The names of all repositories, sorted."""
        ...

    def find(self, name: str) -> Repository | None:
        """The repository called `name`, if it is here."""
        ...


def _hub_file(path: Path, folder: Path, root: Path) -> HubFile | None:
    """None for what is not a file below `root`: a link to nowhere or elsewhere, a device."""
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
        name = path.relative_to(folder).as_posix()
        name.encode()
    except (OSError, UnicodeEncodeError):
        return None
    if not stat.S_ISREG(status.st_mode) or not target.is_relative_to(root):
        return None
    etag = _linked_etag(path) or _content_etag(target, status.st_size, status.st_mtime_ns)
    return HubFile(path=name, location=target, size_bytes=status.st_size, etag=etag)


def _linked_etag(path: Path) -> str | None:
    """In the hub's cache a snapshot's file is a link to a blob that is named after its content."""
    if not path.is_symlink():
        return None
    blob = Path(os.readlink(path))
    return blob.name if blob.parent.name == "blobs" and _ETAG.fullmatch(blob.name) else None


@lru_cache(maxsize=10_000)
def _content_etag(path: Path, size_bytes: int, changed_ns: int) -> str:
    """The etag of a plain file, computed once per size and time of change."""
    in_lfs = _LFS_SUFFIX.fullmatch(path.suffix) or size_bytes > _LFS_BYTES
    header = b"" if in_lfs else b"blob %d\0" % size_bytes
    digest = hashlib.new("sha256" if in_lfs else "sha1", header, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()
