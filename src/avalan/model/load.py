"""From a model's name to a model that can run: find its files, choose its engine, load both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from avalan import extras, hub
from avalan.errors import ConfigurationError, MissingExtra, ModelError
from avalan.hub.folder import find_onnx_decoder, folder_of
from avalan.hub.formats import GGUF, ONNX, split_format
from avalan.hub.kind import is_for_another_task
from avalan.locale import _
from avalan.model import bundled
from avalan.model.engine import ENGINES, Engine, SteppingEngine, load_engine
from avalan.model.entities import EngineSettings
from avalan.model.prompt import Tokenizer, configured_eos_ids, load_tokenizer, read_json
from avalan.model.turns import LastTurn
from avalan.model.uri import EngineUri, parse_uri
from avalan.model.vocabulary import DEFINITION, add_tokens

DEFAULT = "bundled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Everything that is needed to run one model; close it, or use it in a `with`."""

    name: str
    """As it was asked for."""
    folder: Path | None
    """Of its files, or its one file; None for a served model."""
    config: Mapping[str, Any]
    """The content of `config.json`."""
    vocabulary: Tokenizer | None
    """None where only the server knows it."""
    engine: Engine
    engine_name: str = ""
    """As in `ENGINES`."""
    last_turn: LastTurn = field(default_factory=LastTurn)
    """What a conversation goes on from."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to token ids.

        Raises:
            ConfigurationError: only the server has it.
        """
        if self.vocabulary is None:
            raise ConfigurationError(
                "The tokenizer of {name!r} is its server's alone, and this needs it; choose a "
                "model that runs on this machine.",
                name=self.name,
            )
        return self.vocabulary

    @property
    def stepping(self) -> SteppingEngine:
        """The engine, for callers that decode by themselves.

        Raises:
            ConfigurationError: the engine decodes by itself and gives no logits.
        """
        if not isinstance(self.engine, SteppingEngine):
            raise ConfigurationError(
                "The engine of {name!r} gives no logits, which this needs; run the model with "
                "an engine of this machine: 'onnx', 'transformers' or 'gguf'.",
                name=self.name,
            )
        return self.engine

    def close(self) -> None:
        """Free what the engine holds."""
        self.last_turn.forget()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()


def open_model(name: str = DEFAULT, settings: EngineSettings | None = None) -> Model:
    """Find the model called `name` and load it.

    Args:
        name: `bundled`, a folder, a file, a hub id, or a URI such as
            `ai://local/Qwen/Qwen3-0.6B`; after a colon the format, as in `./models/qwen:Q4_K_M`.

    Raises:
        ConfigurationError: the name or a setting cannot be used.
        MissingExtra: the engine's package is not installed.
        ModelError: the model cannot be found, downloaded or run.
    """
    settings = settings or EngineSettings()
    uri = parse_uri(name)
    if not uri.is_local:
        return _open_served(uri, settings)
    folder = find_folder(name, settings, to_write=True)
    check_writes(
        name, {} if folder.suffix == GGUF else read_json(folder_of(folder) / "config.json")
    )
    engine_name = choose_engine(folder, settings)
    read = _read_gguf if engine_name == "gguf" else _read_folder
    tokenizer, config = read(folder, settings)
    engine = load_engine(engine_name, folder, settings)
    _fit_vocabulary(engine, tokenizer, settings)
    return Model(
        name=name,
        folder=folder,
        config=config,
        vocabulary=tokenizer,
        engine=engine,
        engine_name=engine_name,
    )


def _open_served(uri: EngineUri, settings: EngineSettings) -> Model:
    services = extras.load("avalan.model.service")
    services.check_settings(uri, settings)
    service = services.find_service(uri)
    engine = extras.load(f"avalan.model.engine.{service.engine}", extra="remote").load(service)
    return Model(
        name=uri.shown,
        folder=None,
        config={},
        vocabulary=engine.vocabulary,
        engine=engine,
        engine_name=service.engine.replace("_", "-"),
    )


def find_folder(name: str, settings: EngineSettings, *, to_write: bool = False) -> Path:
    """The local folder of a model's files, downloaded if need be; or the model's one file.

    Args:
        to_write: the model is to write text.

    Raises:
        ConfigurationError: the name means something that is not a language model's files.
        ModelError: there is no such model, or it is for another task.
    """
    uri = parse_uri(name)
    if not uri.is_local:
        raise ConfigurationError(
            "The model {name!r} is served elsewhere and has no files here; give a local model: "
            "'bundled', a folder or a hub id.",
            name=uri.shown,
        )
    if uri.model == "bundled":
        return bundled.find(uri.model).folder
    if uri.model in bundled.RESERVED:
        raise ConfigurationError(
            "{name!r} is not a language model and generates no text; it can be named where "
            "avalan asks or evaluates. Give 'bundled', a folder or a hub id.",
            name=uri.model,
        )
    return hub.resolve(
        uri.model,
        cache_dir=settings.cache_dir,
        revision=settings.revision,
        token=settings.access_token,
        pickled=settings.allow_pickle,
        code=settings.trust_remote_code,
        tensors=settings.engine == "transformers",
        check=partial(check_can_run, name, settings, to_write=to_write),
    )


def check_can_run(
    name: str,
    settings: EngineSettings,
    files: Sequence[str],
    read_config: Callable[[], Mapping[str, Any]],
    *,
    to_write: bool = False,
) -> None:
    """What cannot run without an extra or consent is not downloaded without it.

    Raises:
        ConfigurationError: the files are for another engine than was asked for.
        MissingExtra: none of the files is for an engine that is installed.
        ModelError: the model needs Python code that came with it, which is not trusted.
    """
    if any(file.endswith(GGUF) for file in files):
        _engine_of(name, GGUF, settings)
        extras.load("avalan.model.gguf", extra=ENGINES["gguf"])
        return
    has_onnx = any(file.endswith(ONNX) for file in files)
    on_onnx = settings.engine == "onnx" or (settings.engine != "transformers" and has_onnx)
    if not on_onnx and not extras.is_installed("torch"):
        raise MissingExtra(
            "The model {name!r} runs on torch, which is not installed, and nothing was "
            "downloaded; run: {command}",
            name=name,
            command=extras.install_command("transformers"),
        )
    config = read_config()
    if to_write:
        check_writes(name, config)
    if not on_onnx and config.get("auto_map") and not settings.trust_remote_code:
        # It has to import transformers, to know whether that has the code itself.
        extras.load("avalan.model.weights").check_consent(repr(name), config, trusted=False)


def check_writes(name: str, config: Mapping[str, Any]) -> None:
    """Raises ModelError for a model whose configuration names another task than writing text."""
    if is_for_another_task(config):
        raise ModelError(
            "The model {name!r} is of the kind {what}, which is not one that {does}; give one "
            "that is, such as {example!r}.",
            name=name,
            what=", ".join(map(str, config["architectures"])),
            does=_("writes text"),
            example="Qwen/Qwen3-0.6B",
        )


def find_tokenizer_folder(name: str, settings: EngineSettings) -> Path:
    """The local folder of the tokenizer called `name`, downloaded if need be.

    Args:
        name: `bundled`, a folder with a `tokenizer.json`, that file, or a model on the hub.
        settings: for the hub; the revision is the model's, so it is not used.

    Raises:
        ConfigurationError: the name is reserved for something else.
        ModelError: there is no such tokenizer.
    """
    name, _wanted = split_format(name)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path
    if path.is_file() and path.name == DEFINITION:
        return path.parent
    if name in bundled.RESERVED:
        return find_folder(name, settings)
    if not hub.is_hub_id(name):
        raise ModelError(
            "There is no tokenizer {name!r}; give a folder with a {file}, a hub id such as "
            "'Qwen/Qwen3-0.6B', or 'bundled'.",
            name=name,
            file=DEFINITION,
        )
    return hub.resolve_tokenizer(
        name,
        cache_dir=settings.cache_dir,
        revision=settings.revision,
        token=settings.access_token,
    )


def choose_engine(folder: Path, settings: EngineSettings) -> str:
    """The engine's name: the one asked for, or else the lightest that does what was asked.

    Raises:
        ConfigurationError: the one file that was chosen is for another engine.
    """
    if folder.suffix in (GGUF, ONNX):
        return _engine_of(str(folder), folder.suffix, settings)
    if settings.engine != "auto":
        return settings.engine
    if find_onnx_decoder(folder) is None:
        return "transformers"
    asks_for_more = (
        settings.weight_type != "auto"
        or settings.attention != "auto"
        or bool(settings.tokens or settings.special_tokens or settings.adapter)
    )
    return "transformers" if asks_for_more and any(folder.glob("*.safetensors")) else "onnx"


def _engine_of(name: str, suffix: str, settings: EngineSettings) -> str:
    engine = suffix.removeprefix(".")
    if settings.engine not in ("auto", "vllm", engine):
        raise ConfigurationError(
            "{name} runs on the engine {engine!r} and not on {wanted!r}; leave the engine at "
            "'auto', or choose other files of the model.",
            name=name,
            engine=engine,
            wanted=settings.engine,
        )
    return engine if settings.engine == "auto" else settings.engine


def _read_gguf(path: Path, settings: EngineSettings) -> tuple[Tokenizer, Mapping[str, Any]]:
    """The tokenizer and the configuration of a GGUF file."""
    if settings.tokens or settings.special_tokens:
        raise ConfigurationError(
            "A GGUF file has its vocabulary built in, so no token can be added; run the model's "
            "safetensors with the engine 'transformers'."
        )
    gguf = extras.load("avalan.model.gguf", extra=ENGINES["gguf"])
    file = gguf.GgufFile(path)
    if settings.tokenizer is None:
        return gguf.read_tokenizer(file), gguf.read_config(file)
    other = find_tokenizer_folder(settings.tokenizer, replace(settings, revision=None))
    return load_tokenizer(other), gguf.read_config(file)


def _read_folder(path: Path, settings: EngineSettings) -> tuple[Tokenizer, Mapping[str, Any]]:
    folder = folder_of(path)
    return _tokenizer(folder, settings), read_json(folder / "config.json")


def _tokenizer(folder: Path, settings: EngineSettings) -> Tokenizer:
    """The model's tokenizer or the one asked for, with the tokens asked for."""

    def change(definition: str) -> str:
        return add_tokens(definition, settings.tokens, settings.special_tokens)

    if settings.tokenizer is None:
        beside = Path(settings.adapter).expanduser() if settings.adapter else folder
        # An adapter that was trained with new tokens brings its tokenizer.
        brought = beside if (beside / DEFINITION).is_file() else folder
        return load_tokenizer(brought, change=change, eos_ids=configured_eos_ids(folder))
    other = find_tokenizer_folder(settings.tokenizer, replace(settings, revision=None))
    return load_tokenizer(other, change=change, eos_ids=configured_eos_ids(folder))


def _fit_vocabulary(engine: Engine, tokenizer: Tokenizer, settings: EngineSettings) -> None:
    """Make room in the model for tokens that were added.

    Raises:
        ModelError: the engine cannot.
    """
    is_changed = settings.tokenizer or settings.tokens or settings.special_tokens
    if not is_changed or not isinstance(engine, SteppingEngine):
        return
    if tokenizer.vocab_size <= engine.vocab_size:
        return
    grow = getattr(engine, "grow", None)
    if grow is None:
        raise ModelError(
            "The model has a place for {places} tokens and the tokenizer has {needed}, and "
            "this engine's files cannot be changed; use the model's own tokenizer without added "
            "tokens, or run the model's safetensors with the engine 'transformers'.",
            places=engine.vocab_size,
            needed=tokenizer.vocab_size,
        )
    grow(tokenizer.vocab_size)
