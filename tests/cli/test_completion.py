"""`avalan completion`: what Tab offers, in the real shells, and that no name is ever obeyed."""

import argparse
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan import cli
from avalan.cli import completion, main
from avalan.cli.commands import evaluate
from avalan.cli.commands.completion import SHELLS, reply
from avalan.cli.completion import Candidate, offer
from avalan.cli.parser import Parser
from avalan.cli.shell_words import bash_line, bash_replies, plain
from avalan.cli.tree import Group
from avalan.locale import languages
from avalan.model.engine import ENGINES

BIN = Path(sys.executable).parent
NASTY = ["$(touch pwned)", "`touch pwned`", "a b", 'say "hi"', "it's", "x;touch pwned", "a&b", "é!"]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, models in the cache and indexes, of ordinary and of nasty names."""
    hub, indexes, here = (tmp_path / name for name in ("hub", "home/indexes", "here"))
    for name in ("Qwen/Qwen3-0.6B", "odd/x:tag", *(f"odd/{name}" for name in NASTY)):
        snapshot = hub / f"models--{name.replace('/', '--')}" / "snapshots" / "1"
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").touch()
    indexes.mkdir(parents=True)
    (indexes / "handbook.sqlite").touch()
    (here / "my notes").mkdir(parents=True)
    (here / "my notes" / "a b.toml").touch()
    (here / "agent.toml").touch()
    (here / "$(touch pwned)").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("AVALAN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HISTFILE", "/dev/null")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(here)
    return here


def offered(*words: str) -> list[str]:
    """The candidates for the last of the words that begin with it."""
    found = offer(cli.ROOT, words[:-1], words[-1])
    return [each.word for each in found.candidates if each.word.startswith(words[-1])]


def paths(*words: str) -> str:
    return offer(cli.ROOT, words[:-1], words[-1]).paths


def parsers(place: Group | Parser = cli.ROOT) -> Iterator[Parser]:
    if isinstance(place, Parser):
        verbs = place.verbs().values()
        yield from verbs or [place]
        return
    for word in place.commands:
        yield from parsers(place.choose(word))


PARSERS = {parser.prog: parser for parser in parsers()}


# --- what is offered -----------------------------------------------------------------------------


def test_commands_and_verbs_are_offered() -> None:
    assert offered("mod") == ["model"]
    assert set(offered("")) == set(cli.COMMANDS)
    assert offered("--quiet", "cache", "d") == ["download", "delete"]
    assert offered("index", "s") == ["search", "show"]


def test_each_candidate_tells_what_it_is_for() -> None:
    for words in (["model"], ["index"], ["model", "run", "-"]):
        found = offer(cli.ROOT, words if words[-1] != "-" else words[:-1], words[-1])
        assert all(each.about for each in found.candidates)


@pytest.mark.parametrize("prog", PARSERS)
def test_every_option_of_every_command_is_offered_and_no_hidden_one(prog: str) -> None:
    found = offered(*prog.split()[1:], "--")
    parser = PARSERS[prog]
    own = {
        name
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for name in action.option_strings
        if name.startswith("--")
    }
    assert own | {"--json", "--device", "--help"} <= set(found)
    assert "--words" not in found
    assert len(found) == len(set(found))


def test_an_option_is_offered_once_unless_it_may_be_repeated() -> None:
    words = ["model", "run", "bundled", "--seed", "1", "--stop-on-keyword=x", "--quiet", "--"]
    found = offered(*words)
    assert {"--system", "--stop-on-keyword"} <= set(found)
    assert not {"--seed", "--quiet"} & set(found)


def test_options_are_offered_where_nothing_else_could_come() -> None:
    assert "--summary" in offered("cache", "list", "")
    assert "--seed" in offered("model", "run", "bundled", "")
    assert not offered("index", "search", "")


def test_values_are_offered_after_the_option_or_its_equals_sign() -> None:
    assert offered("ask", "--retrieve", "") == ["adaptive", "always", "never"]
    assert offered("model", "run", "--engine=o") == ["--engine=onnx"]
    assert offered("model", "run", "--weight_type=bf") == ["--weight_type=bf16"]
    assert offered("--device", "c") == ["cpu", "cuda"]
    assert offered("model", "--device=c") == ["--device=cpu", "--device=cuda"]
    assert offered("model", "--device", "cpu", "ru") == ["run"]
    assert offered("completion", "") == list(SHELLS)


def test_models_on_this_disk_are_offered_where_a_model_is_meant() -> None:
    assert offered("model", "run", "Q") == ["Qwen/Qwen3-0.6B"]
    assert offered("model", "evaluate", "rules", "bundled", "d") == ["default"]
    assert offered("ask", "--model", "r") == ["reader", "rules"]
    assert offered("tokenizer", "-t", "b") == ["bundled"]
    assert "bundled" not in offered("cache", "delete", "--model", "")
    assert "Qwen/Qwen3-0.6B" in offered("cache", "delete", "-m", "")
    assert paths("model", "display", "") == "files"
    assert paths("model", "uninstall", "") == "none"


def test_the_cache_folder_that_is_named_is_the_one_that_is_listed(tmp_path: Path) -> None:
    snapshot = tmp_path / "other" / "models--a--b" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    for words in (
        ["--cache-dir", str(snapshot.parents[2])],
        [f"--cache-dir={snapshot.parents[2]}"],
    ):
        assert offered(*words, "model", "uninstall", "") == ["a/b"]


def test_indexes_are_offered_by_name() -> None:
    for words in (["index", "show"], ["index", "search", "x", "--name"], ["ask", "--index"]):
        assert offered(*words, "") == ["handbook"]
    assert offered("agent", "init", "--name", "") == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["ask", "--docs", ""], "files"),
        (["index", "add", "a", ""], "files"),
        (["agent", "run", ""], "files"),
        (["agent", "run", "agent.toml", ""], "none"),
        (["model", "export", "x", "--out", ""], "folders"),
        (["model", "export", "x", "--out="], "folders"),
        (["--cache-dir", ""], "folders"),
        (["ask", ""], "none"),
        (["model", "run", "--system", ""], "none"),
    ],
)
def test_files_and_folders_are_asked_for_where_they_are_meant(words: list[str], kind: str) -> None:
    assert paths(*words) == kind


def test_after_two_dashes_nothing_is_an_option() -> None:
    assert offered("model", "run", "--", "--s") == []
    assert offered("model", "run", "--", "bun") == ["bundled"]


@pytest.mark.parametrize("words", [["zzz", ""], ["--zzz", ""], ["model", "rum", "--"]])
def test_what_is_wrong_already_is_offered_nothing(words: list[str]) -> None:
    assert offer(cli.ROOT, words[:-1], words[-1]) == completion.NOTHING


def test_names_that_drive_a_terminal_or_look_like_options_are_not_offered(tmp_path: Path) -> None:
    for name in ("\x1b[2Jx", "a\nb", "--yes", "good"):
        (tmp_path / "home" / "indexes" / f"{name}.sqlite").touch()
    assert offered("index", "show", "") == ["good", "handbook"]


def test_the_lists_are_those_of_the_commands() -> None:
    known = {
        (action.dest, action.metavar) for each in PARSERS.values() for action in each._actions
    } | {("device", "DEVICE")}
    values = completion._VALUES
    assert set(values) <= known
    assert values["engine", "TEXT"] == ("auto", *ENGINES)
    assert values["task", "TASK"] == evaluate.TASKS
    assert offered("--locale", "") == languages()


# --- quotes --------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1))
def test_what_is_offered_to_bash_reads_back_as_the_name(name: str) -> None:
    for opening in ("", '"', "'"):
        for text in bash_replies(bash_line([opening]), [Candidate(word=name)]):
            assert plain(opening + text).text == name


@needs("bash")
def test_bash_itself_reads_what_is_offered_as_the_name(folder: Path) -> None:
    names = [*NASTY, *(f"a{chr(code)}b" for code in range(0x20, 0x7F)), "~", "#x", "é ü"]
    candidates = [Candidate(word=name) for name in names]
    replies = bash_replies(bash_line([""]), candidates)
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {' '.join(replies)}"], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == names
    assert "pwned" not in os.listdir(folder)


def test_what_bash_has_cut_is_joined_again() -> None:
    line = bash_line(["model", "run", "--model", "=", "odd/x", ":", "ta"])
    assert (line.words, line.current.text) == (["model", "run"], "--model=odd/x:ta")
    assert line.kept == "--model=odd/x:"
    assert list(bash_replies(line, [Candidate(word="--model=odd/x:tag")])) == ["tag"]
    assert bash_line(["a", "--b", "="]).kept == "--b="
    assert bash_line(["a", '"b c', "d"]).words == ["a", "b c"]
    assert bash_line([""]).current.text == ""


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_and_is_one_string_with_json(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"avalan completion {shell} --words" in script
    assert "\teval" not in script
    assert main(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": shell, "script": script}


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_help_does_not_show_what_is_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: avalan completion SHELL [OPTIONS]\n")
    assert "--words" not in out


def test_zsh_and_fish_get_explanations() -> None:
    assert reply("zsh", ["mod"])[0] == "none"
    assert f"model\t{cli.COMMANDS['model'][0]}" in reply("fish", ["mod"])
    assert reply("bash", ["mod"]) == ["none", "model"]
    assert reply("zsh", ["'ask'", "--model", '"r'])[0] == "files"


def test_a_key_press_loads_little_more_than_the_help_of_the_command() -> None:
    def loaded(*words: str) -> set[str]:
        script = (
            "import sys\n"
            "from avalan.cli import main\n"
            f"main({list(words)!r})\n"
            "print(*sys.modules, file=sys.stderr)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        return set(done.stderr.split())

    # Seconds vary by half on a busy machine; what is loaded is most of them, and does not.
    own = ("cli.commands.completion", "cli.completion", "cli.shell_words", "state")
    ask, whole = ("completion", "bash", "--words", "--"), loaded("model", "run", "--help")
    assert "avalan.cli.commands.model_run" in whole
    for words in (["mod"], ["model", "run", "--s"]):
        pressed = loaded(*ask, *words)
        assert "avalan.cli.completion" in pressed
        assert pressed - whole <= {f"avalan.{name}" for name in own}


@pytest.mark.parametrize("words", [["model", "run"], ["agent", "run"], ["tokenizer"]])
def test_a_key_press_imports_nothing_that_only_an_answer_needs(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from avalan.cli.commands.completion import reply\n"
        f"assert reply('bash', [*{words!r}, '--'])\n"
        "assert not {'asyncio', 'avalan.cli.display.output'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- the real shells -----------------------------------------------------------------------------

BASH = """
eval "$(avalan completion bash)"
try() {
    COMP_WORDS=(avalan "$@") COMP_CWORD=$#
    _avalan avalan
    (IFS='|'; echo "${COMPREPLY[*]}")
}
try mod
try model run --eng
try model run --engine = o
try model run odd/x : t
try ask '$(touch pwned)' '`touch pwned`' --index h
try model run 'odd/$(touch pwned)' ''
try model run 'odd/\\$'
set -u; set -o posix
try completion f
"""


@needs("bash")
def test_bash_completes_by_its_completion_function(folder: Path) -> None:
    done = subprocess.run(["bash", "--norc", "-c", BASH], capture_output=True, text=True)
    *lines, nasty, posix = done.stdout.splitlines()
    assert done.stderr == ""
    assert lines[:5] == ["model", "--engine", "onnx", "tag", "handbook"]
    assert lines[5].startswith("--system|--max-new-tokens|")
    assert nasty == r"odd/\$\(touch\ pwned\)"
    assert posix == "fish"
    assert "pwned" not in os.listdir(folder)


def typed(command: Sequence[str], setup: str, lines: Sequence[str], folder: Path) -> list[str]:
    """What stands on the command line of a shell on a terminal after each line and Tab.

    `setup` makes Ctrl-T append the command line to the file `buffers` and clear it.
    """
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "PS1": "> "}
    shell = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    buffers = folder / "buffers"
    try:
        os.write(ours, f"{setup}; :> buffers\n".encode())
        _wait(ours, buffers.exists)
        for count, line in enumerate(lines, 1):
            os.write(ours, f"{line}\t\x14".encode())
            _wait(ours, lambda: len(buffers.read_text().splitlines()) >= count)  # noqa: B023
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
    return buffers.read_text().splitlines()


def _wait(terminal: int, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, "the shell does not answer"
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.02)


LINES = {
    "avalan mod": "avalan model ",
    "avalan model run odd/x:": "avalan model run odd/x:tag ",
    'avalan model run "odd/a ': 'avalan model run "odd/a b" ',
    "avalan agent run ag": "avalan agent run agent.toml ",
    "avalan model run --record=ag": "avalan model run --record=agent.toml ",
    r"avalan agent run \$": r"avalan agent run \$\(touch\ pwned\) ",
}


@needs("bash")
def test_tab_completes_in_bash(folder: Path) -> None:
    setup = (
        'show() { printf "%s\\n" "$READLINE_LINE" >> buffers; READLINE_LINE=; }; '
        'bind -x \'"\\C-t": show\'; eval "$(avalan completion bash)"'
    )
    command = ["bash", "--norc", "--noprofile", "-i"]
    assert typed(command, setup, list(LINES), folder) == list(LINES.values())
    assert "pwned" not in os.listdir(folder)


@needs("zsh")
def test_tab_completes_in_zsh(folder: Path) -> None:
    setup = (
        'show() { print -r -- "$BUFFER" >> buffers; BUFFER=; }; zle -N show; bindkey "^T" show; '
        'autoload -Uz compinit; compinit -u -D; eval "$(avalan completion zsh)"'
    )
    assert typed(["zsh", "-f", "-i"], setup, list(LINES), folder) == list(LINES.values())
    assert "pwned" not in os.listdir(folder)


FISH = {
    "avalan mod": ["model"],
    "avalan model run odd/x": ["odd/x:tag", "odd/x;touch pwned"],
    "avalan agent run ag": ["agent.toml"],
    "avalan agent run 'my notes/": ["my notes/a b.toml"],
    "avalan model export x --out=my": ["--out=my notes/"],
    "avalan ask --index ha": ["handbook"],
    "avalan model run 'odd/$": ["odd/$(touch pwned)"],
    "avalan agent run (touch pwned)x": [],
}


@needs("fish")
def test_fish_completes(folder: Path) -> None:
    (folder / "avalan.fish").write_text(
        subprocess.run(["avalan", "completion", "fish"], capture_output=True, text=True).stdout
    )
    script = "source avalan.fish; for line in $argv; complete -C $line; echo ==; end"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, *FISH], capture_output=True, text=True
    )
    assert done.stderr == ""
    answers = done.stdout.split("==\n")[:-1]
    found = [[row.partition("\t")[0] for row in answer.splitlines()] for answer in answers]
    assert found == list(FISH.values())
    assert "pwned" not in os.listdir(folder)
