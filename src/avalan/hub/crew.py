"""Several files at a time: a few threads that fetch, and one that sees what they do."""

import queue
import threading
import time
from collections.abc import Sequence

from avalan.hub import events
from avalan.hub.events import FileAdvanced, FileBroken, FileFinished, FileStarted
from avalan.hub.layout import Place
from avalan.hub.remote import RemoteFile, RemoteModel
from avalan.hub.transfer import Stopped, Transfer

NUM_THREADS = 4
_TELL_EVERY_S = 0.05
_GIVES_UP_S = 1.0

_Report = events.Event | BaseException | None
"""What a thread has to say; None: it has nothing more to do."""


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
    reports: queue.SimpleQueue[_Report] = queue.SimpleQueue()
    stop = threading.Event()
    # Daemons: a server that does not answer must not hold up whoever pressed Ctrl-C.
    threads = [
        threading.Thread(
            target=_work, args=(model, wanted, place, headers, reports, stop), daemon=True
        )
        for _ in range(min(NUM_THREADS, len(files)))
    ]
    for thread in threads:
        thread.start()
    try:
        _see(reports, num_threads=len(threads))
    finally:
        stop.set()
        deadline = time.monotonic() + _GIVES_UP_S
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))


def _see(reports: "queue.SimpleQueue[_Report]", *, num_threads: int) -> None:
    while num_threads:
        report = reports.get()
        if report is None:
            num_threads -= 1
        elif isinstance(report, BaseException):
            raise report
        else:
            events.tell(report)


def _work(
    model: RemoteModel,
    wanted: "queue.SimpleQueue[RemoteFile]",
    place: Place,
    headers: dict[str, str],
    reports: "queue.SimpleQueue[_Report]",
    stop: threading.Event,
) -> None:
    try:
        while not stop.is_set():
            file = wanted.get_nowait()
            _fetch(model, file, place, headers, reports, stop)
    except (queue.Empty, Stopped):
        pass
    except BaseException as error:
        reports.put(error)
    reports.put(None)


def _fetch(
    model: RemoteModel,
    file: RemoteFile,
    place: Place,
    headers: dict[str, str],
    reports: "queue.SimpleQueue[_Report]",
    stop: threading.Event,
) -> None:
    told_at = -1.0

    def advanced(num_bytes: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _TELL_EVERY_S:
            told_at = now
            reports.put(FileAdvanced(file=file.path, num_bytes=num_bytes))

    def broken(reason: str, wait_s: float) -> None:
        reports.put(FileBroken(file=file.path, reason=reason, wait_s=wait_s))

    partial = place.partial(file.etag)
    held = partial.stat().st_size if partial.is_file() else 0
    reports.put(FileStarted(file=file.path, num_bytes=held))
    transfer = Transfer(
        file, model.url(file), headers, advanced=advanced, broken=broken, wait=stop.wait
    )
    transfer.run(partial, place.blob(file.etag))
    reports.put(FileFinished(file=file.path))
