"""How a model is loaded: what is honoured, what is refused and why."""

import json
import pickle
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avalan import testing
from avalan.errors import ConfigurationError, MissingExtra, ModelError
from avalan.hub.found import code_files, find_cached
from avalan.hub.remote import RemoteFile, RemoteModel, patterns_for
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings
from avalan.model.load import open_model
from avalan.model.weights import check_attention

IDS = [7, 300, 12, 45, 45, 9]


@pytest.fixture
def folder(pico_folder: Path, tmp_path: Path) -> Path:
    """A pico model whose files a test may change."""
    return shutil.copytree(pico_folder, tmp_path / "model")


def logits(folder: Path, name: str = "transformers", **settings: Any) -> Any:
    engine = load_engine(name, folder, EngineSettings(num_threads=1, **settings))
    assert isinstance(engine, SteppingEngine)
    return engine.feed(engine.start(), IDS)


# --- number formats -----------------------------------------------------------------------------


@pytest.mark.parametrize(("weight_type", "least", "most"), [("int8", 1e-6, 0.2), ("int4", 0.01, 2)])
@pytest.mark.filterwarnings("ignore::FutureWarning")  # bitsandbytes' own, of torch.
def test_weights_are_quantised_while_they_are_loaded(
    pico_folder: Path, weight_type: str, least: float, most: float
) -> None:
    pytest.importorskip("bitsandbytes")
    difference = np.abs(logits(pico_folder) - logits(pico_folder, weight_type=weight_type)).mean()
    assert least < difference < most


def test_what_quantises_is_named_where_it_is_missing(
    pico_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setattr("avalan.extras.is_installed", lambda _package: False)
    with pytest.raises(MissingExtra, match=r"'int8' needs .*bitsandbytes.*\[quantization\]"):
        logits(pico_folder, weight_type="int8")


def test_an_adapter_is_not_merged_into_quantised_weights(pico_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"adapter is merged .*'int4'"):
        logits(pico_folder, weight_type="int4", adapter="adapter")


# --- attention ----------------------------------------------------------------------------------


def test_every_attention_of_a_processor_gives_the_same(pico_folder: Path) -> None:
    expected = logits(pico_folder)
    for attention in ("eager", "sdpa"):
        assert np.allclose(expected, logits(pico_folder, attention=attention), atol=1e-4)


@pytest.mark.parametrize("attention", ["flash_attention_2", "flex_attention"])
def test_an_attention_for_cuda_is_refused_elsewhere(pico_folder: Path, attention: str) -> None:
    with pytest.raises(ModelError, match=f"{attention}.* on CUDA devices only.* 'sdpa'"):
        logits(pico_folder, attention=attention)


def test_flash_attention_says_which_package_it_needs() -> None:
    with pytest.raises(ModelError, match="pip install flash-attn, or choose the attention 'sdpa'"):
        check_attention("flash_attention_2", torch.device("cuda"))
    check_attention("flex_attention", torch.device("cuda"))


def test_an_unknown_attention_lists_those_there_are(pico_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose one of: auto, eager, sdpa"):
        logits(pico_folder, attention="close")


def test_an_onnx_file_has_its_attention_built_in(pico_onnx_folder: Path) -> None:
    with pytest.raises(ModelError, match="attention built in, so 'eager' cannot be chosen"):
        logits(pico_onnx_folder, "onnx", attention="eager")


# --- memory and number formats ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fixture"), [("onnx", "pico_onnx_folder"), ("transformers", "pico_folder")]
)
def test_low_memory_changes_no_number(
    request: pytest.FixtureRequest, name: str, fixture: str
) -> None:
    folder = request.getfixturevalue(fixture)
    sparing = logits(folder, name, low_cpu_mem_usage=True)
    assert np.allclose(logits(folder, name), sparing, atol=1e-5)


@pytest.mark.parametrize(("name", "same"), [("f32", "fp32"), ("f16", "fp16")])
def test_a_weight_type_has_two_names(pico_folder: Path, name: str, same: str) -> None:
    one, other = (logits(pico_folder, weight_type=each) for each in (name, same))
    assert np.array_equal(one, other)


# --- damaged files ------------------------------------------------------------------------------


def spoil_length(data: bytes) -> bytes:
    return struct.pack("<Q", 1 << 40) + data[8:]


def spoil_header(data: bytes) -> bytes:
    return data[:9] + b"\xff" + data[10:]


def cut(data: bytes) -> bytes:
    return data[:-100]


@pytest.mark.parametrize("spoil", [spoil_length, spoil_header, cut, lambda data: b""])
def test_a_damaged_safetensors_file_is_named(folder: Path, spoil: Any) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelError, match=r"model\.safetensors is not in the safetensors format"):
        logits(folder)


# --- pickled weights ----------------------------------------------------------------------------


@pytest.fixture
def pickled(folder: Path) -> Path:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_pickled_weights_are_refused_unless_asked_for(pickled: Path, pico_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"only pickled weights .* model run .* --allow-pickle"):
        open_model(str(pickled), EngineSettings())
    with open_model(str(pickled), EngineSettings(allow_pickle=True)) as model:
        given = model.stepping.feed(model.stepping.start(), IDS)
    assert np.allclose(logits(pico_folder), given, atol=1e-5)


class _Hostile:
    def __reduce__(self) -> Any:
        return (open, (str(MARKER), "w"))


MARKER = Path("never-made-by-a-pickle")


def test_a_pickle_runs_no_code_even_where_it_is_allowed(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({"x": _Hostile()}, protocol=2))
    with pytest.raises(ModelError, match="hold more than numbers"):
        open_model(str(pickled), EngineSettings(allow_pickle=True))
    assert not MARKER.exists()


def test_junk_in_place_of_a_pickle_is_said_to_be_damaged(pickled: Path) -> None:
    (pickled / "pytorch_model.bin").write_bytes(b"junk" * 100)
    with pytest.raises(ModelError, match="are damaged or hold more than numbers"):
        open_model(str(pickled), EngineSettings(allow_pickle=True))


def remote(*paths: str) -> RemoteModel:
    files = tuple(RemoteFile(path=path, size_bytes=1, etag=path) for path in paths)
    return RemoteModel(name="org/model", commit="0" * 40, files=files, licence=None)


def test_pickles_are_fetched_only_where_there_is_nothing_else() -> None:
    both = remote("model.safetensors", "pytorch_model.bin")
    assert "pytorch_model*.bin" not in patterns_for(both, pickled=True)
    assert "pytorch_model*.bin" in patterns_for(remote("pytorch_model.bin"), pickled=True)
    with pytest.raises(ModelError, match="unless --allow-pickle says so"):
        patterns_for(remote("pytorch_model.bin"))


# --- code of a model's own ----------------------------------------------------------------------

CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({marker!r}).touch()
class OwnConfig(LlamaConfig):
    model_type = "pico_own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def with_code(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model that needs a file of Python; running it leaves a mark beside the folder."""
    cache = tmp_path / "modules"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(cache))
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = folder / "config.json"
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    content = json.loads(path.read_text()) | {"model_type": "pico_own", "auto_map": names}
    content["architectures"] = ["OwnModel"]
    path.write_text(json.dumps(content))
    (folder / "own.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    yield folder
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


def test_code_of_a_model_runs_with_consent_only(
    with_code: Path, tmp_path: Path, pico_folder: Path
) -> None:
    with pytest.raises(ModelError, match=r"own\.py.* consent with --trust-remote-code"):
        logits(with_code)
    assert not (tmp_path / "ran").exists()
    given = logits(with_code, trust_remote_code=True)
    assert (tmp_path / "ran").exists()
    assert np.allclose(logits(pico_folder), given, atol=1e-5)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("OwnConfig = 5\nOwnModel = 6", "register_for_auto_class"),
        ("raise LookupError('out of order')", "out of order"),
        ("raise SystemExit('leaving')", "leaving"),
        ("class OwnConfig(", "never closed"),
    ],
)
def test_whatever_a_models_code_raises_is_the_reason(
    with_code: Path, code: str, reason: str
) -> None:
    (with_code / "own.py").write_text(code)
    with pytest.raises(ModelError, match=f"cannot load the model .*{reason}"):
        logits(with_code, trust_remote_code=True)


def test_code_that_transformers_has_itself_needs_no_consent(folder: Path) -> None:
    path = folder / "config.json"
    names = {"AutoModelForCausalLM": "own.OwnModel"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": names}))
    assert logits(folder).shape == (384,)


def test_the_files_of_code_are_read_from_the_configuration() -> None:
    names = {"A": "modeling_x.M", "B": ["tokens.Slow", None], "C": "other/repo--far.Away"}
    assert code_files({"auto_map": names}) == ["modeling_x.py", "tokens.py"]
    assert code_files({}) == code_files({"auto_map": None}) == []


def test_a_cached_model_without_its_code_is_not_whole(
    with_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avalan.hub.found.find_snapshot", lambda name, **where: with_code)
    where: dict[str, Any] = {"cache_dir": None, "revision": None}
    assert find_cached("a/b", **where, code=True) == with_code
    (with_code / "own.py").unlink()
    assert find_cached("a/b", **where, code=True) is None
    assert find_cached("a/b", **where) == with_code


# --- tokenizers ---------------------------------------------------------------------------------


def test_an_added_token_gets_a_place_in_the_model(pico_folder: Path) -> None:
    settings = EngineSettings(tokens=("<my_token>",), special_tokens=("<ctl>",))
    with open_model(str(pico_folder), settings) as model:
        token_id = model.tokenizer.token_id("<my_token>")
        assert token_id == 384
        assert model.tokenizer.token_id("<ctl>") == 385
        engine = model.stepping
        assert engine.vocab_size == 386
        rows = engine.feed(engine.start(), [*IDS, token_id, 385], every=True)
    with open_model(str(pico_folder)) as plain:
        before = plain.stepping.feed(plain.stepping.start(), IDS, every=True)
    assert np.allclose(before, rows[: len(IDS), :384], atol=1e-4)
    assert np.isfinite(rows).all()
    # The logits of a token whose vector is the mean of all are the mean of all.
    assert np.allclose(rows[:, 384], rows[:, :384].mean(1), atol=1e-4)


def test_tables_of_their_own_grow_both(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "untied", tie_word_embeddings=False)
    with open_model(str(folder), EngineSettings(tokens=("<my_token>",))) as model:
        row = model.stepping.feed(model.stepping.start(), [*IDS, 384])
    assert np.isclose(row[384], row[:384].mean(), atol=1e-4)


def test_an_onnx_file_has_no_room_for_more_tokens(pico_onnx_folder: Path) -> None:
    with pytest.raises(ModelError, match="place for 384 tokens and the tokenizer has 385"):
        open_model(str(pico_onnx_folder), EngineSettings(tokens=("<my_token>",)))


def test_a_token_that_is_known_needs_no_room(pico_onnx_folder: Path) -> None:
    with open_model(str(pico_onnx_folder), EngineSettings(special_tokens=("</s>",))) as model:
        assert model.tokenizer.vocab_size == 384


def test_another_tokenizer_is_used_and_the_models_ends_stay(
    pico_onnx_folder: Path, tmp_path: Path
) -> None:
    other = testing.pico_tokenizer(tmp_path / "other", special_tokens=("[X]",))
    (other / "tokenizer_config.json").write_text("{}")
    settings = EngineSettings(tokenizer=str(other), revision="v1")
    with open_model(str(pico_onnx_folder), settings) as model:
        assert "[X]" in model.tokenizer.added_tokens
        assert model.tokenizer.eos_ids == {1}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("./nowhere", "no tokenizer './nowhere'"), ("reader", "not a language model")],
)
def test_a_tokenizer_that_does_not_exist_is_a_sentence(
    pico_onnx_folder: Path, name: str, sentence: str
) -> None:
    with pytest.raises((ModelError, ConfigurationError), match=sentence):
        open_model(str(pico_onnx_folder), EngineSettings(tokenizer=name))


def test_a_secret_is_not_in_what_is_printed() -> None:
    assert "hf_" not in repr(EngineSettings(access_token="hf_secret"))
