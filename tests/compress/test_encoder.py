"""The export of encoders; that its vectors are those of transformers is in test_sentence."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from avalan import testing
from avalan.cli import main
from avalan.compress.checkpoint import read_weights
from avalan.compress.encoder import export_encoder, principal_components, quantize_rows
from avalan.errors import ModelError
from avalan.model.nlp.sentence import open_embedder

TEXTS = ["the cat sat on the mat", "a train leaves"]


def test_principal_components_are_those_of_numpys_svd() -> None:
    table = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    mean, factors, basis = principal_components(table, np.ones(40), 3)
    left, values, right = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)
    assert mean == pytest.approx(table.mean(axis=0), abs=1e-6)
    assert factors @ basis == pytest.approx(left[:, :3] * values[:3] @ right[:3], abs=1e-5)
    assert basis @ basis.T == pytest.approx(np.eye(3), abs=1e-6)


def test_heavier_rows_are_kept_better() -> None:
    table = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    weights = np.ones(40)
    weights[0] = 1_000
    errors = []
    for each in (np.ones(40), weights):
        mean, factors, basis = principal_components(table, each, 2)
        errors.append(np.abs(mean + factors @ basis - table)[0].max())
    assert errors[1] < 0.1 * errors[0]


def test_rows_are_rounded_by_hand() -> None:
    values, scales = quantize_rows(np.array([[1.0, -0.5, 0.0], [0, 0, 0]], np.float32))
    assert values.tolist() == [[64, -32, 0], [0, 0, 0]]
    assert scales[0] == 1 / 64


def test_factors_of_full_rank_change_nothing(tmp_path: Path) -> None:
    folder = testing.pico_bert(tmp_path / "bert")
    export_encoder(folder, tmp_path / "whole", precision="fp32")
    export_encoder(folder, tmp_path / "factors", precision="fp32", rank=32)
    whole, factors = (open_embedder(str(tmp_path / n)).embed(TEXTS) for n in ("whole", "factors"))
    assert factors == pytest.approx(whole, abs=1e-5)


def test_the_large_factor_has_four_bits(tmp_path: Path) -> None:
    folder = testing.pico_bert(tmp_path / "bert")
    export_encoder(folder, tmp_path / "out", precision="int8", rank=32)
    arrays = {a.name: a.dims for a in onnx.load(tmp_path / "out/model.onnx").graph.initializer}
    vocab_size = read_weights(folder)["embeddings.word_embeddings.weight"].shape[0]
    assert list(arrays["tokens.values"]) == [vocab_size, 16]
    vectors = open_embedder(str(tmp_path / "out")).embed(TEXTS)
    assert (vectors * open_embedder(str(folder)).embed(TEXTS)).sum(axis=1).min() > 0.9


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("hidden_act", "relu", "its activation is 'relu', not 'gelu'"),
        ("model_type", "roberta", "its type is 'roberta', not 'bert'"),
    ],
)
def test_what_the_graph_cannot_express_is_refused(
    tmp_path: Path, key: str, value: str, what: str
) -> None:
    folder = testing.pico_bert(tmp_path)
    config = (folder / "config.json").read_text()
    old = {"hidden_act": "gelu", "model_type": "bert"}[key]
    changed = config.replace(f'"{key}": "{old}"', f'"{key}": "{value}"')
    (folder / "config.json").write_text(changed)
    with pytest.raises(ModelError, match=what):
        export_encoder(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_exports_an_embedder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = testing.pico_bert(tmp_path / "bert"), tmp_path / "onnx"
    assert main(["model", "export", str(folder), "--out", str(out)]) == 0
    assert "in int8" in capsys.readouterr().out
    vectors = open_embedder(str(out)).embed(["the cat"])
    assert (vectors @ open_embedder(str(folder)).embed(["the cat"]).T).item() > 0.95
    words = ["model", "export", str(folder), "--out", str(out), "--precision", "int4"]
    assert main(words) == 2
    assert "An encoder cannot be written in int4" in capsys.readouterr().err
