"""`model run` under constraints, and with many prompts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avalan.cli import main

pytest.importorskip("llguidance", reason="constraints need llguidance")
CAPFD = pytest.CaptureFixture[str]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "Who are you?"}, {"prompt": 5}, {"question": "x"}, {"prompt": "Hello"}]
    last = json.dumps({"prompt": "What is the capital of France?"})
    lines = [*map(json.dumps, rows), "not json", "", last]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_an_answer_says_which_constraint_was_kept_by_whom(capfd: CAPFD, tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    schema.write_text('{"type": "object", "properties": {"a": {"enum": [1, 2]}}, '
                      '"required": ["a"], "additionalProperties": false}')  # fmt: skip
    words = ["model", "run", "bundled", "Count.", "--schema", str(schema)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert json.loads(found["text"])["a"] in (1, 2)
    assert (found["constraint"], found["enforced_by"]) == ("schema", "llguidance")
    assert main(words) == 0
    assert "schema kept by llguidance" in capfd.readouterr().err


def test_an_answer_cut_short_is_no_success(capfd: CAPFD) -> None:
    words = ["model", "run", "bundled", "Hi", "--regex", "[ab]{40}", "--max-new-tokens", "3"]
    assert main(words) == 1
    out, err = capfd.readouterr()
    assert out
    assert "before the pattern that it was to follow was whole" in err


def test_why_an_answer_is_cut_short_begins_a_line() -> None:
    command = [sys.executable, "-m", "avalan", "model", "run", "bundled", "Hi"]
    command += ["--regex", "[ab]{40}", "--max-new-tokens", "3"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert re.match(rb"[ab]+\nThe answer ended", done.stdout)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--regex", "(a"], "pattern cannot be enforced (unclosed group)"),
        (["--choice", "a", "--regex", "b"], "regex, choices"),
        (["--choice", ""], "--choice is empty"),
        (["--schema", "nowhere.json"], "--schema nowhere.json"),
        (["--prompts", "x.jsonl", "--batch-size", "0"], "from 1 to 1024"),
        (["--prompts", "x.jsonl", "--display-tokens"], "leave the prompt"),
    ],
)
def test_what_cannot_be_kept_is_wrong_usage(capfd: CAPFD, words: list[str], complaint: str) -> None:
    prompt = [] if "--prompts" in words else ["Hi"]
    assert main(["model", "run", "bundled", *prompt, *words]) == 2
    assert complaint in capfd.readouterr().err


def test_a_schema_that_is_no_json_is_one_sentence(capfd: CAPFD, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{")
    assert main(["model", "run", "bundled", "Hi", "--schema", str(tmp_path / "s.json")]) == 2
    assert "is no file with a JSON schema" in capfd.readouterr().err


def test_every_line_gets_its_answer_or_its_error_in_order(capfd: CAPFD, prompts: Path) -> None:
    assert main(["model", "run", "bundled", "--prompts", str(prompts)]) == 1
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row.get("line") for row in rows] == [None, 2, 3, None, 5, None]
    assert rows[0]["text"] == "I am avalan, a small local assistant."
    assert rows[5]["text"] == "Paris"
    assert "no prompt" in rows[1]["error"]
    assert "not JSON" in rows[4]["error"]


def test_two_hundred_prompts_of_which_three_are_malformed(capfd: CAPFD, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"What is {i} + 1?"}) for i in range(200)]
    for bad in (7, 80, 199):
        lines[bad] = "{"
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    words = ["--prompts", str(tmp_path / "p.jsonl"), "--max-new-tokens", "4"]
    assert main(["model", "run", "bundled", *words]) == 1
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [i for i, row in enumerate(rows) if "error" in row] == [7, 80, 199]
    assert all(row["prompt"] == f"What is {i} + 1?" for i, row in enumerate(rows) if "text" in row)


def test_a_key_is_never_shown(capfd: CAPFD) -> None:
    for words in (["--json"], [], ["--verbose"]):
        assert main(["model", "run", "ai://sk-secret@local:9/m", "Hi", *words]) == 1
        out, err = capfd.readouterr()
        assert "sk-secret" not in out + err
        assert "Nobody answers" in err
