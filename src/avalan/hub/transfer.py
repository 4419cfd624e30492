"""Files from the hub into the cache, a few at a time: each resumes after a kill, and is verified.

The client of the hub resumes within one process only and never looks at the content. Here the
part that has arrived has a name that stays (`<hash>.incomplete`), and the hash that names a blob
is computed while it comes.
"""

import hashlib
import io
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

from avalan.errors import ModelError, reason_of
from avalan.hub import events
from avalan.hub.events import Event, FileAdvanced, FileBroken, FileFinished, FileStarted
from avalan.hub.failure import CLIENT_ERROR
from avalan.hub.layout import Place, size_of
from avalan.hub.remote import RemoteFile, RemoteModel
from avalan.locale import _

NUM_THREADS = 4
ATTEMPTS = 5
"""In a row, without a byte of progress."""
_LONGEST_WAIT_S = 8.0
_TIMEOUTS_S = (10.0, 20.0, 20.0, None)
"""To connect, to read, to write; none to wait for a free connection."""
_CHUNK_BYTES = 1 << 20
_TELL_EVERY_S = 0.05
_GIVES_UP_S = 1.0
_LATER = (408, 429, 500, 502, 503, 504)


class _Stopped(Exception):
    """Whoever asked for the file does not want it any more."""


class _Cut(Exception):
    """The connection ended before the file did."""


def fetch_all(
    model: RemoteModel, files: Sequence[RemoteFile], place: Place, headers: dict[str, str]
) -> None:
    """Fetch the contents of `files` into the blobs of `place`.

    The small ones come first: if the model may not be read, that is known at once.

    Raises:
        BaseException: what befell the first file that failed; the others stop, and keep their
            parts.
    """
    wanted: queue.SimpleQueue[RemoteFile] = queue.SimpleQueue()
    for file in sorted(files, key=lambda file: file.size_bytes):
        wanted.put(file)
    # What a thread has to say; None: it has nothing more to do.
    reports: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                file = wanted.get_nowait()
                transfer = Transfer(
                    file=file, url=model.url(file), headers=headers, tell=reports.put, stop=stop
                )
                transfer.run(place.partial(file.etag), place.blob(file.etag))
        except (queue.Empty, _Stopped):
            pass
        except BaseException as error:
            reports.put(error)
        reports.put(None)

    # Daemons: a server that does not answer must not hold up whoever pressed Ctrl-C.
    threads = [
        threading.Thread(target=work, daemon=True, name="transfer")
        for _ in range(min(NUM_THREADS, len(files)))
    ]
    for thread in threads:
        thread.start()
    try:
        num_working = len(threads)
        while num_working:
            report = reports.get()
            if report is None:
                num_working -= 1
            elif isinstance(report, BaseException):
                raise report
            else:
                events.tell(report)
    finally:
        stop.set()
        deadline = time.monotonic() + _GIVES_UP_S
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))


@dataclass(kw_only=True)
class Transfer:
    """A file on its way."""

    file: RemoteFile
    url: str
    """Of the content at one commit, which never changes; so a part of it can be continued whatever
    server sends the rest, and no `If-Range` is needed, which a content delivery network could not
    answer anyway: its etags are not the hub's."""
    headers: Mapping[str, str]
    tell: Callable[[Event], None]
    """Called with what happens to the file."""
    stop: threading.Event
    """Set when the file is not wanted any more."""
    _told_at: float = -1.0

    def run(self, partial: Path, blob: Path) -> None:
        """Fill `partial` and, once it is whole and true, call it `blob`.

        Raises:
            ModelError: what comes is not what the hub said.
            OSError: the disk refuses; the client's errors pass through, too.
        """
        partial.parent.mkdir(parents=True, exist_ok=True)
        self.tell(FileStarted(file=self.file.path, num_bytes=size_of(partial)))
        with _Part(partial, self.file) as part:
            for size in part.read():
                self._arrived(size)
            resumed = part.size > 0
            self._fill(part)
            if resumed and not part.is_true():
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
                file=self.file.path,
            )
        os.replace(partial, blob)
        self.tell(FileFinished(file=self.file.path))

    def _fill(self, part: "_Part") -> None:
        attempts = 0
        while part.size < self.file.size_bytes:
            before = part.size
            try:
                self._receive(part)
            except (CLIENT_ERROR, _Cut) as error:
                if isinstance(error, HfHubHTTPError) and error.response.status_code not in _LATER:
                    raise
                attempts = 1 if part.size > before else attempts + 1
                if attempts >= ATTEMPTS:
                    raise ModelError(
                        "The download of {file} broke off {count} times ({reason}); what has "
                        "arrived is kept, and the same command goes on from there.",
                        file=self.file.path,
                        count=ATTEMPTS,
                        reason=reason_of(error),
                    ) from None
                # Not all at once, where many wait for the same server.
                wait_s = min(2.0 ** (attempts - 2), _LONGEST_WAIT_S) * random.uniform(0.8, 1.2)
                reason = reason_of(error)
                self.tell(FileBroken(file=self.file.path, reason=reason, wait_s=wait_s))
                if self.stop.wait(wait_s):
                    raise _Stopped from None

    def _receive(self, part: "_Part") -> None:
        # Compressed, the ranges would be those of other bytes.
        headers = {**self.headers, "Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        # It takes the token off where a redirect leads to another host.
        with huggingface_hub.get_session().stream(
            "GET", self.url, headers=headers, timeout=_TIMEOUTS_S, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-")
            if part.size and not goes_on:  # It is the whole file, from its start.
                part.restart()
            for chunk in response.iter_bytes():
                part.append(chunk)
                self._arrived(part.size)
                if part.size > self.file.size_bytes:
                    return
        if part.size < self.file.size_bytes:
            raise _Cut(_("the connection ended early"))

    def _arrived(self, num_bytes: int) -> None:
        """Tell how much is here, but not too often."""
        if self.stop.is_set():
            raise _Stopped
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self.tell(FileAdvanced(file=self.file.path, num_bytes=num_bytes))


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
        if not self.size and self._wanted.size_bytes:  # It was refused: nothing is here.
            self._path.unlink(missing_ok=True)

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
