"""Everything avalan raises on purpose, grouped by who must act.

    AvalanError
    ├── ConfigurationError     the caller: an option, a file, a recipe is not usable as given
    │   └── UsageError         the caller, of the command line: exit code 2 instead of 1
    ├── MissingExtra           the caller: an optional package is not installed
    ├── ModelError             the model's files, or what an engine can do
    │   ├── ServerAway         a server does not answer, or not to the end
    │   └── TruncatedAnswer    an answer that was to follow a constraint ended too early
    ├── RetrievalError         documents and indexes
    └── StateError             the machine: a full disk, a folder that cannot be written

A message is one sentence: what happened, why, and what to do. It names its values, so that it
can be translated: `ModelError("There is no model {name!r}; …", name=name)`. The command line
prints it and exits; anything that is not an `AvalanError` is a bug of ours and shows its traceback.
"""

import re

from avalan.locale import _


class AvalanError(Exception):
    """Root of the errors that a person can act on."""

    def __init__(self, message: str, /, **values: object) -> None:
        super().__init__(_(message, **values))


class ConfigurationError(AvalanError):
    """An option, setting or recipe cannot be used as given."""


class UsageError(ConfigurationError):
    """The command line was used wrongly; ends with exit code 2."""


class MissingExtra(AvalanError):
    """A feature needs an optional package that is not installed."""


class ModelError(AvalanError):
    """A model's files are missing or broken, or its engine cannot do what was asked."""


class ServerAway(ModelError):
    """A server does not answer, or not to the end; that says nothing of what it can do."""


class TruncatedAnswer(ModelError):
    """An answer that was to follow a schema, a pattern or a choice ended before it was whole."""


class RetrievalError(AvalanError):
    """A document or an index cannot be read or written."""


class StateError(AvalanError):
    """The machine refused: no space, no permission, a locked file."""


def reason_of(error: BaseException) -> str:
    """What the system or a library says in `error`, for the middle of a sentence.

    Its usual words are in the catalogues (scripts/translations.py lists them); others stay.
    """
    words = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0]
    words = re.sub(r"^\[Errno -?\d+\] ", "", words).rstrip(".")
    return _(words) or type(error).__name__
