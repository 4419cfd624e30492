"""What every test shares: a machine of its own, and pico models built once."""

import os

# Before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["LANGUAGE"] = "en"
# Pico models gain nothing from a second thread, and tests run beside each other.
os.environ["OMP_NUM_THREADS"] = "1"

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from avalan import testing

settings.register_profile("repeatable", derandomize=True, max_examples=60, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def run_block(tmp_path: Path) -> Callable[..., str]:
    """Runs a block of a page, "bash" or "python", in one folder; gives what it said."""

    def run(language: str, text: str, environment: Mapping[str, str] = os.environ) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        python = [sys.executable, "-W", "error", "-c", text]
        bash = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            python if language == "python" else bash,
            cwd=tmp_path,
            env={**environment, "AVALAN_HOME": str(tmp_path / "home"), "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the state of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVALAN_HOME", str(tmp_path_factory.getbasetemp() / "home"))
        yield


@pytest.fixture(autouse=True)
def _opened_to_the_end(_own_state: None) -> Iterator[None]:
    """What a test began to open and did not want is nothing that runs beside the next one."""
    yield
    if ahead := sys.modules.get("avalan.model.ahead"):
        ahead.settle()


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


NO_LLAMA = "needs llama-cpp-python, which is built from source: make gguf-wheel"


@pytest.fixture(scope="session")
def pico_gguf_file(tmp_path_factory: pytest.TempPathFactory, pico_folder: Path) -> Path:
    """The same Llama as a GGUF file, fp32."""
    pytest.importorskip("llama_cpp", reason=NO_LLAMA)
    return testing.pico_gguf(tmp_path_factory.mktemp("pico-gguf"), pico_folder)


@pytest.fixture(scope="session")
def pico_qwen_gguf_file(tmp_path_factory: pytest.TempPathFactory, pico_qwen_folder: Path) -> Path:
    """The same Qwen3.5 as a GGUF file, fp32."""
    pytest.importorskip("llama_cpp", reason=NO_LLAMA)
    return testing.pico_gguf(tmp_path_factory.mktemp("pico-qwen-gguf"), pico_qwen_folder)


@pytest.fixture
def local_hub() -> Iterator[testing.LocalHub]:
    """A model hub on this machine, with nothing in it yet."""
    with testing.LocalHub() as hub:
        yield hub
