"""What `make run` shows, and that what it tells to try next works."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from avalan import cli, state
from avalan.cli import demonstration as demo
from avalan.retrieval.index import SyncIndex
from avalan.retrieval.place import named

ROOT = Path(__file__).parents[2]
CAPFD = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No question from the environment, and all the time that the vectors take."""
    monkeypatch.setattr(demo, "EMBED_S", 60.0)
    monkeypatch.delenv("Q", raising=False)
    monkeypatch.delenv("DOCS", raising=False)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def shown(capfd: CAPFD) -> str:
    assert demo.main() == 0
    output = capfd.readouterr()
    assert output.err == ""
    return output.out


def test_three_questions_are_answered_each_with_its_evidence(shown: str) -> None:
    parts = shown.split("A question ")
    assert len(parts) == 4
    assert [part.partition("\n")[0] for part in parts[1:]] == [
        "that needs a look-up",
        "that needs none",
        "with no answer there",
    ]
    for part in parts[1:]:
        assert " decision  " in part
        assert "┃ " in part
    look_up, known, nowhere = parts[1:]
    assert "when the function definition is executed [1]" in look_up
    assert re.search(r"source .*function\.rst\s+bytes \d+–\d+", look_up)
    assert "look it up" in look_up
    assert "no need to look it up" in known
    assert "I don't know: the documents do not say." in nowhere


def test_every_line_fits_eighty_columns(shown: str) -> None:
    # A source is a whole path, which a person may want to copy.
    lines = [line for line in shown.splitlines() if not line.startswith(" source ")]
    assert [line for line in lines if len(line) > 80] == []


def test_the_three_commands_to_try_next_work(shown: str, capfd: CAPFD) -> None:
    tried = shown.partition("Try next\n")[2].splitlines()
    commands = [shlex.split(line) for line in tried if line.startswith("    ")]
    assert len(commands) == 3
    for program, *words in commands:
        assert program == demo.command()
        assert cli.main(words) == 0
        said = capfd.readouterr()
        assert said.out
        assert "abstained" not in said.out


def test_the_command_is_one_that_a_shell_finds() -> None:
    assert demo.command() == "avalan" or (ROOT / shlex.split(demo.command())[0]).is_file()


def test_a_second_run_writes_and_reads_nothing_again(shown: str, capfd: CAPFD) -> None:
    folder = state.home() / "demo" / "python"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with SyncIndex.open(named("python")) as index:
        passages = index.search("pass statement", mode="lexical")
    assert demo.main() == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    with SyncIndex.open(named("python")) as index:
        assert index.search("pass statement", mode="lexical") == passages


def test_pages_follow_the_text_of_this_python(tmp_path: Path) -> None:
    demo.write_pages(tmp_path, {"pass": "old", "with/../odd name": "kept", "gone": "x"})
    kept = tmp_path / "with____odd_name.rst"
    before = kept.stat().st_mtime_ns

    demo.write_pages(tmp_path, {"pass": "new — text\n", "with/../odd name": "kept"})

    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "pass.rst": "new — text\n",
        "with____odd_name.rst": "kept",
    }
    assert kept.stat().st_mtime_ns == before


def test_your_own_question_over_your_own_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    (tmp_path / "my notes").mkdir()
    (tmp_path / "my notes" / "mill.txt").write_text("--json is printed at the mill.")
    monkeypatch.setenv("DOCS", str(tmp_path / "my notes"))
    monkeypatch.setenv("Q", "--json: where is it printed?")
    assert demo.main() == 0
    assert "answer: at the mill\n" in capfd.readouterr().out
    assert not named("python").exists()


def test_your_own_question_without_documents_asks_the_reference(
    monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setenv("Q", "When are default parameter values evaluated?")
    assert demo.main() == 0
    out = capfd.readouterr().out
    assert "when the function definition is executed" in out
    assert "A question" not in out


def test_a_model_may_be_named(capfd: CAPFD) -> None:
    assert demo.main("nobody/nothing") == 1
    assert "nobody/nothing" in capfd.readouterr().err


def complaint(capfd: CAPFD) -> str:
    assert demo.main() == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_a_python_without_its_reference_text_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert "came without its reference text" in complaint(capfd)


def test_documents_that_are_not_there_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setenv("DOCS", "nowhere")
    monkeypatch.setenv("Q", "Why?")
    assert "There is no file or folder at" in complaint(capfd)


def test_a_state_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "file" / "home"))
    assert "AVALAN_HOME" in complaint(capfd)


def test_an_interruption_ends_quietly(monkeypatch: pytest.MonkeyPatch, capfd: CAPFD) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "topics", interrupted)
    assert demo.main() == 130
    assert capfd.readouterr().err == ""
