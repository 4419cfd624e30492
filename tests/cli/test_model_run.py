"""`avalan model run`: where the prompt comes from, what reaches stdout, how it ends."""

import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avalan.cli import main
from avalan.cli.commands.model_run import RESERVED, looks_like_model, split_words
from avalan.compress.export import export
from avalan.model import bundled
from avalan.model.entities import Message
from avalan.model.nlp import text as text_models
from avalan.model.nlp.recording import read_recording
from avalan.testing import ScriptedEngine, pico_llama, pico_tokenizer, saying, scripted_model

AVALAN = Path(sys.executable).with_name("avalan")
CAPFD = pytest.CaptureFixture[str]


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


HOSTILE = "[bold]x[/bold] [/INST] \x1b[2J\x07 caf\xe9 \u202e 日本 [link=x]\n"


@pytest.fixture(scope="module")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama that never stops by itself, as ONNX."""
    folder = tmp_path_factory.mktemp("pico")
    checkpoint = pico_llama(folder / "checkpoint", max_position_embeddings=100_000)
    return export(checkpoint, folder / "onnx").folder


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that makes the next model say a text, whatever it is asked."""
    folder = pico_tokenizer(tmp_path / "tokenizer")

    def say(answer: str) -> None:
        model = scripted_model(folder, ScriptedEngine(lambda held: [], vocab_size=384))
        prompt_ids = model.tokenizer.encode_chat([Message(role="user", content="?")])
        answer_ids = [*model.tokenizer.encode(answer), 1]
        script = saying(answer_ids, after=len(prompt_ids), vocab_size=384)
        engine = ScriptedEngine(script, vocab_size=384, context_length=5000)
        monkeypatch.setattr(
            text_models, "open_model", lambda name, settings: scripted_model(folder, engine)
        )

    return say


@pytest.fixture
def run(pico: Path, capfd: CAPFD, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """A function that runs the pico model and gives its exit code, stdout and stderr."""

    def act(*words: str, piped: str | None = None) -> Said:
        if piped is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
        code = main(["model", "run", str(pico), *words])
        return Said(code, *capfd.readouterr())

    return act


# --- which word is what -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "piped", "expected"),
    [
        (None, None, False, ("bundled", None)),
        ("m", "p", False, ("m", "p")),
        ("m", "p", True, ("m", "p")),
        ("", "p", True, ("", "p")),
        ("bundled", None, False, ("bundled", None)),
        ("owner/name", None, False, ("owner/name", None)),
        ("ai://local/x", None, False, ("ai://local/x", None)),
        ("Hello", None, False, ("bundled", "Hello")),
        ("Hello", None, True, ("Hello", None)),
        ("What is it?", None, True, ("bundled", "What is it?")),
        ("What is it?", None, False, ("bundled", "What is it?")),
        ("", None, False, ("bundled", "")),
    ],
)
def test_a_single_word_is_a_model_or_a_prompt(
    first: str | None, second: str | None, piped: bool, expected: tuple[str, str | None]
) -> None:
    assert split_words(first, second, piped=piped) == expected


def test_what_lies_on_disk_looks_like_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looks_like_model(str(tmp_path))
    assert not looks_like_model("gpt2")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--gpt2").mkdir()
    assert looks_like_model("gpt2")


def test_the_reserved_names_are_those_of_the_catalogue() -> None:
    assert RESERVED == bundled.RESERVED


# --- what reaches stdout ------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--quiet"]])
def test_a_pipe_gets_the_answers_bytes_and_nothing_else(
    says: Callable[[str], None], capfdbinary: pytest.CaptureFixture[bytes], flags: list[str]
) -> None:
    says(HOSTILE)
    assert main(["model", "run", "any", "?", *flags]) == 0
    out, err = capfdbinary.readouterr()
    assert out == HOSTILE.encode()
    assert (err == b"") == bool(flags)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.text(max_size=30))
def test_quiet_is_exact_for_any_text(
    says: Callable[[str], None], capfdbinary: pytest.CaptureFixture[bytes], answer: str
) -> None:
    says(answer)
    capfdbinary.readouterr()
    assert main(["model", "run", "any", "?", "--quiet"]) == 0
    assert capfdbinary.readouterr().out == answer.encode()


def test_the_json_document_holds_the_text_and_what_it_cost(
    says: Callable[[str], None], capfd: CAPFD
) -> None:
    says(HOSTILE)
    assert main(["model", "run", "any", "?", "--json"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert out.count("\n") == 1
    assert err == ""
    assert (document["model"], document["text"]) == ("any", HOSTILE)
    assert document["finish_reason"] == "stop"
    assert set(document["usage"]) == {"prompt_tokens", "completion_tokens", "cached_tokens"}
    assert set(document["timings"]) == {"prefill_s", "ttft_s", "decode_s", "tokens_per_s"}


def test_a_terminal_is_not_driven_by_the_model(
    says: Callable[[str], None], capfd: CAPFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(HOSTILE)
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: True)
    assert main(["model", "run", "any", "?"]) == 0
    out, _ = capfd.readouterr()
    assert "\x1b[2J" not in out
    assert "[bold]x[/bold] [/INST] ␛[2J␇ café \\u202e 日本 [link=x]\n" in out


def test_the_footer_tells_count_first_token_and_speed(run: Callable[..., Said]) -> None:
    footer = run("Hello", "--max-new-tokens", "20").err
    pattern = (
        r"\d+ input tokens · 20 output tokens · ttft \S+ ms · [\d,.]+ t/s · onnx · "
        r"cut off at its limit\n"
    )
    assert re.fullmatch(pattern, footer)


def test_the_footer_tells_the_time_to_the_nth_token(run: Callable[..., Said]) -> None:
    words = ["Hello", "--max-new-tokens", "20", "--display-time-to-n-token"]
    assert " · ttnt(10) " in run(*words, "10").err
    assert "ttnt" not in run(*words, "30").err
    assert "ttnt" not in run(*words).err  # 256, which does not come.


def test_the_seed_decides_what_is_drawn(run: Callable[..., Said]) -> None:
    words = ["Hello", "--quiet", "--max-new-tokens", "30", "--temperature", "5", "--seed"]
    first, again, other = (run(*words, seed).out for seed in ("1", "1", "2"))
    assert first == again != other


# --- where the prompt comes from ----------------------------------------------------------------


def test_a_piped_prompt_is_the_same_as_a_given_one(run: Callable[..., Said]) -> None:
    words = ["--json", "--max-new-tokens", "8"]
    piped = json.loads(run(*words, piped="Où?\n").out)
    given = json.loads(run("Où?", *words).out)
    assert piped["text"] == given["text"]
    assert piped["usage"] == given["usage"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [(b"", "The prompt is empty"), (b" \n", "The prompt is empty"), (b"\xff", "is not UTF-8 text")],
)
def test_a_pipe_without_a_prompt_is_wrong_usage(
    given: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert main(["model", "run", "bundled"]) == 2
    assert sentence in capfd.readouterr().err


def test_a_person_is_asked_on_a_terminal(pico: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "avalan", "model", "run", str(pico), "--max-new-tokens", "3"]
    os.write(leader, b"Hello\n")
    try:
        done = subprocess.run(command, stdin=follower, capture_output=True, check=False)
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 0
    assert b"Prompt: " in done.stderr
    assert b" 3 output tokens" in done.stderr


# --- tokens, recordings --------------------------------------------------------------------------

SHOWS_TOKENS = ["--display-tokens", "--display-probabilities", "--display-pause", "25"]


@pytest.mark.parametrize("words", [["--quiet"], [], ["--quiet", *SHOWS_TOKENS], SHOWS_TOKENS])
def test_a_pipe_is_not_changed_by_the_token_display(
    says: Callable[[str], None], capfdbinary: pytest.CaptureFixture[bytes], words: list[str]
) -> None:
    says(HOSTILE)
    assert main(["model", "run", "any", "?", *words]) == 0
    assert capfdbinary.readouterr().out == HOSTILE.encode()


def test_a_word_after_an_optional_value_is_the_prompt(run: Callable[..., Said]) -> None:
    words = ["--json", "--max-new-tokens", "3"]
    expected = json.loads(run("Hello", *words).out)["text"]
    for option in ("--display-tokens", "--display-pause", "--display-time-to-n-token"):
        assert json.loads(run(option, "Hello", *words).out)["text"] == expected
        assert json.loads(run(option, "12", "Hello", *words).out)["text"] == expected
    assert json.loads(run("Hello", *words, "--display-pause").out)["text"] == expected


def test_the_json_document_holds_the_tokens_when_they_are_asked_for(
    run: Callable[..., Said],
) -> None:
    words = ["Hello", "--json", "--max-new-tokens", "5"]
    assert "tokens" not in json.loads(run(*words).out)
    document = json.loads(run(*words, "--display-tokens").out)
    tokens = document["tokens"]
    assert len(tokens) == 5
    assert "".join(token["text"] for token in tokens) == document["text"]
    for token in tokens:
        logprobs = [each["logprob"] for each in token["alternatives"]]
        assert len(logprobs) == 11
        assert logprobs == sorted(logprobs, reverse=True)
        # Greedy: the chosen token is the most probable one.
        assert token["alternatives"][0]["id"] == token["id"]
        assert token["alternatives"][0]["logprob"] == token["logprob"]


def test_the_tokens_have_the_models_own_probabilities_whatever_is_sampled(
    run: Callable[..., Said],
) -> None:
    words = ["Hello", "--json", "--max-new-tokens", "1", "--display-tokens"]
    (greedy,) = json.loads(run(*words).out)["tokens"]
    (warm,) = json.loads(run(*words, "--temperature", "50", "--seed", "3").out)["tokens"]
    assert greedy["alternatives"] == warm["alternatives"]


def test_a_replay_is_the_recorded_answer(
    run: Callable[..., Said], tmp_path: Path, capfd: CAPFD
) -> None:
    path = str(tmp_path / "run.jsonl")
    first = run("Hello", "--max-new-tokens", "12", "--quiet", "--record", path)
    code = main(["model", "run", "--replay", path, "--quiet"])
    assert Said(code, *capfd.readouterr()) == first


def test_a_replayed_document_has_the_recorded_tokens(
    run: Callable[..., Said], tmp_path: Path, capfd: CAPFD
) -> None:
    path = str(tmp_path / "run.jsonl")
    words = ["--json", "--display-tokens"]
    first = json.loads(run("Hello", "--max-new-tokens", "12", "--record", path, *words).out)
    assert main(["model", "run", "--replay", path, *words]) == 0
    assert json.loads(capfd.readouterr().out) == first


def test_a_recording_goes_into_a_pipe_too(pico: Path) -> None:
    command = [AVALAN, "model", "run", str(pico), "Hello", "--max-new-tokens", "2", "--quiet"]
    done = subprocess.run([*command, "--record", "/dev/stdout"], capture_output=True, check=True)
    assert done.stdout.count(b'"token_id"') == 2


def test_a_recording_is_refused_before_anything_is_asked_or_loaded(
    tmp_path: Path, capfd: CAPFD
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("my notes")
    assert main(["model", "run", "no/such-model", "--record", str(path)]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "record to another name" in err
    assert path.read_text() == "my notes"


def test_a_replay_loads_no_model(run: Callable[..., Said], tmp_path: Path) -> None:
    path = str(tmp_path / "run.jsonl")
    run("Hello", "--max-new-tokens", "2", "--record", path)
    script = (
        "import sys\n"
        "from avalan.cli import main\n"
        f"assert main(['model', 'run', '--replay', {path!r}]) == 0\n"
        "assert not {'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_recording_can_be_replayed(pico: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    command = [sys.executable, "-m", "avalan", "model", "run", str(pico), "Hello", "--quiet"]
    command += ["--max-new-tokens", "90000", "--record", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    said = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 130
    recording = read_recording(path)
    assert recording.report.finish_reason == "interrupted"
    assert recording.text.encode() == said


def test_a_recording_ends_where_the_display_was_interrupted(tmp_path: Path) -> None:
    path, (leader, follower) = tmp_path / "run.jsonl", pty.openpty()
    command = [str(AVALAN), "model", "run", "bundled", "Hello", "--record", str(path)]
    command += ["--display-tokens", "--display-pause", "200", "--max-new-tokens", "9"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    data, is_sent = b"", False
    with suppress(OSError):  # The other end is closed.
        while more := os.read(leader, 65536):
            data += more
            if not is_sent and "╭".encode() in data:  # The model is far ahead by then.
                is_sent = True
                process.send_signal(signal.SIGINT)
    os.close(leader)
    assert process.wait(timeout=30) == 130
    recording = read_recording(path)
    assert 0 < len(recording.steps) < 9
    assert recording.report.finish_reason == "interrupted"
    assert recording.report.usage.completion_tokens == len(recording.steps)
    shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", data.decode())
    assert f"{len(recording.steps)} output token" in shown.rstrip().splitlines()[-1]


@pytest.mark.parametrize("joined", ["2>&1 | cat", "> {log} 2>&1; cat {log}"])
def test_the_figures_begin_a_line_where_both_streams_are_one(tmp_path: Path, joined: str) -> None:
    words = shlex.join([str(AVALAN), "model", "run", "bundled", "Hello", "--max-new-tokens", "3"])
    command = f"{words} {joined.format(log=shlex.quote(str(tmp_path / 'log')))}"
    both = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    apart = subprocess.run(["sh", "-c", words], capture_output=True, check=True)
    assert both.startswith(apart.stdout + b"\n")
    assert re.match(rb"\d+ input token", both[len(apart.stdout) + 1 :])


def test_the_display_runs_on_a_terminal_with_its_prompt_from_a_pipe(pico: Path) -> None:
    leader, follower = pty.openpty()
    command = [AVALAN, "model", "run", str(pico), "--max-new-tokens", "6"]
    command += ["--display-tokens", "--display-probabilities", "--display-pause"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=follower, stderr=follower)
    os.close(follower)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(b"Who are you?\n")
    data = b""
    with suppress(OSError):  # The other end is closed.
        while more := os.read(leader, 65536):
            data += more
    os.close(leader)
    shown = data.decode()
    assert process.wait(timeout=30) == 0
    assert " 6 out" in shown
    assert "cut off at its limit" in shown
    assert "╭" in shown
    assert shown.count("\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--display-tokens", "0"], 2, "0 is not between 1 and"),
        (["--display-tokens", "-3"], 2, "-3 is not between 1 and"),
        (["--display-pause", "x", "bundled"], 2, "'x' is not a number of milliseconds; to leave"),
        (["--display-tokens", "x", "bundled"], 2, "--display-tokens: 'x' is not a whole number"),
        (["--display-tokens=many"], 2, "'many' is not a whole number"),
        (["--display-pause", "-1"], 2, "-1 is not between 0 and"),
        (["--display-time-to-n-token", "0"], 2, "0 is not between 1 and"),
        (["--display-probabilities-maximum", "1.5"], 2, "1.5 is not between 0 and 1"),
        (["--display-probabilities-maximum", "nan"], 2, "nan is not between 0 and 1"),
        (["--display-probabilities-sample-minimum", "-.1"], 2, "-.1 is not between 0 and 1"),
        (["--replay", "x"], 2, "takes neither a model nor a prompt nor --record"),
        (["--record", "{pico}/nowhere/x.jsonl"], 1, "its folder does not exist"),
        (["--record", "{pico}/config.json"], 1, "holds something already and is left as it is"),
    ],
)
def test_what_cannot_be_shown_or_recorded_is_one_sentence(
    run: Callable[..., Said], pico: Path, words: list[str], code: int, sentence: str
) -> None:
    said = run("Hello", *(word.format(pico=pico) for word in words))
    assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
    assert sentence in said.err


@pytest.mark.parametrize("name", ["nowhere.jsonl", "config.json"])
def test_what_cannot_be_replayed_is_one_sentence(pico: Path, capfd: CAPFD, name: str) -> None:
    assert main(["model", "run", "--replay", str(pico / name)]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


# --- how it ends --------------------------------------------------------------------------------


def test_an_interrupt_keeps_what_was_said_so_far(pico: Path) -> None:
    command = [sys.executable, "-m", "avalan", "model", "run", str(pico), "Hello"]
    command += ["--max-new-tokens", "90000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said + rest
    assert err.endswith(b"interrupted\n")
    assert err.count(b"\n") == 1


@pytest.mark.usefixtures("interrupted_model")
def test_an_interrupted_json_document_says_so(capfd: CAPFD) -> None:
    assert main(["model", "run", "any", "?", "--json", "--max-new-tokens", "90000"]) == 130
    document = json.loads(capfd.readouterr().out)
    assert document["finish_reason"] == "interrupted"
    assert set(document["text"]) == {"a"}


def test_a_reader_that_leaves_ends_the_answer(pico: Path) -> None:
    command = [sys.executable, "-m", "avalan", "model", "run", str(pico), "Hello"]
    command += ["--max-new-tokens", "90000", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stderr:
        with process.stdout:
            assert process.stdout.read(3)
        assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["./nowhere", "x"], 1, "nowhere"),
        (["rules", "x"], 1, "is not a language model"),
        (["ai://someone/x", "x"], 1, "someone"),
        (["http://x", "x"], 2, "begins with 'ai://', not with 'http://'"),
        (["ai://x", "x"], 2, "names no model of 'x'"),
        (["", "x"], 2, "The name of the model is empty"),
        (["--display-pause", "3s", "hi"], 2, "'3s' is not a number of milliseconds; to leave"),
        (["{pico}", "x", "--engine", "guff"], 2, "no engine called 'guff'"),
        (["{pico}", "x", "--top-p", "7"], 2, "top_p"),
        (["{pico}", "x", "--max-new-tokens", "0"], 2, "max_new_tokens"),
        (["{pico}", "x", "--device", "toaster"], 2, "toaster"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    pico: Path, capfd: CAPFD, words: list[str], code: int, sentence: str
) -> None:
    assert main(["model", "run", *(word.format(pico=pico) for word in words)]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
