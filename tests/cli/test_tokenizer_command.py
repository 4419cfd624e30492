"""`avalan tokenizer`: how a text is read, with tokens added, and what is saved."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from avalan import testing
from avalan.cli import main
from avalan.cli.display.tokenization import counts_text, document
from avalan.model.prompt import load_tokenizer
from avalan.model.tokenization import read_tokens

CAPFD = pytest.CaptureFixture[str]
TOKEN = "<avalan_special_token>"
TEXT = f"is {TOKEN} a special token?"


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_tokenizer(tmp_path_factory.mktemp("pico"), special_tokens=("[X]",))


@pytest.fixture
def run(folder: Path, capfd: CAPFD, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    def act(*words: str, piped: str = "") -> Said:
        stdin = io.TextIOWrapper(io.BytesIO(piped.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        code = main(["tokenizer", "--tokenizer", str(folder), *words])
        return Said(code, *capfd.readouterr())

    return act


def tokens(said: Said) -> list[str]:
    return [token["text"] for token in json.loads(said.out)["tokens"]]


def test_a_text_is_read_from_a_pipe_or_an_argument(run: Callable[..., Said]) -> None:
    piped = json.loads(run("--json", piped="the fox\n").out)
    given = json.loads(run("--json", "the fox").out)
    assert piped == given
    assert "".join(token["text"] for token in given["tokens"]) == "the fox"


def test_an_added_token_comes_out_as_one(run: Callable[..., Said]) -> None:
    assert TOKEN not in tokens(run("--json", piped=TEXT))
    said = run("--json", "--token", TOKEN, "--token", "other", piped=TEXT)
    assert TOKEN in tokens(said)
    assert json.loads(said.out)["added"] == {TOKEN: 384, "other": 385}
    kinds = {t["text"]: t["kind"] for t in json.loads(said.out)["tokens"]}
    assert kinds[TOKEN] == "added"


def test_an_added_control_token_is_told_apart(run: Callable[..., Said]) -> None:
    rows = json.loads(run("--json", "--special-token", TOKEN, piped=TEXT).out)["tokens"]
    assert {row["text"]: row["kind"] for row in rows}[TOKEN] == "special"


def test_a_saved_tokenizer_is_used_by_its_folder(run: Callable[..., Said], tmp_path: Path) -> None:
    place = str(tmp_path / "my_custom_tokenizer")
    said = run("--token", TOKEN, "--save", place)
    assert (said.code, said.out) == (0, "")
    assert f"avalan tokenizer --tokenizer {place}" in said.err
    assert TOKEN in tokens(run("--json", "--tokenizer", place, piped=TEXT))
    file = str(Path(place) / "tokenizer.json")
    assert TOKEN in tokens(run("--json", "--tokenizer", file, piped=TEXT))


def test_a_text_is_read_and_the_tokenizer_saved_at_once(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    place = str(tmp_path / "new")
    said = json.loads(run("--json", "--token", TOKEN, "--save", place, piped=TEXT).out)
    assert (said["saved"], said["vocab_size"]) == (place, 385)
    assert (tmp_path / "new" / "tokenizer.json").is_file()


def test_a_pipe_gets_a_table_with_the_white_space_as_signs(run: Callable[..., Said]) -> None:
    said = run("--token", "\x1b[2J", piped="the \x1b[2J\nfox")
    assert "\x1b" not in said.out
    assert [line.split()[-1] for line in said.out.splitlines()][:4] == ["text", "t", "he", "␣"]
    assert "␛[2J" in said.out
    assert "↵" in said.out
    assert " added\x20" in said.out


def test_the_counts_are_a_remark(run: Callable[..., Said]) -> None:
    assert run("the fox [X]").err.startswith("6 tokens (1 special) · 11 characters · 1.8 ")
    assert run("--quiet", "the fox").err == ""


def test_characters_per_token_counts_tokens_of_the_text(folder: Path) -> None:
    found = read_tokens(load_tokenizer(folder), "a")
    assert counts_text(found, "a") == "1 token · 1 character · 1.0 characters per token"
    added = replace(found[0], kind="special", start=0, end=0)
    assert document([added, *found, added], "a")["characters_per_token"] == 1.0
    assert document([added], "")["characters_per_token"] is None
    assert counts_text([], "") == "0 tokens · 0 characters"


def test_a_terminal_gets_boxes_told_apart_by_shape(folder: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "avalan", "tokenizer", "-t", str(folder)]
    command += ["--token", TOKEN, f"{TEXT} [X]"]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    try:
        while more := os.read(leader, 65536):
            shown += more
    except OSError:  # The other end is closed.
        pass
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert process.wait(timeout=30) == 0
    assert f"┃ {TOKEN} ┃" in text
    assert "║ [X] ║" in text
    assert "│ ␣a │" in text
    assert "━384━" in text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([""], 2, "text is empty"),
        ([], 2, "text is empty"),
        (["x", "--token", ""], 2, "--token is empty"),
        (["x", "--special-token", ""], 2, "--special-token is empty"),
        (["x", "--tokenizer", "./nowhere"], 1, "no tokenizer './nowhere'"),
        (["x", "--tokenizer", "rules"], 1, "not a language model"),
        (["x", "--tokenizer", "{here}"], 1, "has no tokenizer.json"),
        (["x", "--tokenizer", "{here}/broken"], 1, "cannot be read"),
        (["--save", "{here}"], 2, "holds other files (broken)"),
        (["--save", "{here}/broken/tokenizer.json"], 2, "is a file"),
        (["--save", "/proc/x"], 1, "cannot be saved"),
        (["x", "--tokenizer", "owner/name"], 1, "cannot be downloaded"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Callable[..., Said], tmp_path: Path, words: list[str], code: int, sentence: str
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    said = run(*(word.format(here=tmp_path) for word in words))
    assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
    assert sentence in said.err
