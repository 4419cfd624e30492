"""A read-only hub over HTTP, from which the Hugging Face Hub's own client can download.

`protocol` decides what a request is answered; here are the socket, headers and byte ranges.
"""

import ipaddress
import json
import os
import re
import socket
import socketserver
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

from avalan import __version__
from avalan.hub.catalogue import Catalogue, HubFile
from avalan.hub.protocol import Content, Hub, Refused, Route
from avalan.hub.shapes import Account

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_BEARER = re.compile(r"Bearer (.+)", re.IGNORECASE)
# Any other name under which a server on loopback is asked is a web page's attempt to read from it
# through the person's browser (DNS rebinding).
_OWN_NAME = re.compile(r"localhost|[\w.-]+\.(localhost|local|internal)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that was answered, or broken off."""

    client: str
    method: str
    target: str
    """The address as it was asked for, without the host; other people's text."""
    status: int
    num_bytes: int
    """Of the body; 0 where the client broke off."""
    repository: str | None = None
    file: str | None = None
    """The file's path in the repository, if a file was asked for."""


class HubServer(ThreadingHTTPServer):
    """Serves `catalogue` on `host` and `port`; a thread for each connection.

    Args:
        port: 0 for any that is free.
        accounts: token → who it belongs to; others are refused, and gated and private
            repositories ask for one. None: nobody is asked for one, and none is looked at.
        on_request: called after each request, from its thread.

    Raises:
        OSError: the port is taken, or the host is not this machine's.
    """

    daemon_threads = True
    request_queue_size = 128
    # On Windows the option would let a second server take the port of a running one.
    allow_reuse_address = os.name != "nt"

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        accounts: Mapping[str, Account] | None = None,
        on_request: Callable[[Served], None] | None = None,
        handler: "type[HubHandler] | None" = None,
    ) -> None:
        self.hub = Hub(catalogue=catalogue, accounts=accounts)
        self.on_request = on_request
        self._connections: set[socket.socket] = set()
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        self.is_loopback = ipaddress.ip_address(str(address[0])).is_loopback
        super().__init__(address[:2], handler or HubHandler)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Where it listens."""
        return url(self.server_name, self.server_port)

    def server_bind(self) -> None:
        """Bind, without the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that closing the server closes it."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Stop listening, and break off what is being served."""
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):  # It may be closed already.
                connection.shutdown(socket.SHUT_RDWR)


class HubHandler(BaseHTTPRequestHandler):
    """One connection: requests one after the other, until the client closes or says nothing."""

    protocol_version = "HTTP/1.1"
    server_version = f"avalan/{__version__}"
    sys_version = ""
    timeout = 60
    disable_nagle_algorithm = True
    server: HubServer

    def log_message(self, *values: object) -> None:
        """Nothing: who runs the server is told through `on_request`."""

    def begin(self) -> None:
        """Called before a request is answered; may raise `Refused`."""

    def do_GET(self) -> None:
        """One request, whatever becomes of it: a file or a document, or for HEAD its headers."""
        self._status, self._num_bytes = 0, 0
        # A body is not read, and would be taken for the next request.
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        path, _, question = self.path.partition("?")
        route = Route.parse(path)
        try:
            self._answer(route, question)
        except OSError:  # The client has gone, or says nothing.
            self.close_connection = True
        finally:
            self._record(route)

    do_HEAD = do_GET

    def _answer(self, route: Route | None, question: str) -> None:
        try:
            self.begin()
            self._check_host()
            bearer = _BEARER.fullmatch(self.headers.get("Authorization", ""))
            answer = self.server.hub.answer(route, parse_qs(question), bearer and bearer[1])
            if isinstance(answer, Content):
                self._send_file(answer)
            else:
                self._send_json(200, answer)
        except Refused as refusal:
            self._send_json(refusal.status, {"error": str(refusal)}, refusal.headers)

    def send_bytes(self, source: BinaryIO, file: HubFile, start: int, count: int) -> int:
        """Send a piece of the file that `source` has opened; returns the bytes that were sent."""
        num_sent: int = self.connection.sendfile(source, start, count)
        return num_sent

    def _check_host(self) -> None:
        name = urlsplit("//" + self.headers.get("Host", "localhost")).hostname or ""
        if self.server.is_loopback and not (_is_address(name) or _OWN_NAME.fullmatch(name)):
            raise Refused(403, "This hub is for this machine only")

    def _send_json(
        self, status: int, content: object, headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps(content).encode()
        length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._send_headers(status, length | dict(headers or {}))
        if self.command == "GET":
            self.wfile.write(body)
            self._num_bytes = len(body)

    def _send_file(self, answer: Content) -> None:
        file = answer.file
        start, count = 0, file.size_bytes
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{file.etag}"',
            "X-Repo-Commit": answer.commit,
            "Accept-Ranges": "bytes",
        }
        if file.in_lfs:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size_bytes)}
        if self.command == "GET" and (asked := self._range(file)) is not None:
            start, count = asked
            headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{file.size_bytes}"
        headers["Content-Length"] = str(count)
        try:
            source = file.location.open("rb")
        except OSError:  # It was deleted meanwhile, or belongs to somebody else.
            raise Refused(404, "Entry not found", {"X-Error-Code": "EntryNotFound"}) from None
        with source:
            self._send_headers(206 if "Content-Range" in headers else 200, headers)
            if self.command == "GET" and count:
                self._num_bytes = self.send_bytes(source, file, start, count)
                self.close_connection |= self._num_bytes < count

    def _range(self, file: HubFile) -> tuple[int, int] | None:
        if self.headers.get("If-Range") not in (None, f'"{file.etag}"'):
            return None
        return byte_range(self.headers.get("Range", ""), file.size_bytes)

    def _send_headers(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _record(self, route: Route | None) -> None:
        if self.server.on_request is None:
            return
        self.server.on_request(
            Served(
                client=str(self.client_address[0]),
                method=self.command,
                target=self.path,
                status=self._status,
                num_bytes=self._num_bytes,
                repository=route.repository or None if route else None,
                file=route.path if route and route.action == "resolve" else None,
            )
        )


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes of a `Range`; None where it is to be passed over.

    Source: RFC 9110, section 14. Several ranges at once are passed over, as it allows.

    Raises:
        Refused: the range begins after the end.
    """
    match = _RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if first:
        start, end = int(first), int(last) + 1 if last else size
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        return None
    if first and last and end <= start:
        return None
    if start >= size:
        raise Refused(416, "Range not satisfiable", {"Content-Range": f"bytes */{size}"})
    return start, min(end, size) - start


def url(host: str, port: int) -> str:
    """The address of a server; that of IPv6 goes into brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
