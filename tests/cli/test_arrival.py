"""Whatever a command has to download first is shown on its way."""

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
