"""The server itself: HTTP as any client may speak it, and what never leaves the folder."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avalan.hub.protocol import Refused, Route
from avalan.hub.server import HubServer, byte_range, url
from avalan.testing import LocalHub

NAME = "org/model"
WEIGHTS = bytes(range(256)) * 1000
Answer = tuple[int, bytes, dict[str, str]]


def ask(hub: LocalHub, target: str, *, method: str = "GET", **headers: str) -> Answer:
    address = urlsplit(hub.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 0, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.fixture
def hub(local_hub: LocalHub, folder: Path) -> LocalHub:
    local_hub.add(NAME, folder)
    return local_hub


WEIGHTS_AT = f"/{NAME}/resolve/main/model.safetensors"


@pytest.mark.parametrize(
    ("asked", "status", "told", "first", "end"),
    [
        ("bytes=0-9", 206, "bytes 0-9/256000", 0, 10),
        ("bytes=255990-", 206, "bytes 255990-255999/256000", 255_990, 256_000),
        ("bytes=-10", 206, "bytes 255990-255999/256000", 255_990, 256_000),
        ("bytes=255999-999999", 206, "bytes 255999-255999/256000", 255_999, 256_000),
        ("bytes=9-0", 200, None, 0, 256_000),
        ("bytes=0-1,5-6", 200, None, 0, 256_000),
        ("bytes=-", 200, None, 0, 256_000),
        ("pages=1-2", 200, None, 0, 256_000),
    ],
)
def test_a_range_gives_these_bytes_and_no_others(
    hub: LocalHub, asked: str, status: int, told: str | None, first: int, end: int
) -> None:
    found, body, headers = ask(hub, WEIGHTS_AT, Range=asked)
    assert (found, headers.get("Content-Range")) == (status, told)
    assert body == WEIGHTS[first:end]


@pytest.mark.parametrize("asked", ["bytes=256000-", "bytes=300000-300001", "bytes=-0"])
def test_a_range_after_the_end_is_refused_with_the_size(hub: LocalHub, asked: str) -> None:
    status, _, headers = ask(hub, WEIGHTS_AT, Range=asked)
    assert (status, headers["Content-Range"]) == (416, "bytes */256000")


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_slicing_gives(size: int, first: int, last: int) -> None:
    content, header = bytes(range(size)), f"bytes={first}-{last}"
    if last < first:
        assert byte_range(header, size) is None
    elif first >= size:
        with pytest.raises(Refused, match="not satisfiable"):
            byte_range(header, size)
    else:
        start, count = byte_range(header, size) or (0, 0)
        assert content[start : start + count] == content[first : last + 1]


def test_a_file_that_changed_meanwhile_is_sent_whole(hub: LocalHub) -> None:
    etag = ask(hub, WEIGHTS_AT, method="HEAD")[2]["ETag"]
    assert ask(hub, WEIGHTS_AT, Range="bytes=0-9", If_Range=etag)[0] == 206
    assert ask(hub, WEIGHTS_AT, Range="bytes=0-9", If_Range='"another"')[0] == 200


def test_head_says_what_get_would_send(hub: LocalHub) -> None:
    status, body, headers = ask(hub, WEIGHTS_AT, method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "256000")
    assert headers["X-Linked-Etag"] == headers["ETag"]
    assert headers["X-Linked-Size"] == "256000"
    assert "X-Linked-Etag" not in ask(hub, f"/{NAME}/resolve/main/config.json")[2]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/agent-harnesses", 404),
        ("GET", f"/api/models/{NAME}/discussions", 404),
        ("GET", f"/{NAME}/resolve/main", 404),
        ("POST", f"/api/models/{NAME}/commit/main", 501),
        ("PUT", WEIGHTS_AT, 501),
        ("DELETE", f"/api/models/{NAME}", 501),
    ],
)
def test_nothing_else_is_answered_and_nothing_written(
    hub: LocalHub, method: str, target: str, status: int
) -> None:
    assert ask(hub, target, method=method)[0] == status


def test_a_connection_carries_many_requests(hub: LocalHub) -> None:
    address = urlsplit(hub.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 0, timeout=10)
    connection.connect()
    own_port = connection.sock.getsockname()[1]
    for target in (WEIGHTS_AT, "/nothing", f"/api/models/{NAME}", WEIGHTS_AT):
        connection.request("GET", target)
        connection.getresponse().read()
        assert connection.sock.getsockname()[1] == own_port
    connection.close()


@pytest.mark.parametrize("headers", [{"Content_Length": "9"}, {"Transfer_Encoding": "chunked"}])
def test_a_body_is_not_taken_for_the_next_request(hub: LocalHub, headers: dict[str, str]) -> None:
    status, _, told = ask(hub, f"/api/models/{NAME}", **headers)
    assert (status, told["Connection"]) == (200, "close")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9002", 200),
        ("localhost", 200),
        ("[::1]:9002", 200),
        ("host.docker.internal:9002", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ],
)
def test_a_web_page_cannot_read_under_a_name_of_its_own(
    hub: LocalHub, host: str, status: int
) -> None:
    assert ask(hub, f"/api/models/{NAME}", Host=host)[0] == status


def test_a_client_that_goes_away_is_no_error(
    hub: LocalHub, capfd: pytest.CaptureFixture[str]
) -> None:
    address = urlsplit(hub.url)
    hub.bytes_per_s = 10_000_000
    for request in (f"GET {WEIGHTS_AT} HTTP/1.1\r\nHost: x.local\r\n\r\n", "GET", "\r\n"):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(request.encode())
    assert ask(hub, "/api/whoami-v2", Authorization=f"Bearer {hub.token}")[0] == 200
    assert capfd.readouterr().err == ""


SECRET = b"nobody may read this"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A served folder between files that are not served, with links to them."""
    place = tmp_path_factory.mktemp("guarded")
    (place / "secret.txt").write_bytes(SECRET)
    (place / "model" / "sub").mkdir(parents=True)
    (place / "model" / "config.json").write_bytes(b"{}")
    (place / "model" / "sub" / "inner.txt").write_bytes(b"inner")
    (place / "model" / "link.txt").symlink_to(place / "secret.txt")
    (place / "model" / "linked").symlink_to(place)
    with LocalHub() as hub:
        hub.add(NAME, place / "model")
        yield hub


# The pieces of which paths that climb are made, as they are and in several disguises.
STEPS = ["..", ".", "", "%2e%2e", "%2E.", "..%2f", "%2f", "%5c", "..\\", "%00", "%c0%ae", "..;"]
PLACES = ["secret.txt", "link.txt", "linked", "sub", "model", "etc", "passwd", "main", "resolve"]


@given(st.lists(st.sampled_from(STEPS + PLACES), min_size=1, max_size=8), st.booleans())
@example(["link.txt"], True)
@example(["..", "secret.txt"], True)
@example(["%2e%2e%2fsecret.txt"], True)
def test_no_path_leaves_the_served_folder(
    guarded: LocalHub, steps: list[str], in_repository: bool
) -> None:
    start = f"/{NAME}/resolve/main/" if in_repository else "/"
    status, body, _ = ask(guarded, start + "/".join(steps))
    assert SECRET not in body
    assert status == 404


NEARLY = ["config.json", "sub/inner.txt", "sub", "./config.json", "sub//inner.txt", "CONFIG.JSON"]


@given(st.text(max_size=30) | st.sampled_from([*NEARLY, "sub/../config.json", "config.json/"]))
def test_a_file_has_one_name(guarded: LocalHub, name: str) -> None:
    """Whatever is asked for, only the exact names that the listing tells are answered."""
    status, body, _ = ask(guarded, f"/{NAME}/resolve/main/{quote(name, safe='')}")
    served = {"config.json": b"{}", "sub/inner.txt": b"inner"}
    if name in served:
        assert (status, body) == (200, served[name])
    else:
        assert status == 404


def test_a_link_out_of_the_folder_is_not_listed(guarded: LocalHub) -> None:
    _, body, _ = ask(guarded, f"/api/models/{NAME}")
    names = [each["rfilename"] for each in json.loads(body)["siblings"]]
    assert names == ["config.json", "sub/inner.txt"]


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/models", Route(action="models")),
        ("/api/models/gpt2", Route(action="info", repository="gpt2")),
        ("/api/models/a/b", Route(action="info", repository="a/b")),
        ("/api/models/a/b/revision/x", Route(action="info", repository="a/b", revision="x")),
        ("/api/models/gpt2/tree/main", Route(action="tree", repository="gpt2")),
        (
            "/api/models/a/b/tree/refs%2Fpr%2F1/in%2Fner",
            Route(action="tree", repository="a/b", revision="refs/pr/1", path="in/ner"),
        ),
        (
            "/gpt2/resolve/main/a/b.txt",
            Route(action="resolve", repository="gpt2", path="a/b.txt"),
        ),
        (
            "/a/b/resolve/v%2F1/c%20d",
            Route(action="resolve", repository="a/b", revision="v/1", path="c d"),
        ),
        ("/api/models/a/b/c", None),
        ("/a/b/raw/main/c", None),
        ("", None),
    ],
)
def test_an_address_is_read_as_the_client_writes_it(path: str, route: Route | None) -> None:
    assert Route.parse(path) == route


def test_a_taken_port_is_refused_and_not_shared(hub: LocalHub) -> None:
    port = urlsplit(hub.url).port or 0
    with pytest.raises(OSError, match="in use"):
        HubServer(hub, port=port)


def test_the_address_of_ipv6_is_in_brackets() -> None:
    assert url("::1", 9002) == "http://[::1]:9002"
    assert url("127.0.0.1", 9002) == "http://127.0.0.1:9002"
