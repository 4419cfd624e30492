"""What a hub answers: an address becomes names, they are looked up, and rights are checked.

No sockets here. What cannot be had is refused with the statuses and codes from which
huggingface_hub makes its exceptions (`hf_raise_for_status` in its source).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from avalan.hub import shapes
from avalan.hub.catalogue import Catalogue, HubFile, Repository
from avalan.hub.shapes import Account, Json

Parameters = Mapping[str, Sequence[str]]
"""What follows the question mark of an address; each name has at least one value."""

_GENERAL = re.compile(r"/api/(?P<action>models|whoami-v2)")
# The shortest name that leaves a known action behind it is the repository's.
_ABOUT = re.compile(
    r"/api/models/(?P<repository>[^/]+(/[^/]+)??)"
    r"(/(revision|(?P<action>tree|refs))(/(?P<revision>[^/]+)(/(?P<path>.+))?)?)?"
)
_FILE = re.compile(
    r"/(?P<repository>[^/]+(/[^/]+)?)/(?P<action>resolve)/(?P<revision>[^/]+)/(?P<path>.+)"
)

_SORT_FIELDS = {"likes": "likes", "lastModified": "last_modified"}


class Refused(Exception):
    """A request that has no answer.

    Attributes:
        status: of HTTP.
        headers: which tell the client's cases apart.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **(headers or {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What an address asks for."""

    action: str
    """`models`, `whoami-v2`, `resolve`, `info`, `tree` or `refs`."""
    repository: str = ""
    revision: str = "main"
    path: str = ""
    """A file or folder in the repository."""

    @classmethod
    def parse(cls, path: str) -> "Route | None":
        """The route of an address's path, percent-encoded as it came; None if there is none.

        It is split at its slashes before they are decoded, so that a revision may contain one.
        """
        for pattern in (_GENERAL, _ABOUT, _FILE):
            if match := pattern.fullmatch(path):
                parts = {name: part for name, part in match.groupdict().items() if part}
                decoded = {name: unquote(part, errors="replace") for name, part in parts.items()}
                return cls(**{"action": "info", **decoded})
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file to send."""

    file: HubFile
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A catalogue and who may read it."""

    catalogue: Catalogue
    accounts: Mapping[str, Account] | None = None
    """Token → who it belongs to; None: nobody is asked for one, and none is looked at."""

    def answer(
        self, route: Route | None, parameters: Parameters, token: str | None
    ) -> Json | list[Json] | Content:
        """What `route` asks for: a file, or what becomes JSON.

        Raises:
            Refused: it does not exist, or not for this caller.
        """
        caller = self._caller(token)
        if route is None:
            raise Refused(404, "Not Found")
        if route.action == "whoami-v2":
            if caller is None:
                raise Refused(401, "Invalid username or password.")
            return shapes.account(caller)
        if route.action == "models":
            return self._search(parameters, caller)
        repository = self._repository(route.repository, caller)
        if route.action == "refs":
            return shapes.refs(repository)
        if route.action == "resolve" and self.accounts is not None:
            _check_gate(repository, caller)
        commit = repository.commit(route.revision)
        if commit is None:
            raise Refused(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
        return _about(repository, commit, route, parameters)

    def _caller(self, token: str | None) -> Account | None:
        if self.accounts is None or token is None:
            return None
        if token not in self.accounts:
            # The client has no code for this case; it knows the words.
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.accounts[token]

    def _sees(self, repository: Repository, caller: Account | None) -> bool:
        open_to_all = self.accounts is None or not repository.private
        return open_to_all or (caller is not None and caller.has_access)

    def _repository(self, name: str, caller: Account | None) -> Repository:
        found = self.catalogue.find(name)
        if found is not None and self._sees(found, caller):
            return found
        # Whether there is a private one is nobody else's business: the same words for both.
        code = {"X-Error-Code": "RepoNotFound"}
        if caller is None and self.accounts is not None:
            raise Refused(401, "Invalid username or password.", code)
        raise Refused(404, "Repository not found", code)

    def _search(self, parameters: Parameters, caller: Account | None) -> list[Json]:
        """All that fit, on one page, and all about each, which is more than clients ask for.

        The most first, equals in the order of their names.
        """
        everything = (self.catalogue.find(name) for name in self.catalogue.names())
        seen = [each for each in everything if each is not None and self._sees(each, caller)]
        found = [each for each in seen if _fits(each, parameters)]
        field = _SORT_FIELDS.get(_first(parameters, "sort"), "downloads")
        found.sort(key=lambda each: getattr(each, field), reverse=True)
        limit = _first(parameters, "limit")
        if limit.isdecimal():
            found = found[: int(limit)]
        return [shapes.model(each, each.head()) for each in found]


def _about(
    repository: Repository, commit: str, route: Route, parameters: Parameters
) -> Json | list[Json] | Content:
    if route.action == "info":
        return shapes.model(repository, commit)
    files = repository.files(commit)
    if route.action == "tree":
        rows = shapes.tree(files, route.path, recursive=_flag(parameters, "recursive"))
        if rows is not None:
            return rows
    elif route.path in files:
        return Content(file=files[route.path], commit=commit)
    # With the commit, from which the client remembers that the file does not exist.
    headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
    raise Refused(404, "Entry not found", headers)


def _check_gate(repository: Repository, caller: Account | None) -> None:
    if not repository.gated or (caller is not None and caller.has_access):
        return
    if caller is None:
        status, message = 401, "You must be logged in and have access to it."
    else:
        status, message = 403, "You have not been given access to it."
    message = f"Access to model {repository.name} is restricted. {message}"
    raise Refused(status, message, {"X-Error-Code": "GatedRepo"})


def _fits(repository: Repository, parameters: Parameters) -> bool:
    """Everything that is given must fit; unknown parameters are passed over."""
    name = repository.name.lower()
    words = _first(parameters, "search").lower().split()
    values = (*parameters.get("filter", ()), *parameters.get("pipeline_tag", ()))
    tags = {tag for value in values for tag in value.split(",")}
    return (
        all(word in name for word in words)
        and tags <= set(repository.all_tags)
        and _first(parameters, "author") in ("", repository.owner)
        and ("gated" not in parameters or _flag(parameters, "gated") == repository.gated)
    )


def _first(parameters: Parameters, name: str) -> str:
    return parameters.get(name, ("",))[0]


def _flag(parameters: Parameters, name: str) -> bool:
    """Clients write `true`, `True` or `1`."""
    return _first(parameters, name).lower() in ("true", "1")
