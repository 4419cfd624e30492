"""A download is whole and true, or it is not there; and it never begins again from nothing."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub
import pytest
from huggingface_hub import HfApi

from avalan import hub
from avalan.errors import ModelError, StateError
from avalan.hub import download, events, transfer
from avalan.hub.events import Event, FileBroken, FileFinished, FileStarted, Finished, Started
from avalan.hub.found import find_cached
from avalan.hub.layout import place_of
from avalan.hub.remote import RemoteFile
from avalan.testing import LocalHub

NAME = "org/model"
WEIGHTS = bytes(range(256)) * 1000  # As the fixture `folder` writes them.
SHA = hashlib.sha256(WEIGHTS).hexdigest()

Fetch = Callable[..., Path]


@pytest.fixture
def fetch(local_hub: LocalHub, client: HfApi, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Download from the local hub; nobody waits between two tries."""
    monkeypatch.setattr(transfer, "_LONGEST_WAIT_S", 0.01)

    def fetch(name: str = NAME, **options: object) -> Path:
        return hub.resolve(name, cache_dir=local_hub.cache_dir, **options)  # type: ignore[arg-type]

    return fetch


@pytest.fixture
def seen() -> Iterator[list[Event]]:
    found: list[Event] = []
    with events.watching(found.append):
        yield found


def partial(local_hub: LocalHub) -> Path:
    return place_of(NAME, local_hub.cache_dir).partial(SHA)


def snapshots(local_hub: LocalHub) -> list[str]:
    folder = place_of(NAME, local_hub.cache_dir).folder / "snapshots"
    return [path.name for path in folder.glob("*")]


def leave_part(local_hub: LocalHub, content: bytes) -> None:
    path = partial(local_hub)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def sent(local_hub: LocalHub) -> list[tuple[int, int]]:
    """Status and bytes of the answers that carried weights."""
    file = "model.safetensors"
    return [(each.status, each.num_bytes) for each in local_hub.requests if each.file == file]


def test_the_cache_is_as_the_hubs_own_client_lays_it_out(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    commit = local_hub.add(NAME, folder)

    found = fetch()

    weights = found / "model.safetensors"
    assert found.name == commit
    assert os.readlink(weights) == f"../../blobs/{SHA}"
    assert os.readlink(found / "onnx" / "model.onnx").startswith("../../../blobs/")
    assert place_of(NAME, local_hub.cache_dir).ref("main").read_text() == commit
    before = local_hub.num_requests("model.safetensors")
    cached = huggingface_hub.hf_hub_download(
        NAME, "model.safetensors", cache_dir=local_hub.cache_dir
    )
    assert Path(cached) == weights
    assert local_hub.num_requests("model.safetensors") == before


def test_a_part_that_an_earlier_run_left_is_continued(
    local_hub: LocalHub, fetch: Fetch, folder: Path, seen: list[Event]
) -> None:
    local_hub.add(NAME, folder)
    leave_part(local_hub, WEIGHTS[:100_000])

    found = fetch()

    assert (found / "model.safetensors").read_bytes() == WEIGHTS
    assert sent(local_hub) == [(206, 156_000)]
    assert FileStarted(file="model.safetensors", num_bytes=100_000) in seen
    assert not partial(local_hub).exists()


def test_a_part_that_is_damaged_is_fetched_anew(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    leave_part(local_hub, b"x" * 100_000)
    assert (fetch() / "model.safetensors").read_bytes() == WEIGHTS
    assert sent(local_hub) == [(206, 156_000), (200, 256_000)]


@pytest.mark.parametrize("size", [256_000, 300_000])
def test_a_part_as_long_as_the_file_or_longer_is_not_believed(
    local_hub: LocalHub, fetch: Fetch, folder: Path, size: int
) -> None:
    local_hub.add(NAME, folder)
    leave_part(local_hub, b"x" * size)
    assert (fetch() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_part_that_only_lacks_its_name_is_not_fetched(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    leave_part(local_hub, WEIGHTS)
    assert (fetch() / "model.safetensors").read_bytes() == WEIGHTS
    assert sent(local_hub) == []


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    local_hub: LocalHub, fetch: Fetch, folder: Path, seen: list[Event]
) -> None:
    local_hub.add(NAME, folder)
    # More often than it would try without getting further.
    local_hub.break_off("model.safetensors", after_bytes=40_000, times=6)

    found = fetch()

    assert (found / "model.safetensors").read_bytes() == WEIGHTS
    assert sent(local_hub) == [(200, 40_000), *[(206, 40_000)] * 5, (206, 16_000)]
    assert [each.file for each in seen if isinstance(each, FileBroken)] == ["model.safetensors"] * 6


def test_a_connection_that_never_gets_further_is_given_up_and_its_part_kept(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    local_hub.break_off("model.safetensors", after_bytes=0, times=99)
    leave_part(local_hub, WEIGHTS[:70_000])

    with pytest.raises(ModelError, match=r"broke off 5 times .*the same command goes on from"):
        fetch()

    assert partial(local_hub).read_bytes() == WEIGHTS[:70_000]
    assert not snapshots(local_hub)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_other_bytes_than_the_hub_promised_are_refused(
    local_hub: LocalHub, fetch: Fetch, folder: Path, file: str
) -> None:
    """A file in large storage by its SHA-256, a small one by its name in git."""
    local_hub.add(NAME, folder)
    local_hub.corrupt(file)
    with pytest.raises(ModelError, match=f"The file {file} was damaged on its way"):
        fetch()
    assert not snapshots(local_hub)
    assert not place_of(NAME, local_hub.cache_dir).ref("main").exists()


KILLED = """
import os, signal
from avalan import hub
from avalan.hub import events
def die(event):
    if isinstance(event, events.FileAdvanced) and event.file == "model.safetensors":
        if event.num_bytes > 50_000:
            os.kill(os.getpid(), signal.SIGKILL)
with events.watching(die):
    hub.resolve("org/model")
"""


def test_a_download_that_is_killed_goes_on_and_was_never_taken_for_a_model(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    local_hub.bytes_per_s = 200_000
    done = subprocess.run([sys.executable, "-c", KILLED], env=local_hub.environment())
    assert done.returncode == -signal.SIGKILL
    kept = partial(local_hub).stat().st_size
    assert 50_000 < kept < 256_000
    with pytest.raises(ModelError, match="only partly on this machine"):
        fetch(offline=True)
    before = local_hub.num_bytes("model.safetensors")

    local_hub.bytes_per_s = None
    found = fetch()

    assert (found / "model.safetensors").read_bytes() == WEIGHTS
    assert local_hub.num_bytes("model.safetensors") - before == 256_000 - kept


def test_an_interrupt_ends_all_transfers_at_once(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    local_hub.bytes_per_s = 20_000

    def interrupt(event: Event) -> None:
        if isinstance(event, events.FileAdvanced):
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), events.watching(interrupt):
        fetch()
    assert time.monotonic() - started < 5
    assert not [each for each in threading.enumerate() if each.name == "transfer"]


def test_two_downloads_of_one_model_do_not_meet(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    local_hub.bytes_per_s = 500_000
    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert local_hub.num_bytes("model.safetensors") == 256_000
    assert (fetch() / "model.safetensors").read_bytes() == WEIGHTS


def test_events_tell_what_comes_and_what_is_there(
    local_hub: LocalHub, fetch: Fetch, folder: Path, seen: list[Event]
) -> None:
    commit = local_hub.add(NAME, folder)

    found = fetch()

    started = next(each for each in seen if isinstance(each, Started))
    assert (started.name, started.commit) == (NAME, commit)
    assert started.sizes["model.safetensors"] == 256_000
    done = [each.file for each in seen if isinstance(each, FileFinished)]
    assert sorted(done) == sorted(started.sizes)
    assert seen[-1] == Finished(folder=found)


def test_what_is_there_is_not_fetched_again(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    plan = download.plan(NAME, cache_dir=local_hub.cache_dir)
    assert plan.missing_bytes == plan.size_bytes == sum(file.size_bytes for file in plan.files)
    download.run(plan)
    again = download.plan(NAME, cache_dir=local_hub.cache_dir)
    before = local_hub.num_requests()
    assert (again.missing_bytes, again.missing) == (0, ())
    download.run(again)
    assert local_hub.num_requests() == before


def test_the_part_that_has_arrived_is_not_counted_as_missing(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    leave_part(local_hub, WEIGHTS[:100_000])
    plan = download.plan(NAME, cache_dir=local_hub.cache_dir)
    assert plan.missing_bytes == plan.size_bytes - 100_000


def test_a_new_commit_of_a_branch_replaces_the_old_one_as_its_name(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    download.run(download.plan(NAME, cache_dir=local_hub.cache_dir))
    (folder / "config.json").write_bytes(b'{"model_type": "other"}')
    new = local_hub.add(NAME, folder)

    found = download.run(download.plan(NAME, cache_dir=local_hub.cache_dir))

    assert place_of(NAME, local_hub.cache_dir).ref("main").read_text() == new == found.name
    assert local_hub.num_requests("model.safetensors") == 1


def test_a_model_by_commit_has_no_name_and_is_found_by_its_commit(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    commit = local_hub.add(NAME, folder)
    found = fetch(revision=commit)
    assert not place_of(NAME, local_hub.cache_dir).ref("main").exists()
    local_hub.stop()
    assert fetch(revision=commit) == found


def test_a_disk_without_room_is_refused_before_the_first_byte(
    local_hub: LocalHub, client: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.add(NAME, folder)
    plan = download.plan(NAME, cache_dir=local_hub.cache_dir)
    monkeypatch.setattr(download, "free_bytes", lambda _: 1000)
    with pytest.raises(StateError, match=r"needs 0\.3 MB more, but the disk with .* only 0\.0 MB"):
        download.run(plan)
    assert local_hub.num_requests("model.safetensors") == 0


def test_a_disk_that_fills_up_is_one_sentence_and_the_part_is_kept(
    local_hub: LocalHub, fetch: Fetch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.add(NAME, folder)
    append = transfer._Part.append

    def fill_up(part: transfer._Part, chunk: bytes) -> None:
        if part.size + len(chunk) > 100_000:
            raise OSError(28, "No space left on device")
        append(part, chunk)

    monkeypatch.setattr(transfer._Part, "append", fill_up)
    with pytest.raises(StateError, match=r"is full; free some space.* goes on from there"):
        fetch()
    assert 0 < partial(local_hub).stat().st_size <= 100_000


def test_a_cache_that_cannot_be_written_is_one_sentence(
    local_hub: LocalHub, client: HfApi, folder: Path, tmp_path: Path
) -> None:
    local_hub.add(NAME, folder)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StateError, match="The system refused"):
        hub.resolve(NAME, cache_dir=tmp_path / "cache")


class _Redirecting(BaseHTTPRequestHandler):
    """A hub whose files lie elsewhere, and that elsewhere; both remember what they were told."""

    told: ClassVar[list[tuple[str, str | None]]] = []
    elsewhere = ""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        self.told.append((host, self.headers.get("Authorization")))
        if host.startswith("127.0.0.1"):
            self.send_response(302)
            self.send_header("Location", self.elsewhere)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(WEIGHTS)))
        self.end_headers()
        self.wfile.write(WEIGHTS)

    def log_message(self, *_: object) -> None:
        pass


def test_the_token_does_not_travel_to_another_host(client: HfApi, tmp_path: Path) -> None:
    """As the real hub does, it redirects large files to a content delivery network."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting)
    port = server.server_port
    _Redirecting.elsewhere = f"http://localhost:{port}/file"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        transfer.Transfer(
            file=RemoteFile(path="model.safetensors", size_bytes=len(WEIGHTS), etag=SHA),
            url=f"http://127.0.0.1:{port}/file",
            headers={"authorization": "Bearer hf_secret"},
            tell=lambda _: None,
            stop=threading.Event(),
        ).run(tmp_path / "part", tmp_path / "blob")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert (tmp_path / "blob").read_bytes() == WEIGHTS
    assert _Redirecting.told == [
        (f"127.0.0.1:{port}", "Bearer hf_secret"),
        (f"localhost:{port}", None),
    ]


def test_a_snapshot_that_is_half_linked_is_not_taken_for_a_model(
    local_hub: LocalHub, fetch: Fetch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vocab.txt").write_text("Without it, the rest would pass for a model.")
    commit = local_hub.add(NAME, folder)
    link, linked = download._link, []

    def stop_before_the_last(plan: download.Plan, file: RemoteFile) -> None:
        if len(linked) == len(plan.files) - 1:
            raise KeyboardInterrupt
        linked.append(file.path)
        link(plan, file)

    monkeypatch.setattr(download, "_link", stop_before_the_last)
    with pytest.raises(KeyboardInterrupt):
        fetch()

    assert snapshots(local_hub) == [commit]
    assert find_cached(NAME, cache_dir=local_hub.cache_dir, revision=commit) is None
