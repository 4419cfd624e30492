"""What the command line sees is the machine of a person who has just installed avalan."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from avalan.model.nlp import text as text_models
from avalan.testing import LocalHub, ScriptedEngine, pico_tokenizer, scripted_model


@pytest.fixture(autouse=True)
def _fresh_machine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = tmp_path_factory.mktemp("machine")
    monkeypatch.setenv("AVALAN_HOME", str(folder / "avalan"))
    monkeypatch.setenv("HF_HOME", str(folder / "huggingface"))
    monkeypatch.setenv("OLLAMA_MODELS", str(folder / "ollama"))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub on this machine, for which this process's client is made; nobody is logged in."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    given = local_hub.environment()
    for name in ("HF_HUB_CACHE", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setenv(name, given[name])
    path = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", local_hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", local_hub.url + path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(local_hub.cache_dir))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(local_hub.cache_dir / "token"))
    yield local_hub
    huggingface_hub.close_session()


@pytest.fixture
def interrupted_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is a model that says `a` again and again, and is interrupted by Ctrl-C."""
    folder = pico_tokenizer(tmp_path)
    letter = scripted_model(folder, ScriptedEngine(list, vocab_size=384)).tokenizer.encode("a")[0]

    def script(held: tuple[int, ...]) -> list[float]:
        if len(held) == 600:
            signal.raise_signal(signal.SIGINT)
        return [float(token_id == letter) for token_id in range(384)]

    engine = ScriptedEngine(script, vocab_size=384, context_length=100_000)
    model = scripted_model(folder, engine)
    monkeypatch.setattr(text_models, "open_model", lambda name, settings: model)
