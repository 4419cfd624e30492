"""What every test shares: a machine of its own, and pico models built once."""

import os

# Before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["LANGUAGE"] = "en"
# Pico models gain nothing from a second thread, and tests run beside each other.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from avalan import testing

settings.register_profile("repeatable", derandomize=True, max_examples=60, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the state of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVALAN_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        yield


@pytest.fixture(scope="session")
def pico_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama: safetensors, tokenizer, chat template."""
    return testing.pico_llama(tmp_path_factory.mktemp("pico-llama"))


@pytest.fixture(scope="session")
def pico_onnx_folder(tmp_path_factory: pytest.TempPathFactory, pico_folder: Path) -> Path:
    """The same Llama in ONNX, fp32."""
    from avalan.compress.export import export

    return export(pico_folder, tmp_path_factory.mktemp("pico-onnx")).folder


@pytest.fixture(scope="session")
def pico_qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3.5, which is partly recurrent."""
    return testing.pico_qwen3_5(tmp_path_factory.mktemp("pico-qwen"))


@pytest.fixture
def local_hub() -> Iterator[testing.LocalHub]:
    """A model hub on this machine, with nothing in it yet."""
    with testing.LocalHub() as hub:
        yield hub
