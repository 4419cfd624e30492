"""Where model files come from, and what is said when they do not come."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from avalan import hub
from avalan.errors import ModelError
from avalan.hub.folder import find_onnx_decoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_folder_is_its_own_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)

    assert hub.resolve(str(folder)) == folder
    assert hub.resolve("model") == Path("model")
    assert hub.resolve("./model") == Path("model")


@pytest.mark.parametrize("name", ["/no/such/folder", "./none", "~/none", "a b", "a/b/c", "-x/y"])
def test_name_that_can_only_be_a_folder_is_not_looked_up(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model folder"):
        hub.resolve(name)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, r"has no config\.json, so it holds no model"),
        ({"config.json": "{}"}, "does not say which model"),
        ({"config.json": "[]"}, "does not say which model"),
        ({"config.json": "{"}, "is not readable JSON"),
        ({"config.json": '{"model_type": "llama"}'}, "has no weights"),
        ({"config.json": '{"model_type": "llama"}', "pytorch_model.bin": ""}, "has no weights"),
    ],
)
def test_incomplete_folder_says_what_is_missing(
    tmp_path: Path, files: dict[str, str], what: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    with pytest.raises(ModelError, match=what):
        hub.resolve(str(tmp_path))


def test_onnx_decoder_is_found_beside_or_below(folder: Path) -> None:
    assert find_onnx_decoder(folder) is None
    below = folder / "onnx" / "model.onnx"
    below.parent.mkdir()
    below.touch()
    assert find_onnx_decoder(folder) == below
    (folder / "model.onnx").touch()
    assert find_onnx_decoder(folder) == folder / "model.onnx"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    script = Path(__file__).with_name("local_hub.py")
    command = [sys.executable, str(script), str(tmp_path_factory.mktemp("cache"))]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found: dict[str, str] = json.loads(run.stdout)
    return found


def test_model_is_downloaded_without_the_formats_that_no_engine_reads(
    outcomes: dict[str, str],
) -> None:
    assert outcomes["downloaded"] == "config.json model.safetensors tokenizer.json"


def test_cached_model_needs_no_network(outcomes: dict[str, str]) -> None:
    assert outcomes["cached"] == outcomes["downloaded"]
    assert outcomes["asked for cached"] == ""


def test_interrupted_download_is_completed(outcomes: dict[str, str]) -> None:
    assert outcomes["resumed"] == outcomes["downloaded"]


@pytest.mark.parametrize(
    ("case", "start", "end"),
    [
        ("offline", "The model 'org/model' is not on this machine", "use the model 'bundled'."),
        ("org/unknown", "There is no model 'org/unknown' on the hub", "a token that may read it."),
        ("org/gated", "The model 'org/gated' is gated; accept its licence", "your access token."),
        ("org/down", "The model 'org/down' is not on this machine", "use the model 'bundled'."),
        ("revision", "The model 'org/model' has no revision 'v9'", "for those it has."),
    ],
)
def test_failure_is_a_sentence_with_a_way_out(
    outcomes: dict[str, str], case: str, start: str, end: str
) -> None:
    assert outcomes[case].startswith(start)
    assert outcomes[case].endswith(end)
