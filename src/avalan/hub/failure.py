"""Whether the hub answers, and what went wrong there, as one sentence that says what to do."""

import errno
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from avalan import extras
from avalan.errors import ModelError, StateError, reason_of
from avalan.hub.found import missing_files
from avalan.hub.layout import cache_root, listing, names_on_disk, place_of
from avalan.locale import _, _n

CLIENT_ERROR: type[Exception] = errors.HfHubHTTPError.__bases__[0]
"""The root of what the client's network library raises; which library, it keeps to itself."""

PATIENCE_S = 1.2
"""`HF_HUB_ETAG_TIMEOUT`, in whole seconds, sets another for networks that are slow."""

TOKEN_VARIABLES = ("HF_ACCESS_TOKEN", "HF_TOKEN")
"""The first that is set wins."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_MOST_NAMES = 5


class Unreachable(ModelError):
    """The hub cannot be asked."""


@contextmanager
def explained(
    name: str | None = None,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
) -> Iterator[None]:
    """What the hub's client raises inside, about the model called `name`, becomes a sentence.

    Raises:
        ModelError: the hub refuses or does not answer.
        StateError: the disk is full or cannot be written.
    """
    try:
        with _spoken_by_a_hub():
            yield
    except errors.GatedRepoError:
        raise _gated(name, token) from None
    except errors.RevisionNotFoundError:
        raise ModelError(
            "The model {name!r} has no revision {revision!r}; see {page} for those it has.",
            name=name,
            revision=revision,
            page=f"{constants.ENDPOINT}/{name}/tree/main",
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ModelError(
            "There is no model {name!r} on the hub, or it is private; check the spelling, "
            "give a local folder, or set {variable} to a token that may read it.",
            name=name,
            variable=token_variable(),
        ) from None
    except errors.HfHubHTTPError as error:
        if error.response.status_code >= 500:
            raise unreachable(name, f"{constants.ENDPOINT}: {_answer(error)}", cache_dir) from None
        raise _refused(name, error) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        raise unreachable(name, _("HF_HUB_OFFLINE is set"), cache_dir) from None
    except CLIENT_ERROR as error:
        reason = f"{constants.ENDPOINT}: {reason_of(error)}"
        raise unreachable(name, reason, cache_dir) from None
    except OSError as error:
        raise disk_error(error, cache_dir) from None


@contextmanager
def _spoken_by_a_hub() -> Iterator[None]:
    try:
        yield
    except errors.HfHubHTTPError as error:
        answer = error.response
        # Content often comes from elsewhere, which has manners of its own.
        is_endpoint = str(answer.url).startswith(constants.ENDPOINT)
        if not is_endpoint or answer.status_code >= 429 or "X-Error-Code" in answer.headers:
            raise
        is_json = "json" in answer.headers.get("Content-Type", "")
        if answer.status_code == 404 or not (is_json or "X-Error-Message" in answer.headers):
            raise _no_hub(_answer(error)) from None
        raise


@contextmanager
def parsed() -> Iterator[None]:
    """An answer that cannot be read inside is not a hub's.

    Raises:
        ModelError: it cannot.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, errors.HFValidationError):
            raise
        raise _no_hub(_("its answer cannot be read")) from error


def _no_hub(answer: str) -> ModelError:
    return ModelError(
        "{address} does not look like a hub of models ({answer}); check HF_ENDPOINT, or whether "
        "the network asks for a login first.",
        address=constants.ENDPOINT,
        answer=answer,
    )


def why_unreachable() -> str | None:
    """Why the hub cannot be asked, as a part of a sentence; None where it answers.

    It is asked briefly, before anything that would wait long for it: the client itself waits
    without end for a server that accepts a connection and stays silent, and half a minute for one
    that is away.
    """
    if constants.HF_HUB_OFFLINE:
        return _("HF_HUB_OFFLINE is set")
    extras.check_hub_environment()
    timed_out = _("timed out")
    patience = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", PATIENCE_S))
    # Made before the clock starts: it reads certificates, which takes its time.
    client = huggingface_hub.get_session()
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            client.head(constants.ENDPOINT, timeout=patience, follow_redirects=False)
            answer.put(None)
        except Exception as error:  # Whatever it is, the hub was not reached.
            answer.put(reason_of(error))

    # In a thread, since looking a name up waits as long as the system pleases.
    threading.Thread(target=ask, daemon=True).start()
    try:
        reason = answer.get(timeout=patience)
    except queue.Empty:
        reason = timed_out
    if reason == timed_out:
        reason = _("no answer within {seconds:g} s", seconds=patience)
    return reason and f"{constants.ENDPOINT}: {reason}"


def require_hub(
    name: str | None = None,
    cache_dir: str | Path | None = None,
    *,
    revision: str | None = None,
) -> None:
    """Ask the hub for a sign of life.

    Raises:
        ModelError: there is none.
    """
    reason = why_unreachable()
    if reason is not None:
        raise unreachable(name, reason, cache_dir, revision=revision)


def unreachable(
    name: str | None,
    reason: str,
    cache_dir: str | Path | None,
    *,
    revision: str | None = None,
) -> Unreachable:
    """The sentence for a hub that cannot be asked about the model called `name`, or at all."""
    if name is None:
        sentence = _n(
            "The hub cannot be reached ({reason}); {remedy}, or see which models are on this "
            "machine: avalan cache list"
        )
        return Unreachable(sentence, reason=reason, remedy=_remedy())
    held, folder = names_on_disk(cache_dir), place_of(name, cache_dir).folder
    snapshots = listing(folder / "snapshots")
    missing = sorted({file for snapshot in snapshots for file in missing_files(snapshot)})
    if missing and name in held:
        held.remove(name)
    what = _n("The model {name!r} is not on this machine and cannot be downloaded ({reason})")
    is_known = revision is None or (folder / "refs" / revision).is_file()
    if name in held and not is_known and revision not in [each.name for each in snapshots]:
        held.remove(name)
        what = _n(
            "The revision {revision!r} of the model {name!r} is not on this machine and cannot be "
            "downloaded ({reason})"
        )
    elif missing:
        what = _n(
            "The model {name!r} is only partly on this machine and what is missing, {files}, "
            "cannot be downloaded ({reason})"
        )
    elif name in held:
        what = _n(
            "The hub cannot be reached ({reason}), so only what is on disk of {name!r} is there"
        )
    elif any(folder.glob("blobs/*")):
        what = _n(
            "The model {name!r} is only partly on this machine and the rest cannot be downloaded "
            "({reason})"
        )
    return Unreachable(
        _n("{problem}; {remedy}, give a local folder, or use what is on disk: {names}."),
        problem=_(what, name=name, reason=reason, files=_names(missing), revision=revision),
        remedy=_remedy(),
        names=_names(["'bundled'", *map(repr, held)]),
    )


def token_variable() -> str:
    """The variable of the environment that a new token belongs into: the one that is in use."""
    is_set = (name for name in TOKEN_VARIABLES if os.environ.get(name, "").strip())
    return next(is_set, "HF_TOKEN")


def _remedy() -> str:
    if constants.HF_HUB_OFFLINE:
        return _("unset HF_HUB_OFFLINE")
    if os.environ.get("HF_ENDPOINT"):
        return _("check HF_ENDPOINT and the network")
    return _("connect to the network")


def _names(every: Sequence[str]) -> str:
    names = every[: _MOST_NAMES + 1]
    if len(every) > len(names):
        more = len(every) - len(names)
        return _("{names} and {count} more", names=", ".join(names), count=more)
    *first, last = names or [""]
    return _("{names} and {last}", names=", ".join(first), last=last) if first else last


def disk_error(error: OSError, cache_dir: str | Path | None) -> StateError:
    """The sentence for a disk that refuses."""
    root = cache_root(cache_dir)
    if error.errno in _NO_SPACE:
        return StateError(
            "The disk with the cache {folder} is full; free some space, or choose another "
            "folder with --cache-dir. What has arrived is kept, and the same command goes on "
            "from there.",
            folder=root,
        )
    return StateError(
        "The system refused {path!r} ({reason}); check its permissions, or choose another "
        "folder with --cache-dir.",
        path=error.filename or str(root),
        reason=reason_of(error),
    )


def _gated(name: str | None, token: str | None) -> ModelError:
    sentence = _n(
        "The model {name!r} is gated; accept its licence on {page}, then set {variable} to "
        "your access token."
    )
    if token is not None:
        sentence = _n(
            "The model {name!r} is gated and your access token may not read it; accept its licence "
            "on {page} with the account that the token belongs to."
        )
    page = f"{constants.ENDPOINT}/{name}"
    return ModelError(sentence, name=name, page=page, variable=token_variable())


def _refused(name: str | None, error: errors.HfHubHTTPError) -> ModelError:
    status = error.response.status_code
    if status == 401:
        return ModelError(
            "The hub refused the access token, which is wrong or has expired; make a new one "
            "on {page} and set {variable} to it, or go on without one.",
            page=f"{constants.ENDPOINT}/settings/tokens",
            variable=token_variable(),
        )
    if status == 429:
        return ModelError(
            "The hub has had too many questions from here ({answer}); wait a few minutes, or "
            "set {variable} to an access token, which is allowed more.",
            answer=_answer(error),
            variable=token_variable(),
        )
    refusal = _n("The hub refused the question ({answer}); check the rights of the token.")
    if name:
        refusal = _n(
            "The hub refused the question about {name!r} ({answer}); check the rights of the token."
        )
    return ModelError(refusal, name=name, answer=_answer(error))


def _answer(error: errors.HfHubHTTPError) -> str:
    words = error.response.headers.get("X-Error-Message") or error.response.reason_phrase
    return f"{error.response.status_code} {words}".strip()
