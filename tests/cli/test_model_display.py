"""`avalan model display` and `avalan model export`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from avalan.cli import main
from avalan.cli.display.description import describe
from avalan.compress.export import export
from avalan.model.entities import EngineSettings
from avalan.testing import pico_llama

CAPFD = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pico_llama(tmp_path_factory.mktemp("pico"), special_tokens=["[Retrieval]"])
    (folder / "README.md").write_text("---\nlicence: x\n---\n# A pico model\n\nIt knows nothing.\n")
    return folder


def test_the_card_and_the_facts_are_shown(checkpoint: Path, capfd: CAPFD) -> None:
    assert main(["model", "display", str(checkpoint)]) == 0
    out, _ = capfd.readouterr()
    assert out.startswith("# A pico model\n\nIt knows nothing.\n")
    facts = dict(line.strip().split("  ", 1) for line in out.splitlines() if line[:2] == "  ")
    assert facts["Architecture"].strip() == "LlamaForCausalLM"
    assert facts["Context"].strip() == "256 tokens"
    assert facts["Heads"].strip() == "4, 2 for keys and values"
    assert "[Retrieval]" in facts["Special tokens"]
    assert "model.safetensors" in out


def test_what_a_model_does_not_state_has_a_row_that_says_so(tmp_path: Path, capfd: CAPFD) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "own"}')
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert main(["model", "display", str(tmp_path)]) == 0
    facts, _files = capfd.readouterr().out.split("\n\n")
    rows = {line[:18].strip(): line[18:].strip() for line in facts.splitlines()[1:]}
    assert [label for label, value in rows.items() if value == "not stated"] == [
        "Parameters",
        "Number format",
        "Vocabulary",
        "Context",
        "Layers",
        "Attention",
        "Special tokens",
        "Licence",
    ]
    assert (rows["Architecture"], rows["Chat template"][:4]) == ("own", "none")


def test_the_facts_are_one_json_document(checkpoint: Path, capfd: CAPFD) -> None:
    assert main(["model", "display", str(checkpoint), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["vocab_size"], facts["num_layers"], facts["context_length"]) == (384, 2, 256)
    assert {"name": "config.json", "size_bytes": 554}["name"] in {f["name"] for f in facts["files"]}


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_counted_the_same_in_weights_header_and_shape(
    tmp_path: Path, tied: bool
) -> None:
    folder = pico_llama(tmp_path / "checkpoint", tie_word_embeddings=tied)
    report = export(folder, tmp_path / "onnx")
    counted = sum(array.size for array in load_file(folder / "model.safetensors").values())
    settings = EngineSettings()
    assert describe(str(folder), settings).num_parameters == counted == report.num_parameters
    assert describe(str(report.folder), settings).num_parameters == counted


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_broken_weights_file_is_one_sentence(
    tmp_path: Path, capfd: CAPFD, content: bytes
) -> None:
    folder = pico_llama(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    for option in ([], ["--load"]):
        assert main(["model", "display", str(folder), *option]) == 1
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "is not in the safetensors format" in err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "lack 1 of the weights"),
        (lambda tensors: tensors.update({"model.norm.weight": np.ones((3, 3))}), "cannot load"),
    ],
)
def test_weights_that_do_not_fit_are_not_loaded_to_be_shown(
    tmp_path: Path, capfd: CAPFD, change: Callable[[Any], Any], why: str
) -> None:
    folder = pico_llama(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert main(["model", "display", "--load", str(folder)]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert why in err


@pytest.mark.parametrize("words", [["model", "display", "--load"], ["ask", "Why?", "--model"]])
def test_code_that_nobody_consented_to_is_not_loaded(
    tmp_path: Path, capfd: CAPFD, words: list[str]
) -> None:
    folder = pico_llama(tmp_path)
    path = folder / "config.json"
    own = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    assert main([*words, str(folder)]) == 1
    assert "consent with --trust-remote-code" in capfd.readouterr().err
    assert main([*words, str(folder), "--trust-remote-code"]) == 1
    assert "cannot load the model" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["./nowhere", "rules", "no-such-model"])
def test_an_unknown_model_is_one_sentence(name: str, capfd: CAPFD) -> None:
    assert main(["model", "display", name]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["http://x", "ai://x", ""])
def test_a_name_that_cannot_be_a_model_is_wrong_usage(name: str, capfd: CAPFD) -> None:
    assert main(["model", "display", name]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_an_export_says_what_it_wrote(checkpoint: Path, tmp_path: Path, capfd: CAPFD) -> None:
    out_folder = tmp_path / "out"
    words = ["model", "export", str(checkpoint), "--out", str(out_folder), "--precision", "int8"]
    assert main(words) == 0
    assert capfd.readouterr().out.startswith(f"Wrote {out_folder}: 86.3k parameters in int8, ")
    assert main([*words, "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["size_bytes"] == (out_folder / "model.onnx").stat().st_size
    assert main(["model", "run", str(out_folder), "Hello", "--quiet", "--max-new-tokens", "2"]) == 0


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        ([], 2, "--out DIR"),
        (["--out", "x", "--precision", "int3"], 2, "'fp32', 'int8', 'int4'"),
    ],
)
def test_an_export_that_cannot_be_is_one_sentence(
    checkpoint: Path, capfd: CAPFD, more: list[str], code: int, sentence: str
) -> None:
    assert main(["model", "export", str(checkpoint), *more]) == code
    assert sentence in capfd.readouterr().err
