"""From a model's name to a model that can run: find its files, choose its engine, load both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from avalan import hub
from avalan.errors import ConfigurationError
from avalan.hub.folder import find_onnx_decoder
from avalan.model import bundled
from avalan.model.engine import Engine, SteppingEngine, load_engine
from avalan.model.entities import EngineSettings
from avalan.model.prompt import Tokenizer, load_tokenizer, read_json
from avalan.model.uri import parse_uri

DEFAULT = "bundled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Everything that is needed to run one model; close it, or use it in a `with`."""

    name: str
    """As it was asked for."""
    folder: Path
    config: Mapping[str, Any]
    """The content of `config.json`."""
    tokenizer: Tokenizer
    engine: Engine

    @property
    def stepping(self) -> SteppingEngine:
        """The engine, for callers that decode by themselves.

        Raises:
            ConfigurationError: the engine decodes by itself and gives no logits.
        """
        if not isinstance(self.engine, SteppingEngine):
            raise ConfigurationError(
                f"The engine of {self.name!r} gives no logits, which this needs; "
                "run the model with the engine 'onnx' or 'transformers'."
            )
        return self.engine

    def close(self) -> None:
        """Free what the engine holds."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_model(name: str = DEFAULT, settings: EngineSettings | None = None) -> Model:
    """Find the model called `name` and load it.

    Args:
        name: `bundled`, a folder, a hub id, or a URI such as `ai://local/Qwen/Qwen3-0.6B`.

    Raises:
        ConfigurationError: the name or a setting cannot be used.
        MissingExtra: the engine's package is not installed.
        ModelError: the model cannot be found, downloaded or run.
    """
    settings = settings or EngineSettings()
    folder = find_folder(name, settings)
    tokenizer = load_tokenizer(folder)
    engine = load_engine(choose_engine(folder, settings), folder, settings)
    return Model(
        name=name,
        folder=folder,
        config=read_json(folder / "config.json"),
        tokenizer=tokenizer,
        engine=engine,
    )


def find_folder(name: str, settings: EngineSettings) -> Path:
    """The local folder of a model's files, downloaded if need be.

    Raises:
        ConfigurationError: the name means something that is not a language model's files.
        ModelError: there is no such model.
    """
    uri = parse_uri(name)
    if not uri.is_local:
        raise ConfigurationError(
            f"No engine here runs models of the provider {uri.provider!r}; "
            "give a local model: 'bundled', a folder or a hub id."
        )
    if uri.model == "bundled":
        return bundled.find(uri.model).folder
    if uri.model in bundled.RESERVED:
        raise ConfigurationError(
            f"{uri.model!r} is not a language model and generates no text; "
            "it can be named where avalan asks or evaluates. Give 'bundled', a folder or a hub id."
        )
    return hub.resolve(uri.model, cache_dir=settings.cache_dir, revision=settings.revision)


def choose_engine(folder: Path, settings: EngineSettings) -> str:
    """The engine's name: the one asked for, or else the lightest that reads these files."""
    if settings.engine != "auto":
        return settings.engine
    if find_onnx_decoder(folder) and settings.weight_type == "auto":
        return "onnx"
    return "transformers"
