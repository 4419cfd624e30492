"""A model's files, and this process's hub client pointed at a local hub."""

import os
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from avalan.testing import LocalHub

CONTENTS = {
    "config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": bytes(range(256)) * 1000,
    "onnx/model.onnx": b"onnx weights",
    "original/big.bin": b"left out",
    "pytorch_model.bin": b"left out",
    "tokenizer.json": b"{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a model, of which only their bytes matter."""
    place = tmp_path / "model"
    for name, content in CONTENTS.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


@pytest.fixture
def client(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[huggingface_hub.HfApi]:
    """The real client, for which the local hub is the only one; nobody is logged in."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    # A machine that runs tests may be busy, and answer late.
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "10")
    path = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", local_hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", local_hub.url + path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(local_hub.cache_dir))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(local_hub.cache_dir / "token"))
    yield huggingface_hub.HfApi()
    huggingface_hub.close_session()
