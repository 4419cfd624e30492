"""A model hub on this machine, for code that downloads.

    with LocalHub() as hub:
        hub.add("meta-llama/Meta-Llama-3-8B-Instruct", pico_llama(folder), gated=True)
        subprocess.run(["avalan", "cache", "list"], env=hub.environment(token=hub.token))
        assert hub.num_requests("model.safetensors") == 0

It serves any folder under any name, counts what it sends, and misbehaves when told to.
"""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from avalan.errors import ConfigurationError
from avalan.hub.catalogue import NAME, HubFile, Repository
from avalan.hub.protocol import Refused
from avalan.hub.server import HubHandler, HubServer, Served
from avalan.hub.shapes import Account

_PIECE_BYTES = 1 << 16
_PIECES_PER_S = 50
_LONGEST_WAIT_S = 5.0
# Variables of the person's own hub.
_OWN = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_CACHE")
_PUBLISHED = datetime(2025, 1, 1, tzinfo=UTC)


class LocalHub:
    """A hub on a free port of the loopback interface, from `with` to its end.

    Attributes:
        url: for `HF_ENDPOINT`.
        token: is accepted, and opens gated and private repositories.
        stranger_token: is accepted, and opens only what is open to all.
        cache_dir: an empty cache for the client, removed at the end.
        latency_s: how long every answer waits.
        bytes_per_s: the speed of files; None for no limit.
        failing: a status such as 503 with which everything is refused; None for none.
    """

    token = "hf_a_token_of_the_local_hub"
    stranger_token = "hf_another_token_of_the_local_hub"

    def __init__(self) -> None:
        self.latency_s = 0.0
        self.bytes_per_s: float | None = None
        self.failing: int | None = None
        self._repositories: dict[str, Repository] = {}
        self._breaks: dict[str, tuple[int, int]] = {}
        self._corrupt: set[str] = set()
        self._served: list[Served] = []
        self._num_working = 0
        self._idle = threading.Condition()

    def __enter__(self) -> "LocalHub":
        self._folder = tempfile.TemporaryDirectory(prefix="avalan-hub-", ignore_cleanup_errors=True)
        self.cache_dir = Path(self._folder.name, "hub")
        accounts = {
            self.token: Account(name="owner"),
            self.stranger_token: Account(name="stranger", has_access=False),
        }
        self._server = HubServer(self, accounts=accounts, on_request=self._note, handler=_Handler)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._folder.cleanup()

    def stop(self) -> None:
        """End the server; from now on its address is a dead one."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(
        self,
        name: str,
        folder: Path,
        *,
        revisions: Mapping[str, Path] | None = None,
        gated: bool = False,
        private: bool = False,
        tags: Sequence[str] = (),
        pipeline_tag: str | None = "text-generation",
        library_name: str | None = "transformers",
        licence: str | None = "apache-2.0",
        downloads: int = 0,
        likes: int = 0,
        last_modified: datetime = _PUBLISHED,
    ) -> str:
        """Serve `folder` as the branch `main` of the repository `name`; replaces one of that name.

        Args:
            revisions: further branches or tags → their folders.
            tags: for filters; the library, the task and the licence count as tags as they are.

        Returns:
            The commit id of `main`; the same for the same files.

        Raises:
            ConfigurationError: no hub could have a repository of this name, or a folder is not
                there.
        """
        if not NAME.fullmatch(name):
            raise ConfigurationError(f"A hub has no repository {name!r}; write it as owner/name.")
        folders = {"main": folder, **(revisions or {})}
        for place in folders.values():
            if not place.is_dir():
                raise ConfigurationError(f"There is no folder {place} to serve as {name!r}.")
        refs = {revision: _commit_of(place) for revision, place in folders.items()}
        self._repositories[name] = Repository(
            name=name,
            refs=refs,
            snapshots={refs[revision]: place for revision, place in folders.items()},
            last_modified=last_modified,
            gated=gated,
            private=private,
            tags=tuple(tags),
            pipeline_tag=pipeline_tag,
            library_name=library_name,
            licence=licence,
            downloads=downloads,
            likes=likes,
        )
        return refs["main"]

    def names(self) -> list[str]:
        """The names of all repositories, sorted."""
        return sorted(self._repositories)

    def find(self, name: str) -> Repository | None:
        """The repository called `name`."""
        return self._repositories.get(name)

    def break_off(self, file: str, *, after_bytes: int, times: int = 1) -> None:
        """Close the connection after that many bytes of each of the next `times` answers."""
        self._breaks[file] = after_bytes, times

    def corrupt(self, file: str) -> None:
        """From now on send other bytes than the file's, as many as it has."""
        self._corrupt.add(file)

    @property
    def requests(self) -> tuple[Served, ...]:
        """What was answered so far, in order; waits for what is being answered."""
        with self._idle:
            self._idle.wait_for(lambda: not self._num_working, timeout=_LONGEST_WAIT_S)
            return tuple(self._served)

    def num_requests(self, file: str | None = None) -> int:
        """How many requests for the content of `file` were answered, or requests of any kind."""
        if file is None:
            return len(self.requests)
        return sum(each.file == file and each.method == "GET" for each in self.requests)

    def num_bytes(self, file: str) -> int:
        """How many bytes of `file` were sent."""
        return sum(each.num_bytes for each in self.requests if each.file == file)

    def environment(
        self, *, token: str | None = None, cache_dir: Path | None = None
    ) -> dict[str, str]:
        """This process's environment with the hub in place of the real one.

        Nothing of the person's own hub is left in it: no token, no cache, no offline mode.

        Args:
            token: for `HF_TOKEN`; None for nobody's.
            cache_dir: the hub's cache; its own empty one where left open.
        """
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        own |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(Path(self._folder.name, "home")),
            "HF_HUB_CACHE": str(cache_dir or self.cache_dir),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            # A machine that runs tests may be busy, and answer late.
            "HF_HUB_ETAG_TIMEOUT": "10",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return own if token is None else own | {"HF_TOKEN": token}

    def _note(self, served: Served) -> None:
        with self._idle:
            self._served.append(served)
            self._num_working -= 1
            self._idle.notify_all()

    def _allowed_bytes(self, file: HubFile, count: int) -> int:
        """How many of `count` bytes may be sent."""
        after_bytes, times = self._breaks.pop(file.path, (count, 1))
        if times > 1:
            self._breaks[file.path] = after_bytes, times - 1
        return min(after_bytes, count)


class _Handler(HubHandler):
    def begin(self) -> None:
        hub = self._hub
        # A client has its answer before the server has noted it, and may count at once.
        with hub._idle:
            hub._num_working += 1
        time.sleep(hub.latency_s)
        if hub.failing is not None:
            raise Refused(hub.failing, "The hub was told to fail")

    def send_bytes(self, source: BinaryIO, file: HubFile, start: int, count: int) -> int:
        hub, sent = self._hub, 0
        allowed = hub._allowed_bytes(file, count)
        source.seek(start)
        while sent < allowed:
            size, rate = _PIECE_BYTES, hub.bytes_per_s
            if rate is not None:
                # A slow file comes in small pieces, so that a progress bar moves.
                size = max(1, min(size, int(rate / _PIECES_PER_S)))
            piece = source.read(min(size, allowed - sent))
            if rate is not None:
                time.sleep(len(piece) / rate)
            if file.path in hub._corrupt:
                piece = bytes(byte ^ 0xFF for byte in piece)
            self.wfile.write(piece)
            sent += len(piece)
        return sent

    @property
    def _hub(self) -> LocalHub:
        catalogue = self.server.hub.catalogue
        assert isinstance(catalogue, LocalHub)
        return catalogue


def _commit_of(folder: Path) -> str:
    """A commit id that stands for the files of `folder`."""
    once = Repository(name="x", refs={}, snapshots={"": folder}, last_modified=_PUBLISHED)
    rows = "".join(f"{file.path} {file.etag}\n" for file in once.files("").values())
    return hashlib.sha1(rows.encode(), usedforsecurity=False).hexdigest()
