"""Where things lie in the local cache of the Hugging Face hub.

    models--owner--name/
      blobs/<hash>               the content of a file
      blobs/<hash>.incomplete    the part of it that has arrived
      snapshots/<commit>/<path>  a link to a blob
      refs/<branch or tag>       the commit that it stood for

https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from avalan.hub.folder import has_weights

PREFIX = "models--"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one model in the cache."""

    folder: Path

    @property
    def cache(self) -> Path:
        """The folder of all models."""
        return self.folder.parent

    @property
    def blobs(self) -> Path:
        """Where the contents are."""
        return self.folder / "blobs"

    def blob(self, etag: str) -> Path:
        """The content that is called `etag`."""
        return self.blobs / etag

    def partial(self, etag: str) -> Path:
        """The part of it that has arrived; its name is the same after a kill."""
        return self.blobs / f"{etag}.incomplete"

    def snapshot(self, commit: str) -> Path:
        """The files of one revision."""
        return self.folder / "snapshots" / commit

    def ref(self, revision: str) -> Path:
        """The file that says which commit a branch or a tag is."""
        return self.folder / "refs" / revision

    @property
    def lock(self) -> Path:
        """Who holds it downloads the model."""
        return self.cache / ".locks" / self.folder.name / "download.lock"


def cache_root(cache_dir: str | Path | None) -> Path:
    """The cache's folder; left open, where huggingface_hub keeps it."""
    return Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser()


def looks_root(cache_dir: str | Path | None) -> Path:
    """Where the small files of models are that were only looked at, laid out as the cache.

    Beside the models, since half a model in their folders would count as one; and in the folder
    that the hub's own tools pass over.
    """
    return cache_root(cache_dir) / ".locks" / "looks"


def place_of(name: str, cache_dir: str | Path | None) -> Place:
    """Where the model called `name` is, or would be."""
    return Place(cache_root(cache_dir) / (PREFIX + name.replace("/", "--")))


def names_on_disk(cache_dir: str | Path | None) -> list[str]:
    """The models of which there are weights, sorted."""
    folders = [path for path in listing(cache_root(cache_dir)) if path.name.startswith(PREFIX)]
    return sorted(
        name_of(path)
        for path in folders
        if any(has_weights(snapshot) for snapshot in listing(path / "snapshots"))
    )


def name_of(folder: Path) -> str:
    """The model's name, from that of its folder."""
    return folder.name.removeprefix(PREFIX).replace("--", "/")


def listing(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
