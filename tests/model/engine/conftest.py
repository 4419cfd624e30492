"""Servers in processes of their own, on this machine alone."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import urlopen

import pytest


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    port: int
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives a port at which nobody listens."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    return find


@pytest.fixture
def answers() -> Iterator[Callable[[int, str, bytes], int]]:
    """Starts a server that answers every request alike; gives its port."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int, kind: str, body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def run_server(
    free_port: Callable[[], int],
) -> Callable[..., AbstractContextManager[Running]]:
    """Runs a command, in which PORT stands for a free port, from when it answers at `path`."""

    @contextmanager
    def run(command: Sequence[str], path: str, *, within_s: float) -> Iterator[Running]:
        port = free_port()
        process = subprocess.Popen(
            [str(port) if part == "PORT" else part for part in command],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + within_s
        try:
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(URLError, ConnectionError):
                    urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
                    break
                time.sleep(0.05)
            yield Running(port, process)
        finally:
            process.kill()
            process.wait()

    return run
