"""What every stepping engine promises, on Llama- and Qwen3.5-shaped models alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avalan.errors import ConfigurationError, ModelError
from avalan.hub.folder import find_onnx_decoder
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings

IDS = [7, 300, 12, 45, 45, 9, 121, 260, 33, 5, 78, 210]


@pytest.fixture(
    scope="module",
    params=[
        ("onnx", "pico_onnx_folder"),
        ("transformers", "pico_folder"),
        ("transformers", "pico_qwen_folder"),
        ("gguf", "pico_gguf_file"),
        ("gguf", "pico_qwen_gguf_file"),
    ],
    ids=["onnx-llama", "transformers-llama", "transformers-qwen3.5", "gguf-llama", "gguf-qwen3.5"],
)
def engine(request: pytest.FixtureRequest) -> Iterator[SteppingEngine]:
    name, folder = request.param
    engine = load_engine(name, request.getfixturevalue(folder), EngineSettings(num_threads=1))
    assert isinstance(engine, SteppingEngine)
    yield engine
    engine.close()


Close = Callable[[Any, Any], bool]


@pytest.fixture
def close(engine: SteppingEngine) -> Close:
    """Whether two rows of logits are the same but for rounding."""
    # llama.cpp keeps keys and values in half precision.
    tolerance = 5e-2 if type(engine).__name__ == "GgufEngine" else 1e-4
    return lambda expected, actual: np.allclose(expected, actual, atol=tolerance, rtol=1e-4)


def fed(engine: SteppingEngine, *pieces: list[int]) -> Any:
    """The logits after each token of all pieces, fed one piece after the other."""
    state = engine.start()
    return np.concatenate([engine.feed(state, piece, every=True) for piece in pieces])


def test_one_row_is_the_last_of_every_row(engine: SteppingEngine, close: Close) -> None:
    rows = fed(engine, IDS)

    assert rows.shape == (len(IDS), engine.vocab_size)
    assert rows.dtype == np.float32
    last = engine.feed(engine.start(), IDS)
    assert last.shape == (engine.vocab_size,)
    assert close(rows[-1], last)


def test_feeding_in_pieces_is_feeding_at_once(engine: SteppingEngine, close: Close) -> None:
    assert close(fed(engine, IDS), fed(engine, IDS[:5], IDS[5:6], IDS[6:]))


def test_every_row_is_that_of_a_single_feed(engine: SteppingEngine, close: Close) -> None:
    assert close(fed(engine, IDS), fed(engine, *([token_id] for token_id in IDS)))


def test_length_counts_what_was_fed(engine: SteppingEngine) -> None:
    state = engine.start()
    assert state.length == 0
    engine.feed(state, IDS[:4])
    engine.feed(state, IDS[4:5])

    assert state.length == 5


def test_forks_do_not_touch_each_other(engine: SteppingEngine, close: Close) -> None:
    state = engine.start()
    engine.feed(state, IDS[:6])
    one, two = engine.fork(state), engine.fork(state)
    engine.feed(one, [1, 2, 3])
    engine.feed(two, [350])
    engine.feed(one, [4])

    assert (state.length, one.length, two.length) == (6, 10, 7)
    for fork in (state, two):
        fork_rest = engine.feed(fork, IDS[6:])
        before = IDS[:6] if fork is state else [*IDS[:6], 350]
        assert close(fed(engine, [*before, *IDS[6:]])[-1], fork_rest)


def test_rewind_is_as_if_never_fed_or_is_refused(engine: SteppingEngine, close: Close) -> None:
    state = engine.start()
    engine.feed(state, IDS[:6])
    engine.feed(state, [1, 2, 3])
    if "rewind" in engine.capabilities:
        engine.rewind(state, 3)

        assert state.length == 6
        assert close(fed(engine, IDS)[-1], engine.feed(state, IDS[6:]))
    else:
        with pytest.raises(ModelError, match="fork the state before feeding instead"):
            engine.rewind(state, 3)


def test_rewinding_a_state_leaves_its_forks(engine: SteppingEngine, close: Close) -> None:
    if "rewind" not in engine.capabilities:
        return
    state = engine.start()
    engine.feed(state, IDS[:6])
    fork = engine.fork(state)
    engine.rewind(state, 6)
    engine.feed(state, [1, 2, 3])

    assert close(fed(engine, IDS)[-1], engine.feed(fork, IDS[6:]))


def test_rewinding_too_far_is_refused(engine: SteppingEngine) -> None:
    if "rewind" in engine.capabilities:
        state = engine.start()
        engine.feed(state, IDS[:2])
        with pytest.raises(ModelError, match="holds 2 tokens, so 3 cannot be dropped"):
            engine.rewind(state, 3)


def test_overflow_gives_the_numbers_and_changes_nothing(
    engine: SteppingEngine, close: Close
) -> None:
    state = engine.start()
    engine.feed(state, IDS)

    with pytest.raises(ModelError, match="at most 256 tokens, but the prompt has 257, 1 too many"):
        engine.feed(state, [5] * 245)
    assert state.length == 12
    assert close(fed(engine, [*IDS, 5])[-1], engine.feed(state, [5]))


def test_context_can_be_filled_to_its_last_token(engine: SteppingEngine) -> None:
    state = engine.start()
    engine.feed(state, [5] * engine.context_length)

    assert state.length == engine.context_length


@pytest.mark.parametrize("bad", [-1, 384, 100000])
def test_id_outside_the_vocabulary_is_refused(engine: SteppingEngine, bad: int) -> None:
    with pytest.raises(ModelError, match=f"Token id {bad} is outside"):
        engine.feed(engine.start(), [5, bad])


def test_empty_feed_is_refused(engine: SteppingEngine) -> None:
    with pytest.raises(ModelError, match="prompt is empty"):
        engine.feed(engine.start(), [])


def test_onnx_and_transformers_give_the_same_logits(
    pico_folder: Path, pico_onnx_folder: Path
) -> None:
    ours = load_engine("onnx", pico_onnx_folder, EngineSettings())
    theirs = load_engine("transformers", pico_folder, EngineSettings())
    assert isinstance(ours, SteppingEngine)
    assert isinstance(theirs, SteppingEngine)

    assert np.abs(fed(ours, IDS) - fed(theirs, IDS)).max() < 1e-3


def test_graph_that_always_gives_every_row_is_understood(
    pico_onnx_folder: Path, tmp_path: Path
) -> None:
    import onnx

    graph = onnx.load(pico_onnx_folder / "model.onnx")
    kept = [node for node in graph.graph.input if node.name != "logits_to_keep"]
    del graph.graph.input[:]
    graph.graph.input.extend(kept)
    onnx.save(graph, tmp_path / "model.onnx")
    plain = load_engine("onnx", tmp_path, EngineSettings())
    ours = load_engine("onnx", pico_onnx_folder, EngineSettings())
    assert isinstance(plain, SteppingEngine)
    assert isinstance(ours, SteppingEngine)

    same = plain.feed(plain.start(), IDS), ours.feed(ours.start(), IDS)
    np.testing.assert_allclose(*same, atol=1e-4)
    np.testing.assert_allclose(fed(plain, IDS), fed(ours, IDS), atol=1e-4)


def test_the_layout_of_transformers_js_is_understood(
    pico_folder: Path, pico_onnx_folder: Path, tmp_path: Path
) -> None:
    """The graph in a sub-folder, named by its number format, with two branches to choose from."""
    import onnx

    graph = onnx.load(pico_onnx_folder / "model.onnx")
    branch = onnx.helper.make_tensor_value_info("use_cache_branch", onnx.TensorProto.BOOL, [1])
    graph.graph.input.append(branch)
    # Which branch is taken shows in the logits: 100 more in the later steps.
    last = next(node for node in graph.graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "plain_logits"
    make = onnx.helper.make_node
    graph.graph.node.extend(
        [
            make("Cast", ["use_cache_branch"], ["later"], to=onnx.TensorProto.FLOAT),
            make("Constant", [], ["hundred"], value_floats=[100.0]),
            make("Mul", ["later", "hundred"], ["more"]),
            make("Add", ["plain_logits", "more"], ["logits"]),
        ]
    )
    (tmp_path / "onnx").mkdir()
    onnx.save(graph, tmp_path / "onnx" / "model_q4.onnx")
    (tmp_path / "config.json").write_text((pico_onnx_folder / "config.json").read_text())

    engine = load_engine("onnx", tmp_path, EngineSettings())
    assert isinstance(engine, SteppingEngine)
    ours = load_engine("onnx", pico_onnx_folder, EngineSettings())
    assert isinstance(ours, SteppingEngine)
    expected = fed(ours, IDS)
    expected[3:] += 100
    np.testing.assert_allclose(fed(engine, IDS[:3], IDS[3:]), expected, atol=1e-3)


def test_the_most_exact_of_several_onnx_files_is_taken(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for name in ("model_q4f16", "model_quantized", "model_q4", "decoder_model_merged"):
        (tmp_path / "onnx" / f"{name}.onnx").touch()
    assert find_onnx_decoder(tmp_path) == tmp_path / "onnx" / "model_quantized.onnx"


def test_unknown_engine_lists_those_there_are(pico_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no engine called 'guff'; choose one of: onnx, "):
        load_engine("guff", pico_folder, EngineSettings())


@pytest.mark.parametrize("name", ["onnx", "transformers"])
def test_unknown_device_is_a_sentence(name: str, pico_folder: Path, pico_onnx_folder: Path) -> None:
    folder = pico_onnx_folder if name == "onnx" else pico_folder
    with pytest.raises(ModelError, match="choose the device 'cpu'"):
        load_engine(name, folder, EngineSettings(device="abacus"))


@pytest.mark.parametrize("name", ["onnx", "transformers"])
def test_folder_without_weights_is_a_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match=str(tmp_path)):
        load_engine(name, tmp_path, EngineSettings())


def test_file_that_is_no_onnx_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="cannot open"):
        load_engine("onnx", tmp_path, EngineSettings())


def test_weight_type_that_onnx_cannot_honour_is_refused(pico_onnx_folder: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded as 'bf16'"):
        load_engine("onnx", pico_onnx_folder, EngineSettings(weight_type="bf16"))


def test_unknown_weight_type_lists_those_there_are(pico_folder: Path) -> None:
    with pytest.raises(ModelError, match="choose one of: auto, fp32, f32, bf16, fp16, f16"):
        load_engine("transformers", pico_folder, EngineSettings(weight_type="fp3"))


def test_bf16_weights_give_float32_logits(pico_folder: Path) -> None:
    engine = load_engine("transformers", pico_folder, EngineSettings(weight_type="bf16"))
    assert isinstance(engine, SteppingEngine)

    assert engine.feed(engine.start(), IDS).dtype == np.float32


@pytest.mark.parametrize("num_threads", [0, -5, 100_000])
def test_an_impossible_number_of_threads_is_refused(num_threads: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"num_threads is .* from 1 to 256"):
        load_engine("onnx", tmp_path, EngineSettings(num_threads=num_threads))
