"""`avalan model train`: the plan, what is shown where, how it ends and goes on."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.cli import main
from avalan.cli.display.training import CHART_HEIGHT, loss_chart, step_line
from avalan.cli.options import changes
from avalan.errors import UsageError
from avalan.train.run_folder import StepReport

RECIPE = """
[model]
vocab_size = 600
hidden_size = 32
num_layers = 1
num_heads = 2
num_kv_heads = 1
intermediate_size = 32

[run]
num_steps = 4
rows_per_step = 1
warmup_steps = 1
save_steps = 2
tokenizer_records = 150
tokenizer_repeats = 0

[[stage]]
until = 1.0
lookup = 1.0
reading = 0.0
decisions = 0.0
"""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny recipe in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("pico.toml").write_text(RECIPE)
    return "pico.toml"


@pytest.fixture
def train(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """A function that runs the command and gives its exit code, stdout and stderr."""

    def act(*words: str) -> Said:
        code = main(["model", "train", *words])
        return Said(code, *capfd.readouterr())

    return act


# --- the plan -------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    recipe: str, train: Callable[..., Said]
) -> None:
    said = train(recipe, "--dry-run", "--set", "run.num_steps=1000")
    assert (said.code, said.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines()[1:])
    assert re.fullmatch(r"[\d.]+ m?s to [\d.]+ m?s, judged by this processor", lines.pop("time"))
    # 600·32 in the embedding, 6,144 in the block's matrices, 96 in norms; the optimizer holds one
    # value more for each matrix weight and two for each other, all of 4 bytes.
    assert lines == {
        "parameters": "25.4k, all of them learn",
        "memory": "about 5.2 MB",
        "tokens": "512k, 512 a step",
        "steps": "1,000",
        "checkpoints": "281 kB every 2 steps, the last two are kept",
        "folder": "runs/pico",
    }
    assert not Path("runs").exists()


def test_the_plan_of_what_ships_needs_no_torch_and_is_one_json_document() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from avalan.cli import main\n"
        "sys.exit(main(['model', 'train', 'bundled', '--dry-run', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    plan = json.loads(done.stdout)
    assert plan["recipe"] == "bundled"
    assert 4_000_000 < plan["num_parameters"] < 6_000_000
    assert plan["num_tokens"] == plan["num_steps"] * plan["tokens_per_step"]


def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from avalan.cli import main\n"
        "sys.exit(main(['model', 'train', 'bundled', '--quiet', '--out', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "needs the package 'torch', which is not installed; run: pip install" in done.stderr
    assert "[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


# --- what is shown --------------------------------------------------------------------------------


def test_a_pipe_gets_a_line_for_every_report_and_the_next_command(
    recipe: str, train: Callable[..., Said]
) -> None:
    said = train(recipe, "--out", "run")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[:3] == ["Loading torch", "Learning the tokenizer", "Starting at step 1"]
    assert [line.split(" · ")[0] for line in lines[3:7]] == [f"step {n}/4" for n in (1, 2, 3, 4)]
    assert lines[6].endswith(" · done")
    assert lines[7:] == [
        "The model is in run/model; try it with:",
        '  avalan model run run/model "…"',
    ]
    # A finished run is not trained again, and --quiet gives the result alone.
    assert train(recipe, "--out", "run", "--quiet") == (0, "run/model\n", "")


def test_json_lines_tell_every_event(recipe: str, train: Callable[..., Said]) -> None:
    said = train(recipe, "--out", "run", "--json", "--set", "run.num_steps=2")
    assert (said.code, said.err) == (0, "")
    events = [json.loads(line) for line in said.out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["phase", "phase", "phase", "step", "step", "done"]
    assert set(events[3]) == {
        "event", "step", "num_steps", "loss", "learning_rate", "tokens_per_s", "remaining_s",
        "held_out_loss",
    }  # fmt: skip
    assert events[-1] == {"event": "done", "model": "run/model"}


def test_a_terminal_has_a_chart_that_moves(
    recipe: str, train: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LINES", "24")
    said = train(recipe, "--out", "run")
    assert said.code == 0
    frames = said.out.split("\x1b[?2026h")[1:]
    # A frame for each step, and the last one once more, below which the cursor comes back.
    assert [frame.count("•") for frame in frames] == [0, 2, 3, 4, 4]
    assert ["step 4/4" in frame for frame in frames] == [False, False, False, True, True]
    words = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", frame) for frame in frames[:-1]]
    assert all(len(line) < 80 for text in words for line in text.split("\r\n"))
    assert frames[-1].count("\x1b[?25h") == 1
    assert said.out.count("loss, nats") == 4


def test_a_low_terminal_has_one_moving_line_and_then_the_loss(
    recipe: str, train: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES", "12")
    monkeypatch.setattr("avalan.cli.console._is_terminal", lambda stream: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = train(recipe, "--out", "run")
    assert said.code == 0
    assert "\n" not in said.err
    moving = said.err.split("\r\x1b[K")
    assert sum(line.startswith("step ") for line in moving) == 4
    assert all(len(line) < 80 for line in moving)
    assert "loss, nats" in said.out
    assert said.out.count("•") == 4


def test_the_line_of_a_step() -> None:
    report = StepReport(
        step=120, num_steps=3800, loss=2.3101, learning_rate=0.002, tokens_per_s=4050.4,
        remaining_s=3500,
    )  # fmt: skip
    assert step_line(report) == "step 120/3,800 · loss 2.310 · 4,050 tokens/s · 58 min 20 s left"


def reports(losses: list[float]) -> list[StepReport]:
    return [
        StepReport(
            step=index + 1, num_steps=9, loss=loss, learning_rate=0, tokens_per_s=1, remaining_s=0
        )
        for index, loss in enumerate(losses)
    ]


def test_the_chart_by_hand() -> None:
    chart = loss_chart(reports([9.0, 5.0, 1.0]), width=80)
    assert chart == [
        "loss, nats",
        "  9.000 •",
        "",
        "",
        "",
        "  5.000  •",
        "",
        "",
        "",
        "  1.000   •",
        "        ───",
        "        step 1 3",
    ]


@given(st.lists(st.floats(0, 20), min_size=2, max_size=300), st.integers(20, 80))
def test_a_chart_fits_and_has_a_dot_in_every_column(losses: list[float], width: int) -> None:
    chart = loss_chart(reports(losses), width=width)
    assert len(chart) == CHART_HEIGHT + 3
    assert all(len(line) <= max(width, 30) for line in chart)
    assert sum(line.count("•") for line in chart) == min(len(losses), width - 9)


def test_too_little_is_not_drawn() -> None:
    assert loss_chart(reports([1.0]), width=80) == []


# --- how it ends and goes on ----------------------------------------------------------------------


def test_an_interrupt_says_how_to_go_on_and_the_same_command_does(
    recipe: str, train: Callable[..., Said]
) -> None:
    words = [recipe, "--out", "run", "--set", "run.num_steps=5000", "--set", "run.save_steps=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "avalan", "model", "train", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step "):
            break
    # As a terminal does: to the worker that makes the rows, too.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert err.startswith("Interrupted; step ")
    command = "avalan model train " + " ".join(words)
    assert err.endswith(f" is kept. To go on, run the same again: {command}\n")
    steps = [int(path.name[11:]) for path in Path("run").glob("checkpoint-*")]
    assert train(*words, "--dry-run", "--json").code == 0
    assert max(steps) >= 9


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nowhere.toml"], 1, "There is no recipe 'nowhere.toml'"),
        (["broken.toml"], 1, "is not valid TOML"),
        (["bad.toml"], 1, "run.seed to 'eight', but it must be a whole number"),
        (["bad.toml", "--set", "run.num_steps=2"], 1, "run.seed to 'eight'"),
        (["pico.toml", "--set", "run.seed=eight"], 2, "run.seed to 'eight'"),
        (["pico.toml", "--set", "run.num_steps=99999999999"], 2, "from 1 to 10,000,000"),
        (["pico.toml", "--set", "run.learning_rate=nan"], 2, "run.learning_rate is nan, but"),
        (["pico.toml", "--set", "stage.until=1"], 2, "the stages are a list"),
        (["pico.toml", "--set", "run.seeed=1"], 2, "did you mean 'run.seed'?"),
        (["pico.toml", "--set", "run.seed"], 2, "write it as section.key=value"),
        (["pico.toml", "--out", "pico.toml"], 1, "pico.toml is a file"),
        (["pico.toml", "--out", "pico.toml/run"], 1, "because pico.toml is a file; choose another"),
        (["pico.toml", "--out", "/proc/run"], 1, "cannot be written (No such file or directory)"),
        (["pico.toml", "--out", "taken"], 1, "already holds 'model'"),
        (["pico.toml", "--device", "toaster"], 2, "no device called 'toaster'"),
        (["pico.toml", "--device", "mps"], 2, "on cpu or cuda, not on 'mps'"),
        ([""], 2, "The name of the recipe is empty"),
        (["pico.toml", "--out", ""], 2, "--out is empty; name a file or a folder."),
        ([], 2, "needed: RECIPE"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    recipe: str, train: Callable[..., Said], words: list[str], code: int, sentence: str
) -> None:
    Path("broken.toml").write_text("[run")
    Path("bad.toml").write_text(RECIPE.replace("[run]", "[run]\nseed = 'eight'"))
    Path("taken/model").mkdir(parents=True)
    said = train(*words, "--quiet")
    assert said.code == code
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_told_before_torch_is_loaded(recipe: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from avalan.cli import main\n"
        "sys.exit(main(['model', 'train', *sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", code, recipe, "--out", f"{recipe}/run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "The folder pico.toml/run cannot be made, because pico.toml is a file; choose another "
        "with --out.\n"
    )


def test_another_recipe_in_the_folder_is_refused(recipe: str, train: Callable[..., Said]) -> None:
    Path("run").mkdir()
    assert train(recipe, "--out", "run", "--quiet", "--set", "run.num_steps=1").code == 0
    said = train(recipe, "--out", "run", "--quiet", "--set", "run.num_steps=2")
    assert said.code == 1
    assert "(run.num_steps is 1 there and 2 here)" in said.err
    assert train(recipe, "--out", "run", "--dry-run", "--set", "run.num_steps=2").code == 1


def test_the_changes_of_the_command_line() -> None:
    assert changes(["run.seed=8", " loss.eos = 1.0", "run.x=a=b"]) == {
        "run.seed": "8", "loss.eos": "1.0", "run.x": "a=b",
    }  # fmt: skip
    with pytest.raises(UsageError):
        changes(["=8"])
