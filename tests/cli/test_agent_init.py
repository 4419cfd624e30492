"""`avalan agent init`: what it asks, where it writes, and that it reads back exactly."""

import io
import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.agent.specification import load_specification
from avalan.cli import main

CAPFD = pytest.CaptureFixture[str]
SEED = ["--name", "Leo Messi", "--engine-uri", "microsoft/Phi-4-mini-instruct"]


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


def answered(words: list[str], answers: str) -> "subprocess.CompletedProcess[bytes]":
    """Run the command where a person types `answers`."""
    leader, follower = pty.openpty()
    os.write(leader, answers.encode())
    command = [sys.executable, "-m", "avalan", "agent", "init", *words]
    try:
        return subprocess.run(command, stdin=follower, capture_output=True, timeout=60)
    finally:
        os.close(follower)
        os.close(leader)


# --- what is asked ------------------------------------------------------------------------------


def test_what_the_options_leave_open_is_asked_for_and_stdout_stays_toml() -> None:
    done = answered(SEED, 'You are Leo Messi, "the greatest".\n\nBe brief.\n')

    assert done.returncode == 0
    assert tomllib.loads(done.stdout.decode()) == {
        "agent": {
            "name": "Leo Messi",
            "role": 'You are Leo Messi, "the greatest".',
            "instructions": "Be brief.",
        },
        "engine": {"uri": "microsoft/Phi-4-mini-instruct"},
        "run": {"use_cache": True, "max_new_tokens": 256, "skip_special_tokens": True},
    }
    asked = done.stderr.decode()
    assert asked.index("Role") < asked.index("Task") < asked.index("Instructions")
    assert "Name" not in asked
    assert "Model" not in asked


def test_everything_is_asked_for_where_nothing_is_given() -> None:
    done = answered([], "Leo\nYou are Leo.\n\n\n\n")

    assert tomllib.loads(done.stdout.decode())["agent"] == {"name": "Leo", "role": "You are Leo."}
    assert tomllib.loads(done.stdout.decode())["engine"] == {"uri": "bundled"}
    assert done.stderr.count(b": ") == 5


def test_the_role_is_asked_for_until_it_is_given() -> None:
    done = answered(SEED, "\n \nYou are Leo.\n\n\n")
    assert tomllib.loads(done.stdout.decode())["agent"]["role"] == "You are Leo."
    asked = done.stderr.decode()
    assert asked.count("Role, who the agent is: The agent needs a role, which says who it is.") == 2
    assert asked.count("Task") == 1


def test_no_role_is_wrong_usage_on_a_terminal_too() -> None:
    done = answered(SEED, "\n\x04\x04\x04")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"The agent needs a role" in done.stderr


def test_a_pipe_is_asked_nothing_and_told_what_is_missing(capfd: CAPFD) -> None:
    assert main(["agent", "init", *SEED]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("The agent needs a role, which says who it is; give it with: avalan ")
    assert err.count("\n") == 1


# --- what is written ----------------------------------------------------------------------------

# What begins with a dash may be an option.
TEXTS = st.text(min_size=1).filter(lambda text: text.strip() and text[0] != "-")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.fixed_dictionaries({"role": TEXTS}, optional={"name": TEXTS, "task": TEXTS}))
def test_any_text_reads_back_exactly(texts: dict[str, str], capfd: CAPFD) -> None:
    capfd.readouterr()
    words = [word for key, text in texts.items() for word in (f"--{key}", text)]
    assert main(["agent", "init", *words]) == 0
    assert tomllib.loads(capfd.readouterr().out)["agent"] == texts


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--no-cache"], {"use_cache": False}),
        (["--no-use-cache"], {"use_cache": False}),
        (["--use-cache"], {"use_cache": True}),
        (["--max-new-tokens", "9"], {"max_new_tokens": 9}),
        (["--skip-special-tokens"], {"skip_special_tokens": True}),
        (["--no-skip-special-tokens"], {"skip_special_tokens": False}),
    ],
)
def test_the_settings_are_those_of_the_options(
    words: list[str], expected: dict[str, Any], capfd: CAPFD
) -> None:
    assert main(["agent", "init", "--role", "R", *words]) == 0
    written = tomllib.loads(capfd.readouterr().out)["run"]
    defaults = {"use_cache": True, "max_new_tokens": 256, "skip_special_tokens": True}
    assert written == defaults | expected


def test_json_is_the_same_table(capfd: CAPFD) -> None:
    assert main(["agent", "init", "--role", "R", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert main(["agent", "init", "--role", "R"]) == 0
    assert document == tomllib.loads(capfd.readouterr().out)


def test_what_is_written_can_be_run(tmp_path: Path, capfd: CAPFD) -> None:
    out = tmp_path / "leo.toml"
    words = ["--role", "You are {{who}}.", "--name", "Leo", "--max-new-tokens", "2"]
    assert main(["agent", "init", *words, "--out", str(out)]) == 0
    assert capfd.readouterr() == ("", f"Wrote {out}; run it with: avalan agent run {out}\n")

    assert load_specification(out).persona.name == "Leo"
    assert main(["agent", "run", str(out), "Hi", "--set", "template.who=Leo"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--role", "R", "--max-new-tokens", "0"], "max_new_tokens is 0"),
        (["--role", "\udcff"], "--role is not UTF-8 text"),
        (["--role", "R", "--engine-uri", "\udcff"], "--engine-uri is not UTF-8 text"),
    ],
)
def test_what_toml_or_a_model_cannot_hold_is_wrong_usage(
    words: list[str], sentence: str, capfd: CAPFD
) -> None:
    assert main(["agent", "init", *words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in err


# --- where it is written ------------------------------------------------------------------------


def test_a_file_is_overwritten_only_by_force(tmp_path: Path, capfd: CAPFD) -> None:
    out = tmp_path / "leo.toml"
    out.write_text("mine")
    words = ["agent", "init", "--role", "R", "--out", str(out)]

    assert main(words) == 1
    assert "There is already a file" in capfd.readouterr().err
    assert out.read_text() == "mine"

    assert main([*words, "--force", "--json"]) == 0
    assert load_specification(out).persona.role == "R"
    assert json.loads(capfd.readouterr().out)["file"] == str(out)


def test_an_existing_file_is_noticed_before_anything_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "leo.toml"
    out.write_text("mine")
    done = answered(["--out", str(out)], "Leo\n")
    assert done.returncode == 1
    assert b"Name" not in done.stderr


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, capfd: CAPFD) -> None:
    for place in (tmp_path / "no" / "leo.toml", tmp_path):
        assert main(["agent", "init", "--role", "R", "--force", "--out", str(place)]) == 1
        err = capfd.readouterr().err
        assert "cannot be written (" in err
        assert err.count("\n") == 1
