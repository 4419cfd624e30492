"""An exported Llama is the Llama, in fp32 to the last token, in fewer bits by a stated distance."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from avalan import testing
from avalan.cli import main
from avalan.compress.checkpoint import read_weights
from avalan.compress.export import Precision, export, set_apart
from avalan.compress.fidelity import compare
from avalan.errors import ConfigurationError, ModelError, StateError
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings
from avalan.model.prompt import load_tokenizer

IDS = [int(i) for i in np.random.default_rng(5).integers(5, 384, 60)]


def engine(name: str, folder: Path) -> SteppingEngine:
    loaded = load_engine(name, folder, EngineSettings(num_threads=1))
    assert isinstance(loaded, SteppingEngine)
    return loaded


def logits(loaded: SteppingEngine) -> NDArray[np.float32]:
    return loaded.feed(loaded.start(), IDS, every=True)


def greedy(loaded: SteppingEngine, count: int) -> list[int]:
    state = loaded.start()
    row = loaded.feed(state, IDS[:8])
    ids = []
    for _ in range(count):
        ids.append(int(row.argmax()))
        row = loaded.feed(state, ids[-1:])
    return ids


VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "one query per key": {"num_key_value_heads": 4},
    "wide heads": {"head_dim": 32, "hidden_size": 96},
    "far positions": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_fp32_export_is_transformers_to_a_thousandth_and_token_for_token(
    tmp_path: Path, variant: str
) -> None:
    folder = testing.pico_llama(tmp_path / "pico", seed=3, **VARIANTS[variant])
    ours = engine("onnx", export(folder, tmp_path / "onnx").folder)
    theirs = engine("transformers", folder)

    assert np.abs(logits(ours) - logits(theirs)).max() < 1e-3
    assert greedy(ours, 32) == greedy(theirs, 32)


# Bounds at three times what this seed gives; a broken scale or order of bytes is off by thousands.
@pytest.mark.parametrize(
    ("precision", "tied", "most"),
    [("int8", True, 5e-4), ("int4", True, 0.04), ("int8", False, 1e-5), ("int4", False, 6e-4)],
)
def test_fewer_bits_stay_near(
    tmp_path: Path, precision: Precision, tied: bool, most: float
) -> None:
    folder = testing.pico_llama(tmp_path / "pico", seed=3, tie_word_embeddings=tied)
    reference = logits(engine("onnx", export(folder, tmp_path / "fp32").folder))
    smaller = logits(engine("onnx", export(folder, tmp_path / "x", precision=precision).folder))

    # Random weights give logits far apart; divided, their distributions are those of a real model.
    found = compare(reference / 8, smaller / 8)

    assert 0 < found.mean_kl < most
    assert found.top1_agreement > 0.7


def test_sizes_shrink_and_a_tied_table_is_stored_once(tmp_path: Path) -> None:
    shape = {"vocab_size": 2048, "hidden_size": 128, "head_dim": 32}
    tied = testing.pico_llama(tmp_path / "tied", **shape)
    untied = testing.pico_llama(tmp_path / "untied", tie_word_embeddings=False, **shape)
    table = 2048 * 128

    def size(folder: Path, precision: Precision) -> int:
        return export(folder, tmp_path / "out", precision=precision).size_bytes

    fp32, int8, int4 = (size(tied, precision) for precision in ("fp32", "int8", "int4"))
    assert fp32 > 3.2 * int8 > 3.2 * int4
    assert size(untied, "fp32") - fp32 == pytest.approx(4 * table, rel=0.01)
    assert size(untied, "int8") - int8 == pytest.approx(1.125 * table, rel=0.01)


def test_report_counts_a_tied_table_once(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    report = export(folder, tmp_path / "out", precision="int8")

    assert report.num_parameters == sum(array.size for array in read_weights(folder).values())
    assert report.size_bytes == (report.folder / "model.onnx").stat().st_size


def test_export_has_its_tokenizer_and_is_the_same_each_time(
    pico_folder: Path, tmp_path: Path
) -> None:
    one = export(pico_folder, tmp_path / "one", precision="int4").folder
    two = export(pico_folder, tmp_path / "two", precision="int4").folder

    assert (one / "model.onnx").read_bytes() == (two / "model.onnx").read_bytes()
    assert load_tokenizer(one).encode("Hi") == load_tokenizer(pico_folder).encode("Hi")
    assert (one / "generation_config.json").is_file()


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_weights_set_apart_are_the_same_weights(
    pico_folder: Path, tmp_path: Path, precision: Precision
) -> None:
    folder = export(pico_folder, tmp_path / "pico", precision=precision).folder
    whole, size = logits(engine("onnx", folder)), (folder / "model.onnx").stat().st_size
    set_apart(folder / "model.onnx")

    assert np.array_equal(logits(engine("onnx", folder)), whole)
    assert (folder / "model.onnx").stat().st_size < size / 4
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    places = [
        {entry.key: entry.value for entry in tensor.external_data} for tensor in graph.initializer
    ]
    assert {int(place["offset"]) % 64 for place in places if place} == {0}


def changed(folder: Path, to: Path, **config: Any) -> Path:
    shutil.copytree(folder, to)
    settings = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**settings, **config}))
    return to


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"model_type": "qwen3"}, "its type is 'qwen3', not 'llama'"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8}}, "scaled by 'llama3'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "scaled by 'linear'"),
        ({"hidden_act": "gelu"}, "its activation is 'gelu'"),
        ({"attention_bias": True}, "its attention has biases"),
        ({"mlp_bias": True}, "its feed-forward layers have biases"),
        ({"head_dim": 12}, "its heads are of 12, not a multiple of 8"),
        ({"hidden_size": None}, "its config.json lacks hidden_size"),
    ],
)
def test_what_the_graph_cannot_express_is_refused(
    pico_folder: Path, tmp_path: Path, config: dict[str, Any], what: str
) -> None:
    folder = changed(pico_folder, tmp_path / "changed", **config)

    with pytest.raises(ModelError, match=f"{what}.*engine 'transformers' instead"):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_old_place_of_the_rotary_base_is_read(tmp_path: Path) -> None:
    rotary = {"rope_type": "default", "rope_theta": 1234.0}
    new = testing.pico_llama(tmp_path / "new", rope_parameters=rotary)
    old = changed(new, tmp_path / "old", rope_parameters=None, rope_theta=1234.0)

    exported = [export(folder, tmp_path / f"{folder.name}-onnx").folder for folder in (new, old)]

    one, two = ((folder / "model.onnx").read_bytes() for folder in exported)
    assert one == two


def test_weights_that_do_not_fit_the_config_are_refused(pico_folder: Path, tmp_path: Path) -> None:
    folder = changed(pico_folder, tmp_path / "changed", intermediate_size=64)

    with pytest.raises(ModelError, match=r"gate_proj.weight is of the shape \(96, 64\)"):
        export(folder, tmp_path / "out")


def test_width_that_is_no_multiple_of_the_block_is_refused(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico", hidden_size=48)

    with pytest.raises(ModelError, match="48 columns, which is not a multiple of 32"):
        export(folder, tmp_path / "out", precision="int8")


def test_unknown_precision_lists_those_there_are(pico_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose one of: fp32, int8, int4"):
        export(pico_folder, tmp_path, precision="int3")  # type: ignore[arg-type]


def test_export_onto_itself_is_refused(pico_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="would overwrite"):
        export(pico_folder, pico_folder)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A disk on which a file cannot grow beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("missing_bytes", [1, 1_000_000_000])
def test_an_export_that_does_not_fit_names_its_folder_and_leaves_nothing(
    pico_folder: Path, tmp_path: Path, missing_bytes: int
) -> None:
    size_bytes = export(pico_folder, tmp_path / "whole").size_bytes
    out = tmp_path / "new" / "out"

    with (
        files_of_at_most(max(size_bytes - missing_bytes, 16)),
        pytest.raises(StateError, match=f"cannot be written to {out} .File too large.*nothing of"),
    ):
        export(pico_folder, out)

    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_an_export_that_does_not_fit_keeps_the_one_before_it(
    pico_folder: Path, tmp_path: Path
) -> None:
    out = export(pico_folder, tmp_path / "out", precision="int4").folder
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    with files_of_at_most(len(before["model.onnx"]) + 1000), pytest.raises(StateError):
        export(pico_folder, out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_command_names_the_folder_that_cannot_be_written(
    pico_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with files_of_at_most(1000):
        assert main(["model", "export", str(pico_folder), "--out", str(out)]) == 1
    complaint = capsys.readouterr().err
    assert f"cannot be written to {out} (" in complaint
    assert str(pico_folder) not in complaint
    assert not out.exists()


def test_a_file_where_the_folder_would_be_is_a_sentence(pico_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StateError, match=r"cannot be written to .*out \(File exists\)"):
        export(pico_folder, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_exporting_again_replaces_what_was_there(pico_folder: Path, tmp_path: Path) -> None:
    out = export(pico_folder, tmp_path / "out").folder
    (out / "model.onnx.data").write_text("weights of a larger model")
    (out / "mine.txt").write_text("mine")
    export(pico_folder, out, precision="int8")

    fresh = export(pico_folder, tmp_path / "fresh", precision="int8").folder
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in fresh.iterdir()} | {"mine.txt"}
    assert (out / "model.onnx").read_bytes() == (fresh / "model.onnx").read_bytes()


def test_missing_weights_are_a_sentence(pico_folder: Path, tmp_path: Path) -> None:
    shutil.copyfile(pico_folder / "config.json", tmp_path / "config.json")

    with pytest.raises(ModelError, match=r"lacks model\.safetensors"):
        export(tmp_path, tmp_path / "out")


def test_truncated_weights_are_a_sentence(pico_folder: Path, tmp_path: Path) -> None:
    folder = changed(pico_folder, tmp_path / "cut")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:5000])

    with pytest.raises(ModelError, match="cannot be read"):
        export(folder, tmp_path / "out")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_are_read_exactly(
    pico_folder: Path, tmp_path: Path, dtype: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    stored = load_file(pico_folder / "model.safetensors")
    halves = {name: tensor.to(getattr(torch, dtype)) for name, tensor in stored.items()}
    first, *others = halves
    save_file({first: halves[first]}, tmp_path / "a.safetensors")
    save_file({name: halves[name] for name in others}, tmp_path / "b.safetensors")
    names = {first: "a.safetensors"} | dict.fromkeys(others, "b.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))

    found = read_weights(tmp_path)

    assert found.keys() == halves.keys()
    for name, tensor in halves.items():
        np.testing.assert_array_equal(tensor.float().numpy(), found[name])
