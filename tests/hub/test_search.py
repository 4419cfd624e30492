"""Searching, logging in, and what the hub says when it refuses."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from avalan import hub
from avalan.errors import ModelError
from avalan.hub import account, failure, headers
from avalan.hub.download import plan
from avalan.hub.remote import (
    RemoteFile,
    RemoteModel,
    choose,
    patterns_for,
    remote_headers,
    search,
)
from avalan.testing import LocalHub

NAME = "org/model"


@pytest.fixture
def stocked(local_hub: LocalHub, client: HfApi, pico_folder: Path) -> LocalHub:
    local_hub.add("deepseek-ai/DeepSeek-R1", pico_folder, downloads=10, licence="mit")
    local_hub.add("deepseek-ai/DeepSeek-R1-Distill", pico_folder, downloads=30, gated=True)
    local_hub.add("deepseek-ai/DeepSeek-V3", pico_folder, downloads=90)
    local_hub.add("other/r1-deepseek", pico_folder, downloads=20, library_name="gguf")
    return local_hub


def test_every_word_and_filter_must_fit_and_the_most_downloaded_come_first(
    stocked: LocalHub,
) -> None:
    assert [each.name for each in search("deepseek r1")] == [
        "deepseek-ai/DeepSeek-R1-Distill",
        "other/r1-deepseek",
        "deepseek-ai/DeepSeek-R1",
    ]
    found = search("deepseek r1", filters=["transformers", "license:mit"])
    assert [each.name for each in found] == ["deepseek-ai/DeepSeek-R1"]


def test_the_limit_limits_and_nothing_found_is_an_empty_list(stocked: LocalHub) -> None:
    assert len(search("deepseek", limit=2)) == 2
    assert search("no such model anywhere") == []


def test_a_row_says_what_one_chooses_by(stocked: LocalHub) -> None:
    first = search("distill")[0]
    assert (first.num_parameters, first.gated, first.downloads) == (86_336, True, 30)
    assert (first.task, first.library) == ("text-generation", "transformers")
    assert first.modified is not None
    assert first.modified.year == 2025
    assert search("DeepSeek-R1", limit=9)[1].licence == "mit"


def test_the_token_of_the_environment_is_found(
    client: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert account.find_token() is None
    monkeypatch.setenv("HF_TOKEN", "hf_two")
    assert account.find_token() == "hf_two"
    monkeypatch.setenv("HF_ACCESS_TOKEN", " hf_one\n")
    assert account.find_token() == "hf_one"


def test_a_sentence_names_the_variable_that_is_in_use(
    local_hub: LocalHub, client: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.add(NAME, folder, gated=True)
    for variable in ("HF_TOKEN", "HF_ACCESS_TOKEN"):
        monkeypatch.setenv(variable, "hf_wrong")
        with pytest.raises(ModelError, match=rf"and set {variable} to it"):
            hub.resolve(NAME, cache_dir=local_hub.cache_dir)


def test_a_token_is_known_by_its_owner(local_hub: LocalHub, client: HfApi) -> None:
    assert account.who_is(local_hub.token) == ("owner", "owner")


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("hf_wrong", "The hub refused the access token, which is wrong or has expired; make a new"),
        ("hf_…", "The access token has characters that no token has"),
        ("hf_a\nb", "The access token has characters that no token has"),
    ],
)
def test_a_token_that_is_refused_is_one_sentence(
    local_hub: LocalHub, client: HfApi, token: str, sentence: str
) -> None:
    with pytest.raises(ModelError) as caught:
        account.who_is(token)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "is gated; accept its licence on "),
        (LocalHub.stranger_token, "is gated and your access token may not read it"),
        ("hf_wrong", "The hub refused the access token"),
    ],
)
def test_a_gate_says_what_is_missing(
    local_hub: LocalHub, client: HfApi, folder: Path, token: str | None, sentence: str
) -> None:
    local_hub.add(NAME, folder, gated=True)
    with pytest.raises(ModelError) as caught:
        hub.resolve(NAME, cache_dir=local_hub.cache_dir, token=token)
    assert sentence in str(caught.value)
    assert not list(local_hub.cache_dir.rglob("*.incomplete"))
    with pytest.raises(ModelError, match="is not on this machine"):
        hub.resolve(NAME, cache_dir=local_hub.cache_dir, offline=True)


def test_a_token_opens_the_gate(
    local_hub: LocalHub, client: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_hub.add(NAME, folder, gated=True)
    local_hub.add("org/private", folder, private=True)
    assert hub.resolve(NAME, cache_dir=local_hub.cache_dir, token=local_hub.token)
    monkeypatch.setenv("HF_ACCESS_TOKEN", local_hub.token)
    assert hub.resolve("org/private", cache_dir=local_hub.cache_dir)


# --- no network ----------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for each in held:
            each.close()


def test_a_hub_that_stays_silent_is_given_up_soon(
    silent: str, local_hub: LocalHub, client: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT")
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"no answer within 1\.2 s"):
        hub.resolve(NAME, cache_dir=local_hub.cache_dir)
    assert time.monotonic() - started < 1.9


def test_patience_can_be_set(silent: str, client: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silent)
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    assert failure.why_unreachable() == f"{silent}: no answer within 1 s"
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT")
    assert failure.why_unreachable() == f"{silent}: no answer within 1.2 s"


@pytest.mark.parametrize("how", ["offline", "dead", "failing", "nonsense"])
def test_without_a_hub_a_sentence_says_what_is_on_disk(
    local_hub: LocalHub, client: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    for number in range(7):
        local_hub.add(f"org/m{number}", folder)
        hub.resolve(f"org/m{number}", cache_dir=local_hub.cache_dir)
    match how:
        case "offline":
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        case "dead":
            local_hub.stop()
        case "failing":
            local_hub.failing = 503
        case "nonsense":
            monkeypatch.setattr(constants, "ENDPOINT", "nonsense")
    with pytest.raises(ModelError) as caught:
        hub.resolve("org/absent", cache_dir=local_hub.cache_dir)
    said = str(caught.value)
    assert said.startswith("The model 'org/absent' is not on this machine and cannot be downloaded")
    names = "'bundled', 'org/m0', 'org/m1', 'org/m2', 'org/m3', 'org/m4' and 2 more."
    assert said.endswith(f"or use what is on disk: {names}")
    assert hub.resolve("org/m3", cache_dir=local_hub.cache_dir)


def test_a_search_does_not_wait_for_a_hub_that_is_out_of_order(
    local_hub: LocalHub, client: HfApi, capfd: pytest.CaptureFixture[str]
) -> None:
    local_hub.failing = 503
    started = time.monotonic()
    with pytest.raises(ModelError, match="503"):
        search("qwen")
    assert time.monotonic() - started < 2
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_is_no_hubs_is_one_sentence(
    local_hub: LocalHub, client: HfApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that asks for a login first answers everything with a page of its own."""
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: 1 / int("<html>"))
    with pytest.raises(ModelError, match=r"not look like a hub of .*; check HF_ENDPOINT"):
        hub.resolve(NAME, cache_dir=local_hub.cache_dir)


@pytest.mark.parametrize(
    ("status", "kind", "page"),
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b'"hello"'),
        (401, "text/html", b"<html>"),
        (403, "text/html", b"<html>"),
        (404, "text/html", b"<html>"),
        (404, "application/json", b"{}"),
    ],
)
def test_a_server_that_is_no_hub_is_told_from_a_name_or_a_token_that_is_wrong(
    client: HfApi, monkeypatch: pytest.MonkeyPatch, status: int, kind: str, page: bytes
) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        try:
            for ask in (
                lambda: hub.resolve(NAME),
                lambda: search("qwen"),
                lambda: account.who_is("hf_x"),
            ):
                with pytest.raises(ModelError, match="does not look like a hub of models"):
                    ask()
        finally:
            server.shutdown()


def test_the_shards_that_are_missing_are_named(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    local_hub.add(NAME, folder)
    hub.resolve(NAME, cache_dir=local_hub.cache_dir)  # The hub itself has only one of them.
    local_hub.stop()
    missing = "what is missing, model-1.safetensors and model-2.safetensors, cannot be downloaded"
    with pytest.raises(ModelError, match=missing):
        hub.resolve(NAME, cache_dir=local_hub.cache_dir)


# --- what is worth downloading -------------------------------------------------------------------


def remote(*paths: str) -> RemoteModel:
    files = tuple(RemoteFile(path=path, size_bytes=1, etag="0" * 40) for path in paths)
    return RemoteModel(name=NAME, commit="c" * 40, files=files, licence=None)


def test_the_card_the_tokenizer_and_one_set_of_weights_are_chosen() -> None:
    wanted = [
        "README.md",
        "LICENSE",
        "config.json",
        "chat_template.jinja",
        "merges.txt",
        "tokenizer.model",
        "model-00001-of-00002.safetensors",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
    ]
    unwanted = [
        "original/params.json",
        "consolidated.safetensors",
        "pytorch_model.bin",
        "onnx/model_q4.onnx",
        "tf_model.h5",
        "modeling_own.py",
        ".gitattributes",
        "images/cat.png",
    ]
    model = remote(*wanted, *unwanted)
    chosen = choose(model.files, patterns_for(model))
    assert [file.path for file in chosen] == wanted


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["pytorch_model.bin"], "has only pickled weights (pytorch_model.bin), which can run any"),
        (["m.npz"], "no weights that avalan reads (safetensors, ONNX or GGUF); it has NumPy."),
        (["a.npz", "b.h5"], "(safetensors, ONNX or GGUF); it has Keras, NumPy. Choose another"),
        ([], "no weights that avalan reads (safetensors, ONNX or GGUF). Choose another"),
    ],
)
def test_a_model_that_could_not_be_run_is_refused(paths: list[str], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        patterns_for(remote("config.json", *paths))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("path", ["../evil.json", "/etc/evil.json", "a/../../b.json", "c:x.json"])
def test_a_file_that_would_lie_outside_the_cache_is_refused(
    local_hub: LocalHub,
    client: HfApi,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    local_hub.add(NAME, folder)
    info = client.model_info(NAME, files_metadata=True)
    assert info.siblings
    info.siblings[0].rfilename = path
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)
    with pytest.raises(ModelError, match="names a file outside its folder"):
        plan(NAME, cache_dir=local_hub.cache_dir)


# --- headers -------------------------------------------------------------------------------------


def test_headers_on_the_hub_are_those_on_disk(stocked: LocalHub, pico_folder: Path) -> None:
    found = remote_headers("deepseek-ai/DeepSeek-R1", revision="main", token=None)
    assert found == headers.read_headers(pico_folder)
    assert sum(tensor.num_parameters for tensor in found.values()) == 86_336
    assert stocked.num_bytes("model.safetensors") < 2 * 100_001


def test_a_model_without_safetensors_has_no_headers(
    local_hub: LocalHub, client: HfApi, folder: Path
) -> None:
    (folder / "model.safetensors").unlink()
    local_hub.add(NAME, folder)
    assert remote_headers(NAME, revision="main", token=None) == {}


HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x02\0\0\0\0\0\0\0{]",
        len(HEADER).to_bytes(8, "little") + HEADER + b"only7b.",
        len(HEADER).to_bytes(8, "little") + HEADER.replace(b"[2]", b'["2"]') + b"8 bytes.",
        len(HEADER).to_bytes(8, "little") + HEADER.replace(b"[2]", b"[-2]") + b"8 bytes.",
    ],
)
def test_a_broken_header_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not in the safetensors format, or was cut off"):
        headers.read_header(path)


def test_a_header_tells_names_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(HEADER).to_bytes(8, "little") + HEADER + b"8 bytes.")
    assert headers.read_headers(tmp_path) == {"w": headers.Tensor(dtype="F32", shape=(2,))}
