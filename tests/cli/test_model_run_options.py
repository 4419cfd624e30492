"""`avalan model run`: reasoning apart from the answer, and the options of the model."""

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan import testing
from avalan.cli import main
from avalan.cli.console import Console, cell_width
from avalan.cli.display.flow import GUTTER, Flow, Span
from avalan.cli.display.output import ReasoningText
from avalan.model.entities import Message
from avalan.model.nlp import text as text_models
from avalan.model.nlp.recording import read_recording

CAPFD = pytest.CaptureFixture[str]
OPENS = testing.THINKING_TEMPLATE
SAID = "Hm, who\nam I?\n</think>\n\nA model.\n"
HOSTILE = "[bold] \x1b[2J\n</think>\n\x1b[2J caf\xe9"


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD) -> Callable[..., Said]:
    """Run a model that says a text, by a chat template that opens its reasoning."""
    folder = testing.pico_tokenizer(tmp_path / "tokenizer")
    path = folder / "tokenizer_config.json"

    def act(said: str, *words: str, template: str = OPENS) -> Said:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
        model = testing.scripted_model(
            folder, testing.ScriptedEngine(lambda held: [], vocab_size=384)
        )
        prompt_ids = model.tokenizer.encode_chat([Message(role="user", content="?")])
        said_ids = [*model.tokenizer.encode(said), 1]
        script = testing.saying(said_ids, after=len(prompt_ids), vocab_size=384)
        engine = testing.ScriptedEngine(script, vocab_size=384, context_length=5000)
        monkeypatch.setattr(
            text_models, "open_model", lambda name, _: testing.scripted_model(folder, engine)
        )
        code = main(["model", "run", "any", "?", *words])
        return Said(code, *capfd.readouterr())

    return act


# --- reasoning ----------------------------------------------------------------------------------


def test_a_pipe_gets_the_answer_and_stderr_the_reasoning(run: Callable[..., Said]) -> None:
    said = run(SAID)
    assert said.out == "A model.\n"
    assert said.err.startswith("¦ Hm, who\n¦ am I?\n\n")
    assert "output tokens" in said.err


@pytest.mark.parametrize("said", [SAID, HOSTILE])
def test_quiet_is_the_bytes_of_the_answer(run: Callable[..., Said], said: str) -> None:
    answer = said.partition("</think>")[2].lstrip()
    assert run(said, "--quiet") == Said(0, answer, "")


def test_reasoning_can_be_hidden(run: Callable[..., Said]) -> None:
    said = run(SAID, "--no-reasoning")
    assert (said.out, "Hm" in said.err) == ("A model.\n", False)
    assert json.loads(run(SAID, "--no-reasoning", "--json").out)["reasoning"] is None


def test_the_document_has_both_texts(run: Callable[..., Said]) -> None:
    document = json.loads(run(SAID, "--json", "--display-tokens").out)
    assert (document["text"], document["reasoning"]) == ("A model.\n", "Hm, who\nam I?")
    kinds = [token["reasoning"] for token in document["tokens"]]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {True, False}
    plain = json.loads(run("Hi.", "--json", template=testing.CHAT_TEMPLATE).out)
    assert (plain["text"], plain["reasoning"]) == ("Hi.", None)


def test_the_answer_may_be_taken_to_begin_with_reasoning(run: Callable[..., Said]) -> None:
    plain = testing.CHAT_TEMPLATE
    assert run(SAID, "--quiet", template=plain).out == SAID
    assert run(SAID, "--quiet", "--start-thinking", template=plain).out == "A model.\n"


def test_a_system_prompt_that_the_template_refuses_goes_before_the_prompt_with_a_remark(
    run: Callable[..., Said],
) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}"
    )
    remark = "The model's chat template takes no system prompt; yours was put before"
    said = run("", "--system", "Be brief.", "--max-new-tokens", "1", template=template)
    assert (said.code, said.err.count(remark)) == (0, 1)
    assert remark not in run("", template=template).err
    assert run("", "--system", "Be brief.", template=testing.CHAT_TEMPLATE).err.count("\n") == 1


def test_reasoning_that_was_cut_off_is_said_to_be(run: Callable[..., Said]) -> None:
    said = run(SAID, "--max-new-tokens", "4")
    assert said.out == ""
    assert "cut off at its limit" in said.err
    assert "still reasoning; let it go on with --max-new-tokens" in said.err


def test_the_display_says_that_reasoning_was_cut_off(
    run: Callable[..., Said], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    run(SAID, "--max-new-tokens", "4", "--record", str(path))
    words = ("model", "run", "--replay", str(path), "--display-tokens", "--no-reasoning")
    assert "still reasoning; let it go on with" in on_a_terminal(*words)


def test_a_display_in_a_pipe_says_what_it_needs(run: Callable[..., Said]) -> None:
    remark = "The tokens are drawn on a terminal only; --json gives them to programs."
    for flag in ("--display-tokens", "--display-probabilities"):
        assert run(SAID, flag).err.splitlines()[-1] == remark
        for silent in ("--json", "--quiet"):
            assert remark not in run(SAID, flag, silent).err
    assert remark not in run(SAID).err


def test_a_terminal_shows_both_and_is_driven_by_neither(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: True)
    said = run(HOSTILE)
    assert "\x1b[2J" not in said.out + said.err
    assert "\x1b[2;3m" in said.err
    assert "¦ " in said.err
    assert "␛[2J café\n" in said.out


def test_a_recording_keeps_both_and_shows_them_again(
    run: Callable[..., Said], tmp_path: Path, capfd: CAPFD
) -> None:
    path = tmp_path / "run.jsonl"
    first = run(SAID, "--record", str(path))
    assert read_recording(path).text == "A model.\n"
    assert main(["model", "run", "--replay", str(path)]) == 0
    assert Said(0, *capfd.readouterr()) == first
    assert main(["model", "run", "--replay", str(path), "--no-reasoning", "--quiet"]) == 0
    assert capfd.readouterr().out == "A model.\n"


def test_the_display_hides_what_is_to_be_hidden(run: Callable[..., Said], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run(SAID, "--record", str(path))
    shown = {
        flag: on_a_terminal("model", "run", "--replay", str(path), "--display-tokens", flag)
        for flag in ("--reasoning", "--no-reasoning")
    }
    assert "¦ Hm, who" in shown["--reasoning"]
    assert "¦ " not in shown["--no-reasoning"]
    for text in shown.values():
        assert "A model." in text
        assert "╭" in text


def on_a_terminal(*words: str) -> str:
    return on_a_terminal_by_shell(shlex.join([sys.executable, "-m", "avalan", *words]))


def on_a_terminal_by_shell(command: str, environment: Mapping[str, str] | None = None) -> str:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**(environment or os.environ), "COLUMNS": "80"},
    )
    os.close(follower)
    shown = b""
    try:
        while more := os.read(leader, 65536):
            shown += more
    except OSError:  # The other end is closed.
        pass
    os.close(leader)
    assert process.wait(timeout=30) == 0
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown.decode())


def test_reasoning_that_ends_its_line_has_no_empty_line_of_its_own() -> None:
    spans = [Span("", reasoning=False), Span("a\n", reasoning=True), Span("b")]
    finished = Flow().advance(spans, 20)
    assert ["".join(text for text, _ in line) for line in finished] == ["¦ a", ""]


class Screen(Console):
    """A console whose remarks are kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.text = ""

    def note(self, *parts: object, end: str = "\n") -> None:
        texts = (part[0] if isinstance(part, tuple) else str(part) for part in parts)
        self.text += "".join(texts) + end


WORDS = st.lists(st.sampled_from(["a", "word", "日本", " ", "  ", "\n", "x" * 9, "é"]), max_size=12)


@given(words=WORDS, width=st.integers(4, 20))
def test_lines_of_reasoning_hold_all_words_and_fit(words: list[str], width: int) -> None:
    screen = Screen(width)
    writer = ReasoningText(screen)
    for word in words:
        writer.add(word)
    writer.close()
    lines = screen.text.splitlines()
    assert "".join(screen.text.replace("¦", "").split()) == "".join("".join(words).split())
    assert all(line.startswith(GUTTER.rstrip()) for line in lines[:-1])
    for line in lines:
        longest = max(map(len, re.findall(r"[a-zé]+", line)), default=2)
        assert cell_width(line) <= max(width, longest + len(GUTTER))


def test_a_word_is_written_when_it_is_whole_and_wraps_as_one() -> None:
    screen = Screen(12)
    writer = ReasoningText(screen)
    for piece in ("one two", " thr", "ee fo", "ur"):
        writer.add(piece)
    assert screen.text == "¦ one two\n¦ three"
    writer.close()
    assert screen.text == "¦ one two\n¦ three four\n\n"


def test_a_reader_of_the_hub_sees_the_model_reason_and_answer(
    hub: testing.LocalHub, tmp_path: Path
) -> None:
    name = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
    pieces = ["Distil", "lation", "? Well", ".\n", "</think>", "\n\n", "It ", "teaches."]
    hub.add(name, testing.pico_speaker(tmp_path / "speaker", pieces))
    command = f"echo 'explain LLM distillation' | {sys.executable} -m avalan model run {name}"
    shown = on_a_terminal_by_shell(command, hub.environment())
    assert "¦ Distillation? Well.\r\n\r\nIt teaches.\r\n" in shown
    assert "think>" not in shown


# --- where the model comes from -----------------------------------------------------------------


def test_a_gated_model_runs_after_a_login(
    hub: testing.LocalHub, pico_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    name = "meta-llama/Meta-Llama-3-8B-Instruct"
    hub.add(name, pico_folder, gated=True)
    words = ["model", "run", name, "Hi", "--max-new-tokens", "2"]
    assert main(words) == 1
    assert "is gated" in capfd.readouterr().err
    monkeypatch.setenv("HF_ACCESS_TOKEN", hub.token)
    assert main([*words, "--login"]) == 0
    err = capfd.readouterr().err
    assert "as owner" in err
    assert "2 output tokens" in err


def test_a_token_that_is_typed_is_used(
    hub: testing.LocalHub, pico_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    hub.add("org/gated", pico_folder, gated=True)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: hub.token)
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: stream is sys.stdin)
    assert main(["model", "run", "org/gated", "Hi", "--login", "--max-new-tokens", "2"]) == 0
    assert "2 output tokens" in capfd.readouterr().err


def test_the_revision_is_the_models_and_not_the_tokenizers(
    hub: testing.LocalHub, pico_folder: Path, pico_onnx_folder: Path, capfd: CAPFD
) -> None:
    hub.add("org/other", pico_folder)
    words = ["--tokenizer", "org/other", "--revision", "v9", "--max-new-tokens", "2"]
    assert main(["model", "run", str(pico_onnx_folder), "Hi", *words]) == 0
    assert "2 output tokens" in capfd.readouterr().err


def test_a_token_that_is_refused_is_a_sentence(
    hub: testing.LocalHub, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["model", "run", "a/b", "Hi", "--login"]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "refused the access token" in err


def test_pickled_weights_of_the_hub_come_when_asked_for(
    hub: testing.LocalHub, pico_folder: Path, tmp_path: Path, capfd: CAPFD
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(pico_folder, tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    hub.add("old/model", folder)
    words = ["model", "run", "old/model", "Hi", "--max-new-tokens", "2", "--json"]
    assert main(words) == 1
    assert "--allow-pickle" in capfd.readouterr().err
    assert main([*words, "--allow-pickle"]) == 0
    assert json.loads(capfd.readouterr().out)["usage"]["completion_tokens"] == 2


def test_a_tokenizer_comes_without_its_model(
    hub: testing.LocalHub, pico_folder: Path, capfd: CAPFD
) -> None:
    hub.add("deepseek-ai/deepseek-llm-7b-chat", pico_folder)
    words = ["tokenizer", "--tokenizer", "deepseek-ai/deepseek-llm-7b-chat", "--json", "the fox"]
    assert main(words) == 0
    first = capfd.readouterr().out
    assert hub.num_requests("model.safetensors") == 0
    hub.stop()
    assert main(words) == 0
    assert capfd.readouterr().out == first


def test_a_saved_tokenizer_runs_with_its_model(
    pico_folder: Path, tmp_path: Path, capfd: CAPFD
) -> None:
    place = str(tmp_path / "mine")
    token = "<avalan_special_token>"
    words = ["tokenizer", "-t", str(pico_folder), "--token", token, "--save", place, "x"]
    assert main(words) == 0
    capfd.readouterr()
    run_it = ["model", "run", str(pico_folder), "Hi", "--max-new-tokens", "2", "--json"]
    assert main([*run_it, "--tokenizer", place]) == 0
    assert json.loads(capfd.readouterr().out)["usage"]["completion_tokens"] == 2


# --- options ------------------------------------------------------------------------------------


def test_a_stop_word_ends_the_answer_in_either_spelling(run: Callable[..., Said]) -> None:
    plain = testing.CHAT_TEMPLATE
    for option in ("--stop-on-keyword", "--stop_on_keyword"):
        words = ["--quiet", option, "Barcelona", option, "footballer"]
        assert run("A footballer of Barcelona.", *words, template=plain).out == "A "


def test_the_cache_changes_no_token(run: Callable[..., Said]) -> None:
    texts = [run(SAID, "--quiet", flag).out for flag in ("--use-cache", "--no-use-cache")]
    assert texts == ["A model.\n"] * 2


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--stop-on-keyword", ""], 2, "--stop-on-keyword is empty"),
        (["--stop_on_keyword="], 2, "--stop-on-keyword is empty"),
        (["--token", ""], 2, "--token is empty"),
        (["--special-token", ""], 2, "--special-token is empty"),
        (["--attention", "close"], 2, "no attention called 'close'; choose one of: auto, eager"),
        (["--weight-type", "f8"], 2, "no weight type called 'f8'; choose one of: auto, fp32, f32"),
        (["--attention", "eager"], 1, "attention built in"),
        (["--token", "<t>"], 1, "place for 384 tokens"),
        (["--tokenizer", "./none"], 1, "no tokenizer './none'"),
        (["--tokenizer", ""], 1, "no tokenizer ''"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    pico_onnx_folder: Path, capfd: CAPFD, words: list[str], code: int, sentence: str
) -> None:
    assert main(["model", "run", str(pico_onnx_folder), "Hi", *words]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_what_can_never_fit_is_refused_before_it_is_read(
    pico_onnx_folder: Path, capfd: CAPFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.model.prompt.Tokenizer.encode_chat", None)  # Takes minutes.
    assert main(["model", "run", str(pico_onnx_folder), "x" * 100_000]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.search(r"at most 256 tokens, but the prompt has at least [\d,]+;", err)


def test_a_prompt_that_is_too_long_is_told_in_numbers(pico_onnx_folder: Path, capfd: CAPFD) -> None:
    assert main(["model", "run", str(pico_onnx_folder), "word " * 300]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.search(r"at most 256 tokens, but the prompt has \d+, \d+ too many", err)
