"""`avalan cache serve`: the models on this disk, for other machines."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from avalan.cli import main
from avalan.cli.commands.cache_serve import _own_address, _reporter
from avalan.cli.console import Console
from avalan.hub.server import Served
from avalan.testing import LocalHub

CAPFD = pytest.CaptureFixture[str]
GATED = "---\nextra_gated_prompt: Do you agree?\n---\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for name, card in (("org--model", "# card"), ("org--gated", GATED)):
        snapshot = tmp_path / "cache" / f"models--{name}" / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "README.md").write_text(card)
        refs = snapshot.parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text("a" * 40)
    return tmp_path / "cache"


@contextmanager
def serving(cache: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "avalan", "cache", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--cache-dir", str(cache), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_it_serves_until_interrupted_and_says_how_to_use_it(cache: Path) -> None:
    with serving(cache, "--verbose") as process:
        line = read(process)
        match = re.fullmatch(r"export HF_ENDPOINT=(http://127\.0\.0\.1:\d+)\n", line)
        assert match is not None
        found = json.load(urlopen(f"{match[1]}/api/models", timeout=10))
        assert urlopen(f"{match[1]}/org/model/resolve/main/README.md", timeout=10).read()
        assert process.stderr is not None
        err = ""
        while "README.md" not in err:  # It is reported once it is sent.
            err += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=20)
        err += rest

    assert [each["id"] for each in found] == ["org/model"]
    assert (process.returncode, out) == (130, "")
    assert "Serving 1 model (0 B)" in err
    assert "Only this machine can reach it" in err
    assert "Left out, since their cards say that they are gated: org/gated" in err
    assert "127.0.0.1 200 GET org/model README.md 6 B\n" in err
    assert "Traceback" not in err


def test_the_whole_network_is_let_in_with_a_sentence(cache: Path) -> None:
    with serving(cache, "--host", "0.0.0.0", "--gated", "--json") as process:
        told = json.loads(read(process))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert told["models"] == ["org/gated", "org/model"]
    assert told["left_out"] == []
    assert not told["url"].startswith("http://0.0.0.0")
    assert err.endswith("Everyone on this network can read these models.\n")
    assert "Left out" not in err


def serve(cache: Path, *options: str) -> int:
    return main(["cache", "serve", "--cache-dir", str(cache), *options])


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--port", "70000"], 2, "--port 70000 is no port; choose one from 0 to 65535."),
        (["--host", "no.such.host.invalid"], 1, "There is no host 'no.such.host.invalid'; give"),
        (["--host", "192.0.2.1"], 1, "on 192.0.2.1 is not this machine's; give one that is"),
        (["--model", "org/none"], 1, "holds no model 'org/none'; `avalan` shows what is on disk."),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    cache: Path, capfd: CAPFD, options: list[str], code: int, sentence: str
) -> None:
    assert serve(cache, *options) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_no_cache_is_one_sentence(tmp_path: Path, capfd: CAPFD) -> None:
    assert serve(tmp_path / "absent") == 1
    assert "so there is nothing to serve; download a model first" in capfd.readouterr().err


def test_a_taken_port_is_one_sentence_that_names_another(
    cache: Path, capfd: CAPFD, local_hub: LocalHub
) -> None:
    port = int(local_hub.url.rpartition(":")[2])
    assert serve(cache, "--port", str(port)) == 1
    assert capfd.readouterr().err == (
        f"Another program listens on port {port} on 127.0.0.1; end it, or choose another port, "
        f"for example: --port {port + 1}\n"
    )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="only users without rights")
def test_a_port_of_the_system_is_refused_with_the_reason(cache: Path, capfd: CAPFD) -> None:
    assert serve(cache, "--port", "1") == 1
    assert "(Permission denied); choose another --host or --port." in capfd.readouterr().err


def test_a_request_is_one_line_of_plain_text(capfd: CAPFD) -> None:
    report = _reporter(Console(verbose=True))
    report(
        Served(
            client="127.0.0.1",
            method="GET",
            target="/a/b/resolve/main/x%0A%1B",
            status=404,
            num_bytes=22,
            repository="a/b",
            file="x\n127.0.0.1 200 GET\x1b[2J",
        )
    )
    err = capfd.readouterr().err
    assert err == "127.0.0.1 404 GET a/b x␊127.0.0.1 200 GET␛[2J 22 B\n"


def test_the_own_address_is_no_wildcard() -> None:
    assert _own_address(2) not in ("0.0.0.0", "127.0.0.1", "")
