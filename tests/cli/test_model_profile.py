"""`avalan model profile`: every engine that can run the model, and why another cannot."""

import json
from pathlib import Path

import pytest

from avalan.cli import main

CAPFD = pytest.CaptureFixture[str]
FEW = ["--prompt-tokens", "8", "--new-tokens", "4", "--runs", "1"]


def test_the_bundled_model_is_measured(capfd: CAPFD) -> None:
    assert main(["model", "profile", *FEW, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    (found,) = document["profiles"]
    assert found["engine"] == "onnx"
    assert 0 < found["load_s"] < 60
    assert found["prefill_tokens_per_s"] == pytest.approx(8 / found["ttft_s"])
    assert found["decode_tokens_per_s"] > 0
    assert 10e6 < found["memory_bytes"] < 2e9
    assert document["refused"] == {}


def test_an_engine_that_cannot_is_a_sentence_beside_those_that_can(
    capfd: CAPFD, pico_onnx_folder: Path
) -> None:
    words = ["model", "profile", str(pico_onnx_folder), "--engines", "transformers,onnx", *FEW]
    assert main(words) == 0
    out, err = capfd.readouterr()
    assert "onnx" in out
    assert "transformers: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--engines", "abacus"], "no engine called 'abacus'"),
        (["--runs", "0"], "--runs is 0, but it must be from 1"),
        (["--new-tokens", "1"], "--new-tokens is 1, but it must be from 2"),
    ],
)
def test_bad_usage(capfd: CAPFD, words: list[str], complaint: str) -> None:
    assert main(["model", "profile", *words]) == 2
    assert complaint in capfd.readouterr().err
