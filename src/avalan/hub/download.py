"""A whole model from the hub into the cache.

First all contents, each checked against its hash; then the links of the snapshot, the
configuration last; then the name of the revision. So whatever is interrupted, half a model is
never taken for a whole one, and the next try goes on from what is there.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

from avalan import __version__
from avalan.errors import StateError
from avalan.hub import events
from avalan.hub.failure import explained
from avalan.hub.formats import ONNX
from avalan.hub.found import find_cached
from avalan.hub.layout import Place, place_of, size_of
from avalan.hub.remote import RemoteFile, RemoteModel, choose, look_up, patterns_for
from avalan.hub.transfer import fetch_all
from avalan.locale import number

CONFIG = "config.json"
_LOCK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be downloaded."""

    model: RemoteModel
    revision: str
    """As it was asked for: a branch, a tag or a commit."""
    files: tuple[RemoteFile, ...]
    place: Place
    token: str | None

    @property
    def folder(self) -> Path:
        """Where the files will be."""
        return self.place.snapshot(self.model.commit)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing(self) -> tuple[RemoteFile, ...]:
        """The files of which nothing, or only a part, is here."""

        def is_here(file: RemoteFile) -> bool:
            places = (self.folder / file.path, self.place.blob(file.etag))
            return any(path.is_file() and size_of(path) == file.size_bytes for path in places)

        return tuple(file for file in self.files if not is_here(file))

    @property
    def missing_bytes(self) -> int:
        """Still to come."""
        by_etag = {file.etag: file for file in self.missing}
        parts = (size_of(self.place.partial(etag)) for etag in by_etag)
        return max(sum(file.size_bytes for file in by_etag.values()) - sum(parts), 0)


def plan(
    name: str,
    *,
    cache_dir: str | Path | None = None,
    revision: str | None = None,
    token: str | None = None,
    files: Sequence[str] | None = None,
    wanted: str | None = None,
    pickled: bool = False,
    code: bool = False,
) -> Plan:
    """Ask the hub what the model called `name` consists of.

    Args:
        files: patterns of the files to fetch; None for all that make a model, which must then
            have weights that an engine here reads.
        wanted: without `files`, the format or the file to take.
        pickled: without `files`, pickled weights will do where there are no others.
        code: without `files`, the Python files that came with the model belong to it.

    Raises:
        ModelError: there is no such model, it may not be read or run, or the hub does not answer.
    """
    model = look_up(name, revision=revision, token=token, cache_dir=cache_dir)
    if files is None:
        files = patterns_for(model, wanted, pickled=pickled, code=code)
    return Plan(
        model=model,
        revision=revision or "main",
        files=choose(model.files, files),
        place=place_of(name, cache_dir),
        token=token,
    )


def plan_on_disk(
    name: str,
    *,
    cache_dir: str | Path | None,
    revision: str | None,
    wanted: str | None,
    pickled: bool,
) -> Plan | None:
    """The plan for the model as it is in the cache, if it is whole there; the hub is not asked."""
    folder = find_cached(
        name, cache_dir=cache_dir, revision=revision, wanted=wanted, pickled=pickled
    )
    if folder is None:
        return None
    files = tuple(
        RemoteFile(
            path=path.relative_to(folder).as_posix(),
            size_bytes=size_of(path),
            etag=path.resolve().name,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    return Plan(
        model=RemoteModel(name=name, commit=folder.name, files=files, licence=None),
        revision=revision or "main",
        files=files,
        place=place_of(name, cache_dir),
        token=None,
    )


def only(plan: Plan, patterns: Sequence[str]) -> Plan:
    """The same plan without the files that fit none of `patterns`."""
    return replace(plan, files=choose(plan.files, patterns))


def read_config(plan: Plan) -> Mapping[str, Any]:
    """The model's configuration, downloaded at once; empty where it has none.

    Raises:
        ModelError: the model is gated, or the hub does not answer.
    """
    rows = [file for file in plan.files if file.path == CONFIG]
    if not rows:
        return {}
    with _explained(plan):
        _fetch(plan, rows)
    places = (plan.folder / CONFIG, plan.place.blob(rows[0].etag))
    path = next(path for path in places if path.is_file())
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def run(plan: Plan) -> Path:
    """Download what `plan` names; whoever is `watching` sees it come.

    Returns:
        The folder of the model.

    Raises:
        ModelError: the model is gated, the hub does not answer, or sends something else.
        StateError: the disk is full or cannot be written.
    """
    _check_space(plan)
    with _explained(plan):
        _fetch(plan, plan.files)
        # The configuration last: by it a snapshot is found. A graph after the numbers that lie
        # beside it, for snapshots that have had the configuration since another format came.
        for file in sorted(
            plan.files, key=lambda file: (file.path == CONFIG, file.path.endswith(ONNX))
        ):
            _link(plan, file)
        _write_ref(plan)
    events.tell(events.Finished(folder=plan.folder))
    return plan.folder


def _check_space(plan: Plan) -> None:
    free = free_bytes(plan.place.folder)
    if free is not None and free < plan.missing_bytes:
        raise StateError(
            "The model {name!r} needs {size} more, but the disk with {cache} has only {free} "
            "free; free some space, or choose another folder with --cache-dir.",
            name=plan.model.name,
            size=_gigabytes(plan.missing_bytes),
            cache=plan.place.cache,
            free=_gigabytes(free),
        )


def free_bytes(folder: Path) -> int | None:
    """Free bytes of the disk on which `folder` is, or would be; None where it is not told."""
    for path in (folder, *folder.absolute().parents):
        if path.exists():
            try:
                return shutil.disk_usage(path).free
            except OSError:
                return None
    return None


def _gigabytes(size: int) -> str:
    return f"{number(size / 1e9, ',.1f')} GB" if size >= 1e9 else f"{number(size / 1e6, ',.1f')} MB"


def _explained(plan: Plan) -> AbstractContextManager[None]:
    return explained(
        plan.model.name, revision=plan.revision, token=plan.token, cache_dir=plan.place.cache
    )


def _fetch(plan: Plan, files: Sequence[RemoteFile]) -> None:
    if set(files).isdisjoint(plan.missing):
        return
    with _turn(plan):
        # Another program may have fetched some while this one waited.
        missing = set(plan.missing)
        wanted = {file.etag: file for file in files if file in missing}
        headers = build_hf_headers(
            token=plan.token or False, library_name="avalan", library_version=__version__
        )
        if len(files) > 1:
            sizes = {file.path: file.size_bytes for file in wanted.values()}
            events.tell(events.Started(name=plan.model.name, commit=plan.model.commit, sizes=sizes))
        fetch_all(plan.model, tuple(wanted.values()), plan.place, headers)


@contextmanager
def _turn(plan: Plan) -> Iterator[None]:
    """Alone with the model: two programs must not fill the same part."""
    plan.place.lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(WeakFileLock(plan.place.lock, timeout=_LOCK_S))
        except TimeoutError:
            events.tell(events.Waiting(name=plan.model.name))
            held.enter_context(WeakFileLock(plan.place.lock))
        yield


def _link(plan: Plan, file: RemoteFile) -> None:
    """Put a blob into the snapshot: by a link, or as a copy where there are no links."""
    path, blob = plan.folder / file.path, plan.place.blob(file.etag)
    if path.is_file() and size_of(path) == file.size_bytes:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # A file system may have no links of one kind or of any.
    for put in (_symlink, os.link, shutil.copyfile):
        try:
            put(blob, path)
            return
        except OSError:
            if put is shutil.copyfile:
                raise


def _symlink(blob: Path, path: Path) -> None:
    path.symlink_to(os.path.relpath(blob, path.parent))


def _write_ref(plan: Plan) -> None:
    """Remember which commit the branch or tag is; at once or not at all."""
    if plan.revision == plan.model.commit:
        return
    path = plan.place.ref(plan.revision)
    if path.is_file() and path.read_text(encoding="ascii") == plan.model.commit:
        return  # The cache may be one that this person only reads.
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(plan.model.commit, encoding="ascii")
    os.replace(new, path)
