"""Search the hub for models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import huggingface_hub

from avalan.hub.failure import explained, require_hub

_FIELDS = (
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "pipeline_tag",
    "safetensors",
    "tags",
)
_LICENCE = "license:"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model on the hub; None where the hub does not say."""

    name: str
    num_parameters: int | None
    task: str | None
    library: str | None
    licence: str | None
    gated: bool
    """Its files are only for those who accepted its licence."""
    downloads: int
    """In the last month."""
    likes: int
    modified: datetime | None


def search(
    query: str = "", *, filters: Sequence[str] = (), limit: int = 10, token: str | None = None
) -> list[FoundModel]:
    """The most downloaded models that fit.

    Args:
        query: words of the name.
        filters: tags, such as `transformers`, `text-generation` or `license:apache-2.0`; all must
            fit.
        limit: at most so many.

    Raises:
        ModelError: the hub refuses or cannot be reached.
    """
    require_hub(None, None)
    with explained(token=token):
        rows = huggingface_hub.HfApi().list_models(
            search=query or None,
            filter=list(filters) or None,
            limit=limit,
            sort="downloads",
            expand=list(_FIELDS),  # type: ignore[arg-type]
            token=token or False,
        )
        return [_found(row) for row in rows]


def _found(row: Any) -> FoundModel:
    tags = row.tags or ()
    licences = (tag.removeprefix(_LICENCE) for tag in tags if tag.startswith(_LICENCE))
    return FoundModel(
        name=row.id,
        num_parameters=row.safetensors.total if row.safetensors else None,
        task=row.pipeline_tag,
        library=row.library_name,
        licence=next(licences, None),
        gated=bool(row.gated),
        downloads=row.downloads or 0,
        likes=row.likes or 0,
        modified=row.last_modified,
    )
