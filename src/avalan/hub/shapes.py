"""The hub's JSON: what its clients read about repositories, files, revisions and accounts.

The interface: https://huggingface.co/docs/hub/api. The keys are those that huggingface_hub reads.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from avalan.errors import ModelError
from avalan.hub.catalogue import HubFile, Repository
from avalan.hub.headers import read_header

Json = dict[str, Any]
Files = Mapping[str, HubFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a token belongs to."""

    name: str
    has_access: bool = True
    """To gated and to private repositories."""


def model(repository: Repository, commit: str) -> Json:
    """All about one revision."""
    files = repository.files(commit)
    found = {
        "_id": _sha1(repository.name)[:24],
        "id": repository.name,
        "modelId": repository.name,
        "private": repository.private,
        "downloads": repository.downloads,
        "likes": repository.likes,
        "tags": repository.all_tags,
        "pipeline_tag": repository.pipeline_tag,
        "library_name": repository.library_name,
        "createdAt": _time(repository.last_modified),
        "author": repository.owner,
        "sha": commit,
        "lastModified": _time(repository.last_modified),
        "gated": "auto" if repository.gated else False,
        "siblings": [_sibling(file) for file in files.values()],
        "cardData": {
            "license": repository.licence,
            "pipeline_tag": repository.pipeline_tag,
            "library_name": repository.library_name,
        },
        "config": _config(files),
    }
    if counts := _count_parameters(files.values()):
        found["safetensors"] = {"parameters": counts, "total": sum(counts.values())}
    return found


def tree(files: Files, place: str, *, recursive: bool) -> list[Json] | None:
    """The files and folders below `place` (empty for the root); None if there is no such folder."""
    prefix = f"{place}/" if place else ""
    names: set[str] = set()
    for path in files:
        if path.startswith(prefix):
            steps = path.removeprefix(prefix).split("/")
            ends = range(1, len(steps) + 1) if recursive else [1]
            names.update(prefix + "/".join(steps[:end]) for end in ends)
    if place and not names:
        return None
    return [_entry(files, name) for name in sorted(names)]


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


def account(owner: Account) -> Json:
    """Who the caller is."""
    token = {"displayName": owner.name, "role": "read"}
    return {
        "type": "user",
        "name": owner.name,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }


def _config(files: Files) -> Json:
    """The part of the configuration that the hub shows."""
    try:
        found = json.loads(files["config.json"].location.read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    keys = ("architectures", "model_type", "quantization_config")
    return {key: found[key] for key in keys if key in found} if isinstance(found, dict) else {}


def _sibling(file: HubFile) -> Json:
    found = {"rfilename": file.path, "size": file.size_bytes, "blobId": _blob_id(file)}
    return found | _lfs(file, "sha256")


def _entry(files: Files, name: str) -> Json:
    file = files.get(name)
    if file is None:
        return {"type": "directory", "path": name, "oid": _tree_id(files, name), "size": 0}
    found = {"type": "file", "path": name, "oid": _blob_id(file), "size": file.size_bytes}
    return found | _lfs(file, "oid")


def _lfs(file: HubFile, name_of_hash: str) -> Json:
    if not file.in_lfs:
        return {}
    size = {"size": file.size_bytes, "pointerSize": len(_pointer(file))}
    return {"lfs": {name_of_hash: file.etag, **size}}


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


def _count_parameters(files: Iterable[HubFile]) -> Counter[str]:
    """By type, from the headers of the safetensors files; a broken one counts nothing."""
    counts: Counter[str] = Counter()
    for file in files:
        if file.path.endswith(".safetensors"):
            try:
                tensors = read_header(file.location)
            except (OSError, ModelError):
                continue
            for tensor in tensors.values():
                counts[tensor.dtype] += tensor.num_parameters
    return counts


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
