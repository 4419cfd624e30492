"""One file from the hub into the cache: it resumes after a kill, and counts only once verified.

The client of the hub resumes within one process only and never looks at the content. Here the
part that has arrived has a name that stays (`<hash>.incomplete`), and the hash that names a blob
is computed while it comes.
"""

import hashlib
import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

from avalan.errors import ModelError
from avalan.hub.failure import CLIENT_ERROR
from avalan.hub.reach import reason_of
from avalan.hub.remote import RemoteFile
from avalan.locale import _

ATTEMPTS = 5
"""In a row, without a byte of progress."""
_LONGEST_WAIT_S = 8.0
_TIMEOUTS_S = (10.0, 20.0, 20.0, None)
"""To connect, to read, to write; none to wait for a free connection."""
_CHUNK_BYTES = 1 << 20
_LATER = (408, 429, 500, 502, 503, 504)


class Stopped(Exception):
    """Whoever asked for the file does not want it any more."""


class _Cut(Exception):
    """The connection ended before the file did."""


class Transfer:
    """A file on its way.

    Args:
        url: of the content at one commit, which never changes; so a part of it can be continued
            whatever server sends the rest, and no `If-Range` is needed, which a content delivery
            network could not answer anyway: its etags are not the hub's.
        advanced: called with the number of bytes that are here.
        broken: called with a reason and the seconds until it goes on.
        wait: sleeps so many seconds; true if the file is not wanted any more.
    """

    def __init__(
        self,
        file: RemoteFile,
        url: str,
        headers: dict[str, str],
        *,
        advanced: Callable[[int], None],
        broken: Callable[[str, float], None],
        wait: Callable[[float], bool],
    ) -> None:
        self._file = file
        self._url = url
        # Compressed, the ranges would be those of other bytes.
        self._headers = headers | {"Accept-Encoding": "identity"}
        self._advanced = advanced
        self._broken = broken
        self._wait = wait

    def run(self, partial: Path, blob: Path) -> None:
        """Fill `partial` and, once it is whole and true, call it `blob`.

        Raises:
            ModelError: what comes is not what the hub said.
            Stopped: it is not wanted any more.
            OSError: the disk refuses; the client's errors pass through, too.
        """
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _Part(partial, self._file) as part:
            for size in part.read():
                self._check_wanted()
                self._advanced(size)
            resumed = part.size > 0
            self._fill(part)
            if not part.is_true() and resumed:
                # What an earlier run left may have been damaged, by a power cut for example.
                part.restart()
                self._fill(part)
            is_true = part.is_true()
            part.sync()
        if not is_true:
            partial.unlink()
            raise ModelError(
                "The file {file} was damaged on its way (its hash is not the one that the hub "
                "gives); try again.",
                file=self._file.path,
            )
        os.replace(partial, blob)

    def _fill(self, part: "_Part") -> None:
        attempts = 0
        while part.size < self._file.size_bytes:
            before = part.size
            try:
                self._receive(part)
            except (CLIENT_ERROR, _Cut) as error:
                attempts = 1 if part.size > before else attempts + 1
                if not _may_pass(error):
                    raise
                if attempts >= ATTEMPTS:
                    raise self._gave_up(error) from None
                self._pause(error, attempts)

    def _pause(self, error: Exception, attempts: int) -> None:
        # Not all at once, where many wait for the same server.
        seconds = min(2.0 ** (attempts - 2), _LONGEST_WAIT_S) * random.uniform(0.8, 1.2)
        self._broken(reason_of(error), seconds)
        if self._wait(seconds):
            raise Stopped

    def _gave_up(self, error: Exception) -> ModelError:
        return ModelError(
            "The download of {file} broke off {count} times ({reason}); what has arrived is "
            "kept, and the same command goes on from there.",
            file=self._file.path,
            count=ATTEMPTS,
            reason=reason_of(error),
        )

    def _receive(self, part: "_Part") -> None:
        headers = dict(self._headers)
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        # It takes the token off where a redirect leads to another host.
        with huggingface_hub.get_session().stream(
            "GET", self._url, headers=headers, timeout=_TIMEOUTS_S, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            if part.size and not _continues(response, part.size):
                part.restart()
            for chunk in response.iter_bytes():
                part.append(chunk)
                self._advanced(part.size)
                self._check_wanted()
                if part.size > self._file.size_bytes:
                    return
        if part.size < self._file.size_bytes:
            raise _Cut(_("the connection ended early"))

    def _check_wanted(self) -> None:
        if self._wait(0.0):
            raise Stopped


class _Part:
    """The part of a file that has arrived, and the hash of it."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        self._path = path
        self._wanted = file
        self._begin()

    def __enter__(self) -> "_Part":
        # Unbuffered: what was written outlives a kill.
        self._path.touch()
        self._file = io.FileIO(self._path, "r+")
        return self

    def __exit__(self, *_args: object) -> None:
        self._file.close()

    def _begin(self) -> None:
        self.size = 0
        if len(self._wanted.etag) == 64:
            self._digest = hashlib.sha256()
        else:
            header = b"blob %d\0" % self._wanted.size_bytes
            self._digest = hashlib.sha1(header, usedforsecurity=False)

    def read(self) -> Iterator[int]:
        """Take in what is there already; yields how much, from time to time."""
        while chunk := self._file.read(_CHUNK_BYTES):
            self._digest.update(chunk)
            self.size += len(chunk)
            yield self.size
        if self.size > self._wanted.size_bytes:
            self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self._file.seek(0)
        self._file.truncate()
        self._begin()

    def append(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._digest.update(chunk)
        self.size += len(chunk)

    def is_true(self) -> bool:
        """Whether it is the file that was wanted."""
        return (
            self.size == self._wanted.size_bytes and self._digest.hexdigest() == self._wanted.etag
        )

    def sync(self) -> None:
        os.fsync(self._file.fileno())


def _continues(response: Any, start: int) -> bool:
    """Whether an answer goes on where the part ends, and is not the whole file from its start."""
    content_range: str = response.headers.get("Content-Range", "")
    is_part: bool = response.status_code == 206
    return is_part and content_range.startswith(f"bytes {start}-")


def _may_pass(error: Exception) -> bool:
    """Whether the next try may go better."""
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in _LATER
    return not isinstance(error, errors.OfflineModeIsEnabled)
