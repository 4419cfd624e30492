"""What a hub answers: an address becomes names, they are looked up, and rights are checked.

No sockets here. What cannot be had is refused with the statuses and codes from which
huggingface_hub makes its exceptions (`hf_raise_for_status` in its source).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from avalan.hub import shapes
from avalan.hub.catalogue import Catalogue, HubFile, Repository
from avalan.hub.query import Parameters, Query, is_true
from avalan.hub.shapes import Account, Json

_ACTIONS = {"revision", "tree", "paths-info", "refs", "commits"}
MOST_ROWS = 1000
"""Of one page of a search."""


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
    """`models`, `whoami-v2`, `resolve`, `info`, `tree`, `paths-info`, `refs` or `commits`."""
    repository: str = ""
    revision: str = "main"
    path: str = ""
    """A file or folder in the repository."""

    @classmethod
    def parse(cls, path: str) -> "Route | None":
        """The route of an address's path, percent-encoded as it came; None if there is none.

        It is split at its slashes before they are decoded, so that a revision may contain one.
        """
        match [unquote(part, errors="replace") for part in path.split("/")[1:]]:
            case ["api", ("models" | "whoami-v2") as action]:
                return cls(action=action)
            case ["api", "models", *rest]:
                return cls._of_repository(rest)
            case [owner, name, "resolve", revision, *file] if file:
                repository = f"{owner}/{name}"
            case [repository, "resolve", revision, *file] if file:
                pass
            case _:
                return None
        joined = "/".join(file)
        return cls(action="resolve", repository=repository, revision=revision, path=joined)

    @classmethod
    def _of_repository(cls, parts: Sequence[str]) -> "Route | None":
        num_names = 1 if len(parts) == 1 or parts[1] in _ACTIONS else 2
        name = "/".join(parts[:num_names])
        match parts[num_names:]:
            case []:
                return cls(action="info", repository=name)
            case [action, *rest] if action in _ACTIONS:
                return cls(
                    action="info" if action == "revision" else action,
                    repository=name,
                    revision=rest[0] if rest else "main",
                    path="/".join(rest[1:]),
                )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """An answer in JSON."""

    content: Json | list[Json]
    next_row: int | None = None
    """Where the next page of a search begins, if there is one."""


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
    ) -> Document | Content:
        """What `route` asks for.

        Raises:
            Refused: it does not exist, or not for this caller.
        """
        caller = self._caller(token)
        if route is None:
            raise Refused(404, "Not Found")
        if route.action == "whoami-v2":
            return Document(content=_whoami(caller))
        if route.action == "models":
            return self._search(parameters, caller)
        repository = self._repository(route.repository, caller)
        if route.action == "resolve":
            return self._resolve(route, repository, caller)
        return Document(content=_about(route, repository, parameters))

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

    def _search(self, parameters: Parameters, caller: Account | None) -> Document:
        found = (self.catalogue.find(name) for name in self.catalogue.names())
        seen = [each for each in found if each is not None and self._sees(each, caller)]
        rows = Query.from_parameters(parameters).answer(seen)
        limit = _number(parameters, "limit", MOST_ROWS)
        first, size = _number(parameters, "cursor", 0), min(max(limit, 1), MOST_ROWS)
        asked = {name: _flag(parameters, name) for name in ("full", "config", "cardData")}
        page = [
            shapes.expanded(each, fields)
            if (fields := parameters.get("expand", ()))
            else shapes.listed(
                each, full=asked["full"], config=asked["config"], card=asked["cardData"]
            )
            for each in rows[first : first + size]
        ]
        more = first + size < len(rows)
        return Document(content=page, next_row=first + size if more else None)

    def _resolve(self, route: Route, repository: Repository, caller: Account | None) -> Content:
        if repository.gated and self.accounts is not None:
            _check_gate(repository, caller)
        commit = _commit(repository, route.revision)
        file = repository.files(commit).get(route.path)
        if file is None:
            raise _no_entry(commit)
        return Content(file=file, commit=commit)


def _check_gate(repository: Repository, caller: Account | None) -> None:
    if caller is None:
        status, message = 401, "You must be logged in and have access to it."
    elif not caller.has_access:
        status, message = 403, "You have not been given access to it."
    else:
        return
    message = f"Access to model {repository.name} is restricted. {message}"
    raise Refused(status, message, {"X-Error-Code": "GatedRepo"})


def _whoami(caller: Account | None) -> Json:
    if caller is None:
        raise Refused(401, "Invalid username or password.")
    return shapes.account(caller)


def _about(route: Route, repository: Repository, parameters: Parameters) -> Json | list[Json]:
    if route.action == "refs":
        return shapes.refs(repository)
    commit = _commit(repository, route.revision)
    if route.action == "info":
        return shapes.model(repository, commit, blobs=_flag(parameters, "blobs"))
    history = shapes.commit_entry(repository, commit)
    if route.action == "commits":
        return [history]
    last_commit = history if _flag(parameters, "expand") else None
    files = repository.files(commit)
    if route.action == "paths-info":
        return shapes.paths(files, parameters.get("paths", ()), last_commit=last_commit)
    recursive = _flag(parameters, "recursive")
    rows = shapes.tree(files, route.path, recursive=recursive, last_commit=last_commit)
    if rows is None:
        raise _no_entry(commit)
    return rows


def _commit(repository: Repository, revision: str) -> str:
    commit = repository.commit(revision)
    if commit is None:
        raise Refused(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
    return commit


def _no_entry(commit: str) -> Refused:
    # With the commit, from which the client remembers that the file does not exist.
    headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
    return Refused(404, "Entry not found", headers)


def _flag(parameters: Parameters, name: str) -> bool:
    return is_true(parameters.get(name, ("",))[0])


def _number(parameters: Parameters, name: str, default: int) -> int:
    text = parameters.get(name, ("",))[0]
    return int(text) if text.isdecimal() and text.isascii() else default
