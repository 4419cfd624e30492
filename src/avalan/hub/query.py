"""What a search of a hub asks for, and which repositories answer it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from avalan.hub.catalogue import Repository

Parameters = Mapping[str, Sequence[str]]
"""What follows the question mark of an address; each name has at least one value."""

_SORT_KEYS = {
    "downloads": "downloads",
    "likes": "likes",
    "trendingScore": "likes",
    "lastModified": "last_modified",
    "createdAt": "last_modified",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Everything that is given must fit."""

    words: Sequence[str] = ()
    """Each occurs in the name, in capitals or not."""
    tags: Sequence[str] = ()
    author: str | None = None
    gated: bool | None = None
    sort: str = "downloads"
    """The field of `Repository` to order by."""
    descending: bool = True

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "Query":
        """The query of an address; unknown parameters and orders are passed over."""
        first = {name: values[0] for name, values in parameters.items()}
        tags = ",".join((*parameters.get("filter", ()), *parameters.get("pipeline_tag", ())))
        gated = first.get("gated")
        return cls(
            words=tuple(first.get("search", "").lower().split()),
            tags=tuple(tag for tag in tags.split(",") if tag),
            author=first.get("author"),
            gated=None if gated is None else is_true(gated),
            sort=_SORT_KEYS.get(first.get("sort", ""), "downloads"),
            descending=first.get("direction") != "1",
        )

    def fits(self, repository: Repository) -> bool:
        """Whether the repository is one of those that are asked for."""
        name = repository.name.lower()
        return (
            all(word in name for word in self.words)
            and set(self.tags) <= set(all_tags(repository))
            and self.author in (None, repository.owner)
            and self.gated in (None, repository.gated)
        )

    def answer(self, repositories: Iterable[Repository]) -> list[Repository]:
        """Those that fit, in order; equals stay in the order of their names."""
        found = sorted(filter(self.fits, repositories), key=lambda each: each.name)
        found.sort(key=lambda each: getattr(each, self.sort), reverse=self.descending)
        return found


def is_true(text: str) -> bool:
    """A parameter's value as clients write it: `true`, `True` or `1`."""
    return text.lower() in ("true", "1")


def all_tags(repository: Repository) -> list[str]:
    """The tags, with those that follow from other fields, each once."""
    licence = f"license:{repository.licence}" if repository.licence else None
    more = (repository.library_name, repository.pipeline_tag, licence)
    return list(dict.fromkeys((*repository.tags, *filter(None, more))))
