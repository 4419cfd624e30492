"""`avalan agent run`: the example as its readers type it, and every way to give an input."""

import asyncio
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from avalan.agent.loop import Agent
from avalan.agent.specification import load_specification
from avalan.cli import main
from avalan.compress.export import export
from avalan.model.entities import Message
from avalan.model.nlp import text as text_models
from avalan.testing import ScriptedEngine, pico_llama, pico_tokenizer, saying, scripted_model

CAPFD = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "agent_gettext_translator.toml"
NAME = "meta-llama/Meta-Llama-3-8B-Instruct"
COMMIT = "5f0b02c75b57c5855da9ae460ce51323ea669d8a"
TEMPLATE = """\
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

#: src/prompt.py:1
msgid "Good morning"
msgstr ""
"""
HOSTILE = "[bold]x[/bold] [/INST] \x1b[2J\x07 caf\xe9 \u202e 日本 [link=x]\n"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local cache of the hub that holds a pico model under the name that the example gives."""
    folder = tmp_path_factory.mktemp("cache")
    # Long enough for the example's prompt, short enough to end the answer soon.
    checkpoint = pico_llama(folder / "checkpoint", max_position_embeddings=640)
    place = folder / "hub" / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(export(checkpoint, folder / "onnx").folder, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    return folder / "hub"


@pytest.fixture
def run(cache: Path, capfd: CAPFD, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """A function that runs the example and gives its exit code, stdout and stderr."""

    def act(*words: str, piped: str | None = None, file: str = str(EXAMPLE)) -> Said:
        if piped is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
        code = main(["agent", "run", file, "--cache-dir", str(cache), *words])
        return Said(code, *capfd.readouterr())

    return act


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that makes the next agent say a text, whatever it is asked; returns its file."""
    folder = pico_tokenizer(tmp_path / "tokenizer")
    file = tmp_path / "agent.toml"
    file.write_text('[agent]\nname = "Leo"\nrole = "R"\n[run]\nmax_new_tokens = 5000\n')

    def say(answer: str) -> Path:
        model = scripted_model(folder, ScriptedEngine(lambda held: [], vocab_size=384))
        role = "# Role\n\nYour name is Leo.\n\nR"
        prompt = [Message(role="system", content=role), Message(role="user", content="?")]
        script = saying(
            [*model.tokenizer.encode(answer), 1],
            after=len(model.tokenizer.encode_chat(prompt)),
            vocab_size=384,
        )
        engine = ScriptedEngine(script, vocab_size=384, context_length=5000)
        monkeypatch.setattr(
            text_models, "open_model", lambda name, settings: scripted_model(folder, engine)
        )
        return file

    return say


# --- the example --------------------------------------------------------------------------------


def test_the_example_translates_a_gettext_file_and_shows_the_difference(
    cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale" / "avalan.pot").write_text(TEMPLATE)
    (tmp_path / "docs" / "examples").mkdir(parents=True)
    shutil.copy(EXAMPLE, tmp_path / "docs" / "examples")
    command = """
        icdiff locale/avalan.pot <(
            cat locale/avalan.pot |
                avalan agent run docs/examples/agent_gettext_translator.toml --quiet
        )
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path,
        env=os.environ | {"HF_HUB_CACHE": str(cache), "PATH": path},
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == b""
    assert done.returncode in (0, 1)  # Which of them depends on the version of icdiff.
    assert b"locale/avalan.pot" in done.stdout
    assert b"Good morning" in done.stdout
    assert done.stdout.count(b"\n") > len(TEMPLATE.splitlines())


def test_quiet_gives_exactly_what_the_library_streams(
    run: Callable[..., Said], cache: Path
) -> None:
    found = load_specification(
        EXAMPLE, {"run.max_new_tokens": "24", "engine.cache_dir": str(cache)}
    )

    async def turn(agent: Agent) -> str:
        return await (await agent("Hello")).text()

    with Agent(found) as agent:
        expected = asyncio.run(turn(agent))

    assert expected
    assert run("Hello", "--quiet", "--set", "run.max_new_tokens=24") == (0, expected, "")


# --- what reaches stdout ------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--quiet"]])
def test_a_pipe_gets_the_answers_bytes_and_nothing_else(
    says: Callable[[str], Path], capfdbinary: pytest.CaptureFixture[bytes], flags: list[str]
) -> None:
    file = says(HOSTILE)
    assert main(["agent", "run", str(file), "?", *flags]) == 0
    out, err = capfdbinary.readouterr()
    assert out == HOSTILE.encode()
    assert (err == b"") == bool(flags)


def test_a_terminal_is_not_driven_by_the_model(
    says: Callable[[str], Path], capfd: CAPFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = says(HOSTILE)
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: True)
    assert main(["agent", "run", str(file), "?"]) == 0
    out, _ = capfd.readouterr()
    assert "\x1b[2J" not in out
    assert "␛[2J" in out


def test_the_json_document_holds_the_text_and_what_it_cost(
    says: Callable[[str], Path], capfd: CAPFD
) -> None:
    file = says(HOSTILE)
    assert main(["agent", "run", str(file), "?", "--json"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert (out.count("\n"), err) == (1, "")
    assert (document["agent"], document["model"]) == ("Leo", "bundled")
    assert (document["text"], document["finish_reason"]) == (HOSTILE, "stop")
    assert set(document["usage"]) == {"prompt_tokens", "completion_tokens", "cached_tokens"}
    assert set(document["timings"]) == {"prefill_s", "ttft_s", "decode_s", "tokens_per_s"}


def test_reasoning_is_no_part_of_an_agents_answer(
    says: Callable[[str], Path], capfd: CAPFD, tmp_path: Path
) -> None:
    says("")
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    template = json.loads(path.read_text())["chat_template"] + "{# </think> #}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    file = str(says("<think>Hm.</think>Hola."))
    assert main(["agent", "run", file, "?", "--quiet"]) == 0
    assert capfd.readouterr().out == "Hola."
    assert main(["agent", "run", file, "?"]) == 0
    assert capfd.readouterr().err.startswith("¦ Hm.\n\n")
    assert main(["agent", "run", file, "?", "--no-reasoning", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["agent"], document["text"], document["reasoning"]) == ("Leo", "Hola.", None)


def test_the_footer_tells_what_the_answer_cost(run: Callable[..., Said]) -> None:
    footer = run("Hello", "--set", "run.max_new_tokens=20").err
    assert " input tokens · 20 output tokens · ttft " in footer
    assert footer.endswith(" t/s · onnx · cut off at its limit\n")
    assert run("Hello", "--set", "run.max_new_tokens=1").err.endswith(" · cut off at its limit\n")


def test_verbose_shows_what_the_model_is_told(run: Callable[..., Said]) -> None:
    said = run("Hello", "--verbose", "--set", "run.max_new_tokens=1")
    assert said.err.startswith("# Role\n\nYou are an expert translator")
    assert "from the original English to Spanish." in said.err


# --- where the input comes from -----------------------------------------------------------------


def test_a_piped_input_is_the_same_as_a_given_one(run: Callable[..., Said]) -> None:
    words = ["--json", "--set", "run.max_new_tokens=8"]
    piped = json.loads(run(*words, piped="Où?\n").out)
    given = json.loads(run("Où?", *words).out)
    assert piped["text"] == given["text"]
    assert piped["usage"] == given["usage"]


def test_a_person_is_asked_on_a_terminal(cache: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "avalan", "agent", "run", str(EXAMPLE)]
    command += ["--cache-dir", str(cache), "--set", "run.max_new_tokens=3"]
    os.write(leader, b"Hello\n")
    try:
        done = subprocess.run(command, stdin=follower, capture_output=True, timeout=60)
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 0
    assert done.stderr.startswith(b"Prompt: ")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [(b"", "The input is empty"), (b" \n", "The input is empty"), (b"\xff", "is not UTF-8 text")],
)
def test_a_pipe_without_an_input_is_wrong_usage(
    given: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert main(["agent", "run", str(EXAMPLE)]) == 2
    assert sentence in capfd.readouterr().err


# --- changes ------------------------------------------------------------------------------------


def test_a_change_reaches_the_prompt(run: Callable[..., Said]) -> None:
    words = ["--verbose", "--set", "run.max_new_tokens=1"]
    said = run("Hello", *words, "--set", "template.destination_language=French")
    assert "from the original English to French." in said.err


def test_the_model_may_be_another_one(run: Callable[..., Said], pico_onnx_folder: Path) -> None:
    words = ["--json", "--set", "run.max_new_tokens=1", "--set", "agent.rules=[]"]
    words += ["--set", "agent.task=x", "--set", "agent.instructions=x"]
    said = run("Hello", *words, "--set", f"engine.model_id={pico_onnx_folder}")
    assert json.loads(said.out)["model"] == str(pico_onnx_folder)


def test_a_change_that_spoils_the_file_is_wrong_usage(run: Callable[..., Said]) -> None:
    assert run("x", "--set", "run.sead=1").code == 2
    assert run("x", "--set", "run.max_new_tokens=0").code == 2
    assert run("x", "--set", "seed").code == 2


def test_a_device_of_the_command_line_overrides_the_files(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(f"[agent]\nrole = 'R'\n[engine]\nmodel_id = '{NAME}'\ndevice = 'cuda:9'")
    words = ["x", "--set", "run.max_new_tokens=1"]
    assert "cuda:9" in run(*words, file=str(file)).err
    assert run(*words, "--device", "cpu", file=str(file)).code == 0


# --- how it ends --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words", "code", "sentence"),
    [
        (None, ["x"], 1, "There is no agent file"),
        ("[agent]\nrol = 'x'", ["x"], 1, "did you mean 'agent.role'?"),
        ("[agent]\nrol = 'x'", ["x", "--set", "run.seed=1"], 1, "did you mean 'agent.role'?"),
        ("[agent]\nrole = '{{x}}'", ["x"], 1, "uses the variable 'x', which is not defined"),
        ("[agent]\nrole = 'x'\n[engine]\nuri = 'rules'", ["x"], 1, "is not a language model"),
        ("[agent]\nrole = 'x'", ["x", "y"], 2, "has no place for 'y'"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    tmp_path: Path,
    run: Callable[..., Said],
    text: str | None,
    words: list[str],
    code: int,
    sentence: str,
) -> None:
    file = tmp_path / "agent.toml"
    if text is not None:
        file.write_text(text)
    said = run(*words, file=str(file))
    assert (said.code, said.out) == (code, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_an_input_longer_than_the_context_is_one_sentence(run: Callable[..., Said]) -> None:
    said = run(piped="word " * 500)
    assert (said.code, said.out) == (1, "")
    assert "reads at most 640 tokens, but this prompt has" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.usefixtures("interrupted_model")
def test_an_interrupt_keeps_what_was_said_so_far(tmp_path: Path, capfd: CAPFD) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("[agent]\nrole = 'R'\n[run]\nmax_new_tokens = 90000")
    assert main(["agent", "run", str(file), "?", "--json"]) == 130
    document = json.loads(capfd.readouterr().out)
    assert document["finish_reason"] == "interrupted"
    assert set(document["text"]) == {"a"}
