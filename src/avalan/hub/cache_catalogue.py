"""The local cache of the Hugging Face hub as something to serve.

The layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache. Nothing is kept in
memory but parsed cards, so a model that was downloaded a moment ago is there.

The cache does not record whether a model is gated. Its card tells, where it was downloaded too:
the questions that a gated repository asks stand there as `extra_gated_…`. Such models are left
out unless they are wanted, because their licence was accepted by one person and not by a network.
A model without its card cannot be told and is served.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from avalan.hub.catalogue import COMMIT, NAME, Repository
from avalan.hub.kind import task_of
from avalan.hub.layout import PREFIX, listing, name_of, place_of


@dataclass(frozen=True, slots=True)
class CacheCatalogue:
    """The models in a cache folder."""

    folder: Path
    only: Collection[str] | None = None
    """Names to serve; None for all."""
    gated: bool = False
    """Serve those that their card calls gated, too."""

    def names(self) -> list[str]:
        """The names of all models that are served, sorted."""
        return [each.name for each in self._all() if self.gated or not each.gated]

    def left_out(self) -> list[str]:
        """The names of gated models that are not served."""
        return [each.name for each in self._all() if each.gated and not self.gated]

    def find(self, name: str) -> Repository | None:
        """The model called `name`, if it is served."""
        found = self._read(name)
        return None if found is None or (found.gated and not self.gated) else found

    def _all(self) -> list[Repository]:
        folders = [path for path in listing(self.folder) if path.name.startswith(PREFIX)]
        found = map(self._read, sorted(map(name_of, folders)))
        return [each for each in found if each is not None]

    def _read(self, name: str) -> Repository | None:
        if not NAME.fullmatch(name) or (self.only is not None and name not in self.only):
            return None
        folder = place_of(name, self.folder).folder
        snapshots = _snapshots(folder)
        if not snapshots or name_of(folder) != name:
            return None
        card, newest = _card(snapshots), next(iter(snapshots.values()))
        config = _config(newest)
        is_known = isinstance(config.get("model_type"), str)
        return Repository(
            name=name,
            root=self.folder,
            refs=_refs(folder / "refs", snapshots),
            snapshots=snapshots,
            last_modified=datetime.fromtimestamp(_changed(newest), UTC),
            gated=any(key.startswith("extra_gated_") for key in card),
            tags=(*_tags(card), *(["safetensors"] if any(newest.glob("*.safetensors")) else [])),
            pipeline_tag=_text(card, "pipeline_tag") or task_of(config),
            library_name=_text(card, "library_name") or ("transformers" if is_known else None),
            licence=_text(card, "license"),
        )


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # It was deleted meanwhile.
        return 0.0


def _snapshots(folder: Path) -> dict[str, Path]:
    """Commit → folder, of those that hold something; the newest first."""
    found = [path for path in listing(folder / "snapshots") if COMMIT.fullmatch(path.name)]
    found.sort(key=lambda path: (-_changed(path), path.name))
    return {path.name: path for path in found if listing(path)}


def _refs(folder: Path, snapshots: Mapping[str, Path]) -> dict[str, str]:
    """The names that lead to a snapshot; they may contain slashes, as `refs/pr/1` does."""
    refs = {}
    for path in sorted(folder.rglob("*")):
        try:
            commit = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if commit in snapshots:
            refs[path.relative_to(folder).as_posix()] = commit
    return refs


def _card(snapshots: Mapping[str, Path]) -> dict[str, Any]:
    """What the card says of the model; empty where there is none."""
    for folder in snapshots.values():
        path = folder / "README.md"
        try:
            return _read_card(path, path.stat().st_mtime_ns)
        except OSError:
            continue
    return {}


@lru_cache(maxsize=1000)
def _read_card(path: Path, changed_ns: int) -> dict[str, Any]:
    try:
        found = metadata_load(path)
    except OSError:
        raise
    except Exception:  # Other people's YAML: a card that cannot be read says nothing.
        return {}
    return {str(key): value for key, value in (found or {}).items()}


def _config(folder: Path) -> dict[str, Any]:
    """What the hub, too, takes library and task from where a card does not tell."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tags(card: Mapping[str, Any]) -> tuple[str, ...]:
    lists = [card.get(key) for key in ("tags", "language", "datasets")]
    found = [tag for each in lists if isinstance(each, list) for tag in each]
    return tuple(tag for tag in found if isinstance(tag, str))


def _text(card: Mapping[str, Any], key: str) -> str | None:
    value = card.get(key)
    return value if isinstance(value, str) else None
