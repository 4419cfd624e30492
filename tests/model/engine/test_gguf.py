"""GGUF files: what llama.cpp cannot run is said, and states are given back."""

import gc
from pathlib import Path

import gguf
import pytest

from avalan.errors import ConfigurationError, ModelError
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings
from avalan.model.load import open_model

pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: make gguf-wheel")


def written(path: Path, architecture: str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.gguf", "martian")
    with pytest.raises(ModelError, match=r"cannot load .*x\.gguf \(.*martian"):
        open_model(str(path))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\xff" * 4000, b"GGUF\x03\x00\x00\x00" * 9])
def test_a_broken_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load") as caught:
        open_model(str(tmp_path / "x.gguf"))
    assert "\n" not in str(caught.value)


def test_states_that_nobody_holds_are_given_back(pico_gguf_file: Path) -> None:
    engine = load_engine("gguf", pico_gguf_file, EngineSettings(num_threads=1))
    assert isinstance(engine, SteppingEngine)
    for _ in range(200):
        state = engine.start()
        engine.feed(state, [5, 6])
        engine.fork(state)
    gc.collect()
    held = [engine.start() for _ in range(60)]
    with pytest.raises(ModelError, match="too many texts"):
        held += [engine.start() for _ in range(20)]
    engine.close()


def test_texts_that_fill_the_cache_together_are_a_sentence(pico_gguf_file: Path) -> None:
    engine = load_engine("gguf", pico_gguf_file, EngineSettings(num_threads=1))
    assert isinstance(engine, SteppingEngine)
    one, two = engine.start(), engine.start()
    engine.feed(one, [5] * 200)
    with pytest.raises(ModelError, match="share 256 tokens"):
        engine.feed(two, [6] * 200)
    assert (one.length, two.length) == (200, 0)
    engine.feed(two, [6] * 20)
    engine.close()


def test_a_shorter_context_is_what_was_asked_for(pico_gguf_file: Path) -> None:
    with open_model(str(pico_gguf_file), EngineSettings(context_length=64)) as model:
        assert model.engine.context_length == 64
        with pytest.raises(ModelError, match="at most 64 tokens"):
            model.stepping.feed(model.stepping.start(), [5] * 65)


@pytest.mark.parametrize("settings", [{"weight_type": "bf16"}, {"attention": "sdpa"}], ids=str)
def test_what_a_file_has_decided_cannot_be_chosen(
    pico_gguf_file: Path, settings: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match="built in"):
        load_engine("gguf", pico_gguf_file, EngineSettings(**settings))  # type: ignore[arg-type]


def test_a_tokenizer_outlives_its_model(pico_gguf_file: Path) -> None:
    with open_model(str(pico_gguf_file)) as model:
        tokenizer = model.tokenizer
        ids = tokenizer.encode("Who are you?")
    assert tokenizer.decode(ids) == "Who are you?"
