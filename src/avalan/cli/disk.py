"""Which models lie on this machine's disk, told from directory listings alone.

A listing must be cheap (a bare `avalan` shows it) and must not fail: what cannot be read is not
there.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avalan.hub.folder import has_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model on disk."""

    name: str
    """What to write in a command."""
    where: str
    """bundled, hub, gguf or ollama."""
    size_bytes: int


def hub_cache(override: str | None = None) -> Path:
    """The hub's cache folder, found as its own library finds it."""
    if override:
        return _expanded(override)
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return _expanded(explicit)
    if home := os.environ.get("HF_HOME"):
        return _expanded(home) / "hub"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return _expanded(cache) / "huggingface" / "hub"


def hub_models(cache: Path, *, parts: bool = False) -> Iterator[FoundModel]:
    """Models in the hub's cache that have weights, or with `parts` any file, in a snapshot."""
    for folder in _listing(cache):
        if folder.name.startswith("models--") and any(
            has_weights(snapshot, pickled=True) or (parts and _listing(snapshot))
            for snapshot in _listing(folder / "snapshots")
        ):
            name = folder.name.removeprefix("models--").replace("--", "/")
            size = sum(map(_size, _listing(folder / "blobs")))
            yield FoundModel(name=name, where="hub", size_bytes=size)


def gguf_models(folder: Path) -> Iterator[FoundModel]:
    """The GGUF files that lie in `folder` itself."""
    for path in _listing(folder):
        if path.suffix.lower() == ".gguf" and path.is_file():
            yield FoundModel(name=path.name, where="gguf", size_bytes=_size(path))


def ollama_models(home: Path | None = None) -> Iterator[FoundModel]:
    """What Ollama's manifests name; sizes are those that they state."""
    root = home or _expanded(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models")
    for registry in _listing(root / "manifests"):
        for owner in _listing(registry):
            for name in _listing(owner):
                for tag in _listing(name):
                    prefix = "" if owner.name == "library" else f"{owner.name}/"
                    yield FoundModel(
                        name=f"{prefix}{name.name}:{tag.name}",
                        where="ollama",
                        size_bytes=_manifest_size(tag),
                    )


def indexes(home: Path) -> Iterator[tuple[str, int]]:
    """Names and bytes of the document indexes in the state folder `home`."""
    for path in _listing(home / "indexes"):
        if path.suffix == ".sqlite":
            yield path.stem, _size(path)


def _expanded(path: str) -> Path:
    """The path with its `~`; as it is, where the system knows no home folder."""
    return Path(os.path.expanduser(path))


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _manifest_size(path: Path) -> int:
    try:
        layers = json.loads(path.read_text())["layers"]
        return sum(int(layer["size"]) for layer in layers)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
