"""The hub that tests download from does what it is told to."""

import os
import time
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

import pytest

from avalan import testing
from avalan.errors import ConfigurationError
from avalan.hub.server import Served
from avalan.testing import LocalHub

NAME = "org/model"
CONTENT = b"0123456789" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def hub(local_hub: LocalHub, folder: Path) -> LocalHub:
    local_hub.add(NAME, folder)
    return local_hub


def get(hub: LocalHub, file: str = "model.safetensors") -> bytes:
    with urllib.request.urlopen(f"{hub.url}/{NAME}/resolve/main/{file}", timeout=10) as answer:
        found: bytes = answer.read()
        return found


def test_requests_and_bytes_are_counted_per_file(hub: LocalHub) -> None:
    get(hub)
    get(hub)
    get(hub, "config.json")
    assert hub.num_requests("model.safetensors") == 2
    assert hub.num_bytes("model.safetensors") == 20_000
    assert hub.num_bytes("config.json") == 2
    assert hub.num_requests() == 3
    assert {each.repository for each in hub.requests} == {NAME}


def test_a_request_is_counted_as_soon_as_it_is_answered(hub: LocalHub) -> None:
    """The client has its answer before the server has noted it."""
    note = hub._server.on_request
    assert note is not None

    def note_late(served: Served) -> None:
        time.sleep(0.1)
        note(served)

    hub._server.on_request = note_late
    get(hub)
    assert hub.num_requests() == 1


def test_a_transfer_breaks_off_as_often_as_told(hub: LocalHub) -> None:
    hub.break_off("model.safetensors", after_bytes=1234, times=2)
    for _ in range(2):
        with pytest.raises(IncompleteRead) as caught:
            get(hub)
        assert caught.value.partial == CONTENT[:1234]
    assert get(hub) == CONTENT
    assert [each.num_bytes for each in hub.requests] == [1234, 1234, 10_000]


def test_a_corrupt_file_has_its_size_and_other_bytes(hub: LocalHub) -> None:
    hub.corrupt("model.safetensors")
    found = get(hub)
    assert len(found) == len(CONTENT)
    assert all(own != other for own, other in zip(found, CONTENT, strict=True))
    assert get(hub, "config.json") == b"{}"


def test_it_is_as_slow_as_told(hub: LocalHub) -> None:
    hub.latency_s, hub.bytes_per_s = 0.05, 100_000
    start = time.monotonic()
    assert get(hub) == CONTENT
    assert time.monotonic() - start >= 0.15


def test_it_fails_when_told(hub: LocalHub) -> None:
    hub.failing = 503
    with pytest.raises(urllib.error.HTTPError, match="503"):
        get(hub)
    hub.failing = None
    assert get(hub) == CONTENT


def test_a_stopped_hub_is_a_dead_address(hub: LocalHub) -> None:
    get(hub)
    hub.stop()
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(hub)


def test_the_environment_has_this_hub_and_nothing_of_the_persons(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = {"HF_TOKEN": "hf_own", "HF_ACCESS_TOKEN": "hf_own", "HUGGING_FACE_HUB_TOKEN": "hf_own"}
    for name, value in {**own, "HF_HUB_OFFLINE": "1", "AVALAN_HOME": "kept"}.items():
        monkeypatch.setenv(name, value)

    found = hub.environment()

    assert found["HF_ENDPOINT"] == hub.url
    assert found["AVALAN_HOME"] == "kept"
    assert "hf_own" not in found.values()
    assert "HF_HUB_OFFLINE" not in found
    assert found["HF_HUB_DISABLE_XET"] == found["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert not os.listdir(Path(found["HF_HOME"]).parent)
    other = hub.environment(token=hub.token, cache_dir=tmp_path)
    assert (other["HF_TOKEN"], other["HF_HUB_CACHE"]) == (hub.token, str(tmp_path))


def test_a_commit_follows_from_the_files(hub: LocalHub, folder: Path) -> None:
    first = hub.add(NAME, folder)
    assert hub.add("another/name", folder) == first
    (folder / "config.json").write_bytes(b"{ }")
    assert hub.add(NAME, folder) != first


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "a//b", "ä/b"])
def test_a_name_that_no_hub_has_is_refused(local_hub: LocalHub, folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as owner/name"):
        local_hub.add(name, folder)


def test_a_folder_that_is_not_there_is_refused(local_hub: LocalHub, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no folder"):
        local_hub.add(NAME, folder, revisions={"v1": folder / "absent"})


def test_the_public_names_are_those_of_the_modules() -> None:
    assert set(testing.__all__) <= set(dir(testing))
