"""Where model files come from, and what is said when they do not come."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from avalan import hub
from avalan.errors import ModelError
from avalan.hub.folder import find_onnx_decoder
from avalan.testing import LocalHub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_folder_is_its_own_place(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)

    assert hub.resolve(str(model)) == model
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
        ({"config.json": '{"model_type": "llama"}', "pytorch_model.bin": ""}, "pickled"),
    ],
)
def test_incomplete_folder_says_what_is_missing(
    tmp_path: Path, files: dict[str, str], what: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    with pytest.raises(ModelError, match=what):
        hub.resolve(str(tmp_path))


def test_onnx_decoder_is_found_beside_or_below(model: Path) -> None:
    assert find_onnx_decoder(model) is None
    below = model / "onnx" / "model.onnx"
    below.parent.mkdir()
    below.touch()
    assert find_onnx_decoder(model) == below
    (model / "model.onnx").touch()
    assert find_onnx_decoder(model) == model / "model.onnx"


NAME = "org/model"


def files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


@pytest.fixture
def fetch(local_hub: LocalHub, client: HfApi) -> Callable[..., Path]:
    def fetch(name: str = NAME, **options: object) -> Path:
        return hub.resolve(name, cache_dir=local_hub.cache_dir, **options)  # type: ignore[arg-type]

    return fetch


Fetch = Callable[..., Path]
WANTED = ["config.json", "model.safetensors", "onnx/model.onnx", "tokenizer.json"]


def test_model_is_downloaded_without_the_formats_that_no_engine_reads(
    local_hub: LocalHub, fetch: Fetch, folder: Path
) -> None:
    local_hub.add(NAME, folder)
    assert files(fetch()) == WANTED


def test_cached_model_needs_no_network(local_hub: LocalHub, fetch: Fetch, folder: Path) -> None:
    local_hub.add(NAME, folder)
    found = fetch()
    local_hub.stop()
    assert fetch() == found


def test_interrupted_download_is_completed(local_hub: LocalHub, fetch: Fetch, folder: Path) -> None:
    shutil.rmtree(folder / "onnx")
    local_hub.add(NAME, folder)
    (fetch() / "model.safetensors").unlink()
    assert files(fetch()) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        ({"offline": True}, "The model 'org/model' is not on this mac", "on disk: 'bundled'."),
        ({"name": "org/unknown"}, "There is no model 'org/unknown' on the hub", "may read it."),
        ({"name": "org/gated"}, "The model 'org/gated' is gated; accept its", "access token."),
        ({"revision": "v9"}, "The model 'org/model' has no revision 'v9'", "those it has."),
    ],
)
def test_failure_is_a_sentence_with_a_way_out(
    local_hub: LocalHub,
    fetch: Fetch,
    folder: Path,
    options: dict[str, object],
    start: str,
    end: str,
) -> None:
    local_hub.add(NAME, folder)
    local_hub.add("org/gated", folder, gated=True)
    with pytest.raises(ModelError) as caught:
        fetch(**options)
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end)


@pytest.mark.parametrize("how", ["failing", "stopped"])
def test_hub_that_does_not_answer_is_a_sentence(
    local_hub: LocalHub, fetch: Fetch, how: str
) -> None:
    if how == "failing":
        local_hub.failing = 500
    else:
        local_hub.stop()
    with pytest.raises(ModelError, match=r"is not on this machine and cannot be downloaded"):
        fetch()
