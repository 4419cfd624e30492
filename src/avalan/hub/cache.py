"""What the local cache holds, and how to delete a part of it.

for model in scan().models:
    print(model.name, model.size_bytes)
delete(plan_deletion(find("org/model"), ["10e842"]))
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub
from huggingface_hub import CachedRepoInfo, CachedRevisionInfo, HFCacheInfo
from huggingface_hub.errors import CacheNotFound

from avalan.errors import ModelError, StateError
from avalan.hub.failure import disk_error
from avalan.hub.formats import default_weights, find_format, no_such_format
from avalan.hub.layout import PREFIX, Place, cache_root, listing, looks_root, name_of, size_of
from avalan.locale import _, _n

LEAST_DIGITS = 4
"""Of a commit's id, to name a revision by its beginning."""
_COMMIT = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},40}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFile:
    """A file of a revision."""

    path: str
    size_bytes: int
    blob: str
    """The name of its content; two files of one content share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedRevision:
    """A revision of which there are files."""

    commit: str
    refs: tuple[str, ...]
    """The branches and tags that it is."""
    size_bytes: int
    """Of its files; what it shares with another revision is counted in both."""
    files: tuple[CachedFile, ...]
    """The largest first."""
    modified: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModel:
    """A model of which there is something in the cache."""

    name: str
    folder: Path
    size_bytes: int
    """What it takes on the disk, with its unfinished downloads."""
    partial_bytes: int
    """What of it belongs to no revision: downloads that were broken off."""
    revisions: tuple[CachedRevision, ...]
    """The newest first; none for a model that was never whole."""
    used: float
    """When a file of it was last read, in seconds since 1970; file systems are lazy about it."""

    @property
    def num_files(self) -> int:
        """Contents of finished downloads; one that several revisions share counts once."""
        return len({file.blob for revision in self.revisions for file in revision.files})


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheListing:
    """What the cache holds."""

    folder: Path
    models: tuple[CachedModel, ...]
    """The largest first."""
    num_others: int
    """Datasets and other things of other programs."""
    other_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of all models."""
        return sum(model.size_bytes for model in self.models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What would be deleted."""

    model: CachedModel
    revisions: tuple[CachedRevision, ...]
    kept: tuple[CachedRevision, ...]
    """The revisions that stay; none: the whole model goes, with its unfinished downloads."""
    freed_bytes: int
    """What is shared with something that stays is not freed."""
    files: tuple[CachedFile, ...] = ()
    """Where one format goes and others stay, the files that go; then all revisions stay."""


def scan(cache_dir: str | Path | None = None) -> CacheListing:
    """Look through the cache. Without a cache there are no models; what is broken is left out."""
    root = cache_root(cache_dir)
    repos = {repo.repo_path.name: repo for repo in _info(root).repos}
    folders = [folder for folder in listing(root) if folder.name.startswith(PREFIX)]
    models = [_model(folder, repos.pop(folder.name, None)) for folder in folders]
    models.sort(key=lambda model: (-model.size_bytes, model.name))
    return CacheListing(
        folder=root,
        models=tuple(model for model in models if model.size_bytes or model.revisions),
        num_others=len(repos),
        other_bytes=sum(repo.size_on_disk for repo in repos.values()),
    )


def find(name: str, cache_dir: str | Path | None = None) -> CachedModel:
    """The model called `name` in the cache.

    Raises:
        ModelError: nothing of it is there.
    """
    found = scan(cache_dir)
    hint = _("`avalan cache list` shows what it holds.")
    for model in found.models:
        if model.name == name:
            return model
        if model.name.lower() == name.lower():
            hint = _("did you mean {name!r}?", name=model.name)
    raise ModelError(
        "The cache at {folder} holds no model {name!r}; {hint}",
        folder=found.folder,
        name=name,
        hint=hint,
    )


def plan_deletion(model: CachedModel, revisions: Sequence[str] = ()) -> Deletion:
    """What deleting these revisions means: full or short commits, branches or tags; none: all.

    Raises:
        ModelError: one is not there, or its short commit fits several. Then nothing is planned.
    """
    named = {_find_revision(model, revision).commit for revision in revisions}
    gone = tuple(each for each in model.revisions if not named or each.commit in named)
    kept = tuple(each for each in model.revisions if each not in gone)
    stays = {file.blob: file.size_bytes for revision in kept for file in revision.files}
    stays_bytes = model.partial_bytes + sum(stays.values()) if kept else 0
    return Deletion(
        model=model, revisions=gone, kept=kept, freed_bytes=model.size_bytes - stays_bytes
    )


def plan_format_deletion(model: CachedModel, wanted: str) -> Deletion:
    """What deleting one format or file of the model means: all of it, where no other weights stay.

    Raises:
        ModelError: nothing of the model is in this format.
    """
    found = [find_format(_paths(revision.files), wanted) for revision in model.revisions]
    gone = {path for weights in found if weights for path in weights.files}
    files = [file for revision in model.revisions for file in revision.files]
    if not gone:
        raise no_such_format(model.name, _paths(files), wanted)
    stays = [file for file in files if file.path not in gone]
    if not default_weights(_paths(stays)):
        return plan_deletion(model)
    held = {file.blob for file in stays}
    freed = {file.blob: file for file in files if file.path in gone}
    return Deletion(
        model=model,
        revisions=(),
        kept=model.revisions,
        freed_bytes=sum(file.size_bytes for blob, file in freed.items() if blob not in held),
        files=tuple(freed.values()),
    )


def _paths(files: Iterable[CachedFile]) -> list[str]:
    return [file.path for file in files]


def _delete_files(deletion: Deletion) -> None:
    place, gone = Place(deletion.model.folder), _paths(deletion.files)
    rows = [(each.commit, file) for each in deletion.model.revisions for file in each.files]
    held = {file.blob for _commit, file in rows if file.path not in gone}
    try:
        for commit, file in rows:
            if file.path in gone:
                (place.snapshot(commit) / file.path).unlink(missing_ok=True)
        for blob in {file.blob for file in deletion.files} - held:
            place.blob(blob).unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, place.cache) from None


def delete(deletion: Deletion) -> None:
    """Do what was planned, and nothing more.

    Raises:
        StateError: the system refused; what could be deleted is.
    """
    folder = deletion.model.folder
    if deletion.files:
        _delete_files(deletion)
        return
    if not deletion.kept:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            error.filename = str(folder)  # It says which file alone, and not where.
            raise disk_error(error, folder.parent) from None
        for beside in (folder.parent / ".locks", looks_root(folder.parent)):
            shutil.rmtree(beside / folder.name, ignore_errors=True)
        return
    info = _info(folder.parent)
    # Repositories that were copied on the hub have commits in common: only this one is meant.
    own = frozenset(repo for repo in info.repos if repo.repo_path.name == folder.name)
    commits = [revision.commit for revision in deletion.revisions]
    replace(info, repos=own).delete_revisions(*commits).execute()
    for commit in commits:
        if Place(folder).snapshot(commit).exists():
            raise StateError(
                "The system did not let the revision {revision} be deleted from {folder}; check "
                "the permissions, and whether a program uses the model.",
                revision=commit[:7],
                folder=folder,
            )


def _info(root: Path) -> HFCacheInfo:
    try:
        return huggingface_hub.scan_cache_dir(root)
    except (CacheNotFound, ValueError):  # There is none, or it is a file.
        return HFCacheInfo(
            size_on_disk=0, repos=frozenset(), incomplete_files=frozenset(), warnings=[]
        )


def _model(folder: Path, repo: CachedRepoInfo | None) -> CachedModel:
    """Without `repo`, there is no revision: a download broke off, or the folder is damaged."""
    found = repo.revisions if repo else ()
    newest_first = sorted(found, key=lambda each: (-each.last_modified, each.commit_hash))
    revisions = tuple(map(_revision, newest_first))
    held = {file.blob for revision in revisions for file in revision.files}
    parts = [path for path in listing(folder / "blobs") if path.name not in held]
    partial_bytes = sum(map(size_of, parts))
    if repo:
        used = repo.last_accessed
    else:
        used = max((path.stat().st_mtime for path in parts if path.exists()), default=0.0)
    return CachedModel(
        name=name_of(folder),
        folder=folder,
        size_bytes=partial_bytes + (repo.size_on_disk if repo else 0),
        partial_bytes=partial_bytes,
        revisions=revisions,
        used=used,
    )


def _revision(revision: CachedRevisionInfo) -> CachedRevision:
    files = (
        CachedFile(
            path=file.file_path.relative_to(revision.snapshot_path).as_posix(),
            size_bytes=file.size_on_disk,
            blob=file.blob_path.name,
        )
        for file in revision.files
    )
    return CachedRevision(
        commit=revision.commit_hash,
        refs=tuple(sorted(revision.refs)),
        size_bytes=revision.size_on_disk,
        files=tuple(sorted(files, key=lambda file: (-file.size_bytes, file.path))),
        modified=revision.last_modified,
    )


def _find_revision(model: CachedModel, wanted: str) -> CachedRevision:
    for revision in model.revisions:
        if wanted == revision.commit or wanted in revision.refs:
            return revision
    short = wanted.lower()
    fitting = [each for each in model.revisions if each.commit.startswith(short)]
    if len(fitting) == 1 and _COMMIT.fullmatch(short):
        return fitting[0]
    if not fitting:
        problem = _n(
            "The model {name!r} has no revision {wanted!r} in the cache; those that it holds are: "
            "{held}."
        )
    elif _COMMIT.fullmatch(short):
        problem = _n(
            "The model {name!r} has several revisions that begin with {wanted!r}; those that it "
            "holds are: {held}."
        )
    else:
        problem = _n(
            "A revision of {name!r} is named by at least {count} digits of a commit, not by "
            "{wanted!r}; those that it holds are: {held}."
        )
    held = ", ".join(map(_spelled, model.revisions)) or _("none")
    raise ModelError(problem, name=model.name, wanted=wanted, held=held, count=LEAST_DIGITS)


def _spelled(revision: CachedRevision) -> str:
    refs = f" ({', '.join(revision.refs)})" if revision.refs else ""
    return revision.commit[:7] + refs
