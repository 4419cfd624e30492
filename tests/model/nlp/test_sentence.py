"""Sentence embedders: the vectors are those of transformers, whatever runs the encoder."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from avalan import testing
from avalan.compress.encoder import export_encoder
from avalan.compress.export import set_apart
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import EngineSettings
from avalan.model.nlp.sentence import (
    Pooling,
    batches,
    open_embedder,
    padded,
    pool,
    read_pooling,
    unit_rows,
)

TEXTS = [
    "the cat",
    "",
    "a train leaves the harbour at 9 and looks at the garden",
    "cat",
    "[SEP] mat",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.pico_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("onnx")
    export_encoder(folder, root / "fp32", precision="fp32")
    export_encoder(folder, root / "int8", precision="int8")
    return {"fp32": root / "fp32", "int8": root / "int8"}


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean pooling over transformers' own BERT, text by text."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    rows = []
    for text in texts:
        ids = tokenizer(text, split_special_tokens=True)["input_ids"][:32]
        with torch.inference_mode():
            rows.append(model(torch.tensor([ids])).last_hidden_state[0].mean(dim=0))
    vectors: np.ndarray = torch.nn.functional.normalize(torch.stack(rows), dim=-1).numpy()
    return vectors


@pytest.mark.parametrize("engine", ["transformers", "onnx"])
def test_vectors_are_those_of_transformers(
    engine: str, folder: Path, exported: dict[str, Path]
) -> None:
    place = folder if engine == "transformers" else exported["fp32"]
    embedder = open_embedder(str(place))
    vectors = embedder.embed(TEXTS)
    assert str(vectors.dtype) == "float32"
    assert embedder.dimension == 32
    assert vectors == pytest.approx(reference(folder, TEXTS), abs=1e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)


def test_eight_bits_stay_near(folder: Path, exported: dict[str, Path]) -> None:
    vectors = open_embedder(str(exported["int8"])).embed(TEXTS)
    assert (vectors * reference(folder, TEXTS)).sum(axis=1).min() > 0.98
    sizes = [(exported[name] / "model.onnx").stat().st_size for name in ("int8", "fp32")]
    assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_has_the_same_vector_whatever_comes_with_it(
    precision: str, exported: dict[str, Path]
) -> None:
    embedder = open_embedder(str(exported[precision]))
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert np.array_equal(embedder.embed(TEXTS), alone)
    assert np.array_equal(embedder.embed(TEXTS[::-1])[::-1], alone)


def test_padding_changes_nothing(folder: Path) -> None:
    embedder = open_embedder(str(folder))
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    assert embedder.embed(TEXTS) == pytest.approx(alone, abs=1e-5)


def test_threads_may_ask_at_once(exported: dict[str, Path]) -> None:
    embedder = open_embedder(str(exported["fp32"]))
    expected = embedder.embed(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        for vectors in threads.map(embedder.embed, [TEXTS] * 12):
            assert np.array_equal(vectors, expected)


def test_no_texts_are_no_rows(exported: dict[str, Path]) -> None:
    assert open_embedder(str(exported["fp32"])).embed([]).shape == (0, 32)


def test_a_long_text_is_read_to_its_limit(exported: dict[str, Path]) -> None:
    embedder = open_embedder(str(exported["fp32"]))
    first, second = embedder.embed(["cat " * 40, "cat " * 400])
    assert np.array_equal(first, second)


def test_the_fingerprint_changes_with_the_weights(folder: Path, tmp_path: Path) -> None:
    same = testing.pico_bert(tmp_path / "same")
    other = testing.pico_bert(tmp_path / "other", seed=1)
    prints = [open_embedder(str(each)).fingerprint for each in (folder, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_weights_beside_their_graph_count_for_the_fingerprint(tmp_path: Path) -> None:
    folder = testing.pico_bert(tmp_path / "bert")
    export_encoder(folder, tmp_path / "onnx")
    set_apart(tmp_path / "onnx" / "model.onnx")
    before = open_embedder(str(tmp_path / "onnx")).fingerprint
    weights = tmp_path / "onnx" / "model.onnx.data"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert open_embedder(str(tmp_path / "onnx")).fingerprint != before


def test_prompts_are_put_before_texts(tmp_path: Path) -> None:
    folder = testing.pico_bert(tmp_path)
    prompts = {"prompts": {"query": "the cat ", "document": "a train "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    embedder = open_embedder(str(folder))
    asked, stored = embedder.embed(["mat"], kind="query")[0], embedder.embed(["mat"])[0]
    expected = reference(folder, ["the cat mat", "a train mat"])
    assert np.stack([asked, stored]) == pytest.approx(expected, abs=1e-5)


def test_the_bundled_embedder_finds_what_a_question_means() -> None:
    embedder = open_embedder()
    passages = ["open() returns a file object.", "The cat sat on the mat.", "Rain is expected."]
    scores = embedder.embed(passages) @ embedder.embed(["How do I read a file?"], kind="query")[0]
    assert scores.argmax() == 0
    assert embedder.dimension == 384


# --- the parts ------------------------------------------------------------------------------------


def test_pooling_by_hand() -> None:
    vectors = np.array([[[1, 0], [3, 4], [9, 9]]], np.float32)
    mask = np.array([[1, 1, 0]])
    pooled = {
        mode: pool(vectors, mask, mode).tolist() for mode in ("mean", "cls", "max", "lasttoken")
    }
    assert pooled == {
        "mean": [[2, 2]], "cls": [[1, 0]], "max": [[3, 4]], "lasttoken": [[3, 4]],
    }  # fmt: skip


def test_rows_have_unit_length_and_zeros_stay() -> None:
    assert unit_rows(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0, 0],
    ]


def test_batches_hold_texts_of_like_length() -> None:
    assert list(batches([5, 1, 9, 2, 2], num_tokens=6)) == [[1, 3, 4], [0], [2]]


def test_padding_is_masked() -> None:
    token_ids, mask = padded([[7], [8, 9]])
    assert (token_ids.tolist(), mask.tolist()) == ([[7, 0], [8, 9]], [[1, 0], [1, 1]])


def test_older_and_newer_pooling_files_are_read(tmp_path: Path) -> None:
    folder = testing.pico_bert(tmp_path)
    path = folder / "1_Pooling" / "config.json"
    for content, mode in (
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ):
        path.write_text(json.dumps(content))
        assert read_pooling("x", folder) == Pooling(
            mode=mode,  # type: ignore[arg-type]
            longest=32,
            prompts={"query": "", "passage": ""},
        )


# --- what is no embedder --------------------------------------------------------------------------


def test_a_language_model_is_no_embedder(tmp_path: Path) -> None:
    testing.pico_llama(tmp_path)
    with pytest.raises(ModelError, match="is not an embedding model"):
        open_embedder(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]),
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}),
    ],
)
def test_parts_that_cannot_be_run_are_refused(tmp_path: Path, file: str, content: Any) -> None:
    folder = testing.pico_bert(tmp_path)
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="has a part that cannot be run here"):
        open_embedder(str(folder))


def test_a_graph_without_vectors_is_refused(exported: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported["fp32"] / "model.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    for name in ("config.json", "modules.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((exported["fp32"] / name).read_bytes())
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode": "mean"}')
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="it gives logits, not vectors of texts"):
        open_embedder(str(tmp_path), EngineSettings(engine="onnx"))


# --- served ---------------------------------------------------------------------------------------

Answer = Callable[[list[str]], list[list[float]]]


@pytest.fixture
def serving() -> Iterator[Callable[[Answer], str]]:
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                rows = [
                    {"object": "embedding", "index": index, "embedding": row}
                    for index, row in enumerate(answer(asked["input"]))
                ]
                usage = {"prompt_tokens": 1, "total_tokens": 1}
                body = json.dumps(
                    # Backwards, because the index decides.
                    {"object": "list", "data": rows[::-1], "model": "m", "usage": usage}
                ).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"ai://key@local:{servers[-1].server_address[1]}/m"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_is_asked_in_parts_and_its_rows_are_put_in_order(
    serving: Callable[[Answer], str],
) -> None:
    pytest.importorskip("openai")
    sizes: list[int] = []

    def answer(texts: list[str]) -> list[list[float]]:
        sizes.append(len(texts))
        return [[len(text), 0.0, 1.0] for text in texts]

    embedder = open_embedder(serving(answer))
    vectors = embedder.embed(["x" * n for n in range(100)])
    assert (embedder.dimension, sizes) == (3, [1, 64, 36])
    assert vectors[:, 0] / vectors[:, 2] == pytest.approx(np.arange(100), rel=1e-5)
    assert embedder.embed([]).shape == (0, 3)
    assert "key" not in embedder.name
    embedder.close()


def test_a_server_that_changes_its_mind_is_told(serving: Callable[[Answer], str]) -> None:
    pytest.importorskip("openai")
    widths = iter((3, 4))

    def answer(texts: list[str]) -> list[list[float]]:
        width = next(widths)
        return [[1.0] * width for _ in texts]

    embedder = open_embedder(serving(answer))
    with pytest.raises(ModelError, match="vectors of 4 dimensions now and of 3 before"):
        embedder.embed(["cat"])


def test_a_server_without_vectors_is_told(serving: Callable[[Answer], str]) -> None:
    pytest.importorskip("openai")
    with pytest.raises(ModelError, match="choose an embedding model"):
        open_embedder(serving(lambda _texts: []))


def test_a_server_that_is_down_is_told() -> None:
    pytest.importorskip("openai")
    with pytest.raises(ModelError, match="Nobody answers"):
        open_embedder("ai://local:9/m")


def test_reserved_names_are_no_embedders() -> None:
    with pytest.raises(ConfigurationError):
        open_embedder("rules")
