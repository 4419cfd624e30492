"""The mean of two courses' weights, as the reader's release takes it."""

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "mean_weights.py"


def checkpoint(folder: Path, value: float, num: int = 3) -> Path:
    folder.mkdir(parents=True)
    save_file({"a": torch.full((2, num), value)}, folder / "model.safetensors")
    (folder / "reader.json").write_text("{}")
    return folder


def run(*words: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)


def test_each_weight_is_the_mean_and_the_rest_is_the_firsts(tmp_path: Path) -> None:
    one, other = (checkpoint(tmp_path / str(value), value) for value in (1.0, 4.0))
    out = tmp_path / "new" / "model"
    done = run(one, other, out)
    assert (done.returncode, done.stderr) == (0, "")
    assert torch.equal(load_file(out / "model.safetensors")["a"], torch.full((2, 3), 2.5))
    assert (out / "reader.json").read_text() == "{}"


def test_models_of_two_shapes_have_no_mean(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one", 1.0)
    done = run(one, checkpoint(tmp_path / "other", 1.0, num=4), tmp_path / "out")
    assert done.returncode == 1
    assert "not of one shape" in done.stderr
    assert not (tmp_path / "out").exists()
