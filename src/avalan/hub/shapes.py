"""The hub's JSON: what its clients read about repositories, files, revisions and accounts.

The interface: https://huggingface.co/docs/hub/api. The keys are those that huggingface_hub reads.
"""

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import prod
from pathlib import Path
from typing import Any

from avalan.hub.catalogue import HubFile, Repository
from avalan.hub.query import all_tags

Json = dict[str, Any]
Files = Mapping[str, HubFile]

# A header longer than this is no model's.
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a token belongs to."""

    name: str
    has_access: bool = True
    """To gated and to private repositories."""


def model(repository: Repository, commit: str, *, blobs: bool = False) -> Json:
    """All about one revision; with `blobs`, the files' sizes and hashes too."""
    files = repository.files(commit)
    found = {
        **summary(repository),
        **_more(repository, commit),
        "siblings": [_sibling(file, blobs=blobs) for file in files.values()],
        "cardData": _card_data(repository),
        "config": _config(files),
        "usedStorage": sum(file.size_bytes for file in files.values()),
    }
    if counts := _count_parameters(files.values()):
        found["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
    return found


def listed(repository: Repository, *, full: bool, config: bool, card: bool) -> Json:
    """One row of a search."""
    row = summary(repository)
    commit = repository.head()
    if commit is not None and (full or config):
        files = repository.files(commit)
        if full:
            row |= _more(repository, commit)
            row["siblings"] = [_sibling(file, blobs=False) for file in files.values()]
        if config:
            row["config"] = _config(files)
    if card:
        row["cardData"] = _card_data(repository)
    return row


def expanded(repository: Repository, fields: Collection[str]) -> Json:
    """One row of a search that asks for certain fields."""
    commit = repository.head()
    row = summary(repository) if commit is None else model(repository, commit)
    return {key: value for key, value in row.items() if key in ("_id", "id", *fields)}


def summary(repository: Repository) -> Json:
    """What every answer says about a repository."""
    return {
        "_id": _sha1(repository.name)[:24],
        "id": repository.name,
        "modelId": repository.name,
        "private": repository.private,
        "downloads": repository.downloads,
        "likes": repository.likes,
        "tags": all_tags(repository),
        "pipeline_tag": repository.pipeline_tag,
        "library_name": repository.library_name,
        "createdAt": _time(repository.last_modified),
    }


def tree(
    files: Files, place: str, *, recursive: bool, last_commit: Json | None
) -> list[Json] | None:
    """The files and folders below `place` (empty for the root); None if there is no such folder.

    `last_commit` is what to say of the last change of each, if anything.
    """
    prefix = f"{place}/" if place else ""
    below = [path for path in files if path.startswith(prefix)]
    if place and not below:
        return None
    names = {name for path in below for name in _names_below(path, prefix, recursive)}
    return [_entry(files, name, last_commit) for name in sorted(names)]


def paths(files: Files, wanted: Iterable[str], *, last_commit: Json | None) -> list[Json]:
    """The files and folders among `wanted` that exist."""
    names = [name.strip("/") for name in wanted]
    known = {*files, *(folder for path in files for folder in _parents(path))}
    return [_entry(files, name, last_commit) for name in names if name in known]


def refs(repository: Repository) -> Json:
    """The named revisions; a catalogue does not know which of them are tags."""
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in repository.refs.items()
        ],
        "converts": [],
        "tags": [],
    }


def commit_entry(repository: Repository, commit: str) -> Json:
    """One commit of a history; titles and authors are not kept."""
    return {
        "id": commit,
        "title": "",
        "message": "",
        "date": _time(repository.last_modified),
        "authors": [],
    }


def account(owner: Account) -> Json:
    """Who the caller is."""
    token = {"displayName": owner.name, "role": "read"}
    return {
        "type": "user",
        "id": _sha1(owner.name)[:24],
        "name": owner.name,
        "fullname": owner.name,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }


def _more(repository: Repository, commit: str) -> Json:
    return {
        "author": repository.owner,
        "sha": commit,
        "lastModified": _time(repository.last_modified),
        "gated": "auto" if repository.gated else False,
        "disabled": False,
    }


def _card_data(repository: Repository) -> Json:
    known = {
        "license": repository.licence,
        "pipeline_tag": repository.pipeline_tag,
        "library_name": repository.library_name,
    }
    return {key: value for key, value in known.items() if value is not None}


def _config(files: Files) -> Json:
    """The part of the configuration that the hub shows."""
    try:
        found = json.loads(files["config.json"].location.read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    keys = ("architectures", "model_type", "quantization_config")
    return {key: found[key] for key in keys if key in found} if isinstance(found, dict) else {}


def _sibling(file: HubFile, *, blobs: bool) -> Json:
    found: Json = {"rfilename": file.path}
    if blobs:
        found |= {"size": file.size_bytes, "blobId": _blob_id(file)}
    if blobs and file.in_lfs:
        pointer_size = len(_pointer(file))
        found["lfs"] = {"sha256": file.etag, "size": file.size_bytes, "pointerSize": pointer_size}
    return found


def _entry(files: Files, name: str, last_commit: Json | None) -> Json:
    extra = {} if last_commit is None else {"lastCommit": last_commit}
    file = files.get(name)
    if file is None:
        return {"type": "directory", "path": name, "oid": _tree_id(files, name), "size": 0, **extra}
    found = {"type": "file", "path": name, "oid": _blob_id(file), "size": file.size_bytes, **extra}
    if file.in_lfs:
        pointer_size = len(_pointer(file))
        found["lfs"] = {"oid": file.etag, "size": file.size_bytes, "pointerSize": pointer_size}
    return found


def _names_below(path: str, prefix: str, recursive: bool) -> list[str]:
    parents = [parent for parent in _parents(path) if parent.startswith(prefix)]
    names = [*parents, path]
    return names if recursive else names[:1]


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _tree_id(files: Files, folder: str) -> str:
    """Stands for git's id of a folder: the same as long as its files are."""
    rows = [f"{path} {file.etag}" for path, file in files.items() if path.startswith(folder + "/")]
    return _sha1("\n".join(rows))


def _blob_id(file: HubFile) -> str:
    """Git's id of what it stores: the file itself, or the pointer to it."""
    if not file.in_lfs:
        return file.etag
    pointer = _pointer(file)
    return _sha1(f"blob {len(pointer)}\0{pointer}")


def _pointer(file: HubFile) -> str:
    """What git stores for a file in LFS: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
    version = "version https://git-lfs.github.com/spec/v1"
    return f"{version}\noid sha256:{file.etag}\nsize {file.size_bytes}\n"


def _count_parameters(files: Iterable[HubFile]) -> dict[str, int]:
    """Parameters by type, from the headers of the safetensors files."""
    counts: Counter[str] = Counter()
    for file in files:
        if file.path.endswith(".safetensors"):
            counts.update(_header_counts(file.location))
    return dict(counts)


def _header_counts(path: Path) -> Counter[str]:
    """Of one file; nothing where it is broken, since its other facts must be told."""
    counts: Counter[str] = Counter()
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(size, _LONGEST_HEADER)))
        header.pop("__metadata__", None)
        for entry in header.values():
            counts[str(entry["dtype"])] += prod(map(int, entry["shape"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return Counter()
    return counts


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
