"""Whatever a command has to download first is shown on its way."""

import json
import shutil
from pathlib import Path

import pytest

from avalan.cli import main
from avalan.testing import LocalHub

AGENT = '[agent]\nrole = "You are x."\n[engine]\nmodel_id = "org/pico"\n[run]\nmax_new_tokens = 2\n'


@pytest.mark.parametrize(
    "words",
    [
        ["model", "run", "org/pico", "hello", "--max-new-tokens", "2"],
        ["agent", "run", "agent.toml", "hello"],
        ["ask", "Where is it?", "--model", "org/pico"],
    ],
    ids=lambda words: words[0],
)
def test_files_are_named_on_stderr_as_they_come(
    words: list[str],
    hub: LocalHub,
    pico_onnx_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hub.add("org/pico", pico_onnx_folder)
    monkeypatch.chdir(tmp_path)
    Path("agent.toml").write_text(AGENT)
    main(words)
    assert "tokenizer.json  " in capfd.readouterr().err


def test_a_model_that_needs_consent_is_refused_before_its_weights_come(
    hub: LocalHub, pico_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(pico_folder, tmp_path / "own"))
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "modeling_own.py").touch()
    hub.add("org/own", folder)
    assert main(["model", "run", "org/own", "hello"]) == 1
    assert "'org/own' needs Python code that comes with it (modeling_own.py)" in (
        capfd.readouterr().err
    )
    assert {each.file for each in hub.requests if each.file} == {"config.json"}
