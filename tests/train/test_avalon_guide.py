"""The commands of docs/avalon.md run, each in its turn, at pico size."""

import json
import re
import shlex
from pathlib import Path

import pytest

from avalan import testing
from avalan.cli import main

GUIDE = (Path(__file__).parents[2] / "docs" / "avalon.md").read_text(encoding="utf-8")
SMALL = {
    "run.num_steps": "2", "run.rows_per_step": "2", "run.save_steps": "2", "change.rank": "2",
    "lessons.max_tokens": "1024",
}  # fmt: skip
TUNING = {"lessons.held_out": "2", "tokens.system_prompt": '""', "lessons.num": "30"}


def small(words: list[str]) -> list[str]:
    """The same command, for a test's time."""
    match words[:3]:
        case ["avalan", "data", "synthesize"]:
            words = [*words, "--n", "60"]
        case ["avalan", "model", "train"]:
            tuned = TUNING if words[3].startswith("avalon") else {"lessons.max_tokens": "64"}
            words = [*words, *(f"--set={key}={value}" for key, value in (SMALL | tuned).items())]
        case ["avalan", "model", "distill"]:
            sets = SMALL | {"lessons.num": "30", "lessons.held_out": "2"}
            words = [*words, *(f"--set={key}={value}" for key, value in sets.items())]
        case ["avalan", "model", "evaluate"]:
            words = [*words, "--level", "G0", "--num", "2"]
    return words[1:]


def test_the_guides_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    testing.pico_llama(tmp_path / "runs" / "base" / "model", max_position_embeddings=1024)
    pair = {"prompt": "Where is the library?", "chosen": " In the old town.", "rejected": " ?"}
    Path("pairs.jsonl").write_text(4 * (json.dumps(pair) + "\n"))
    blocks = re.findall(r"```bash run\n(.*?)```", GUIDE, re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert len(commands) == 11
    for words in commands:
        assert main(small(words)) == 0, (words, capsys.readouterr().err)
    assert Path("merged/model.safetensors").is_file()
