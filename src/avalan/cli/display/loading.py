"""What a model is once it is loaded: its parameters counted, its layers by kind."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from avalan import extras
from avalan.cli.display.description import parts_of
from avalan.hub.folder import find_onnx_decoder
from avalan.hub.formats import GGUF
from avalan.locale import _
from avalan.model.engine import load_engine
from avalan.model.entities import EngineSettings
from avalan.model.prompt import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory."""

    engine: str
    """onnx, gguf or transformers."""
    seconds: float
    """It took to load."""
    device: str
    num_parameters: int | None = None
    """Counted; tied matrices once. None where the engine does not show them."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Part → how many."""
    memory_bytes: int | None = None
    """Of the parameters and buffers."""
    modules: dict[str, int] = field(default_factory=dict)
    """Class of a layer → how many; those that hold parameters themselves."""
    vocab_size: int | None
    """Width of the logits."""


def load(folder: Path, settings: EngineSettings) -> Loaded:
    """Load the model in `folder` and look at it.

    Raises:
        MissingExtra: transformers is not installed.
        ModelError: it cannot be loaded.
    """
    if folder.suffix == GGUF:
        return _load_stepping("gguf", folder, settings)
    may_be_onnx = settings.weight_type == "auto" and settings.engine in ("auto", "onnx")
    if may_be_onnx and find_onnx_decoder(folder) is not None:
        return _load_stepping("onnx", folder, settings)
    return _load_transformers(folder, settings)


def _load_stepping(name: str, folder: Path, settings: EngineSettings) -> Loaded:
    started = time.perf_counter()
    engine = load_engine(name, folder, settings)
    seconds = time.perf_counter() - started
    logits = engine.feed(engine.start(), [0])  # type: ignore[union-attr]
    engine.close()
    return Loaded(
        engine=name,
        seconds=seconds,
        device=settings.device,
        vocab_size=int(logits.shape[-1]),
    )


def _load_transformers(folder: Path, settings: EngineSettings) -> Loaded:
    weights = extras.load("avalan.model.weights", extra="transformers")
    started = time.perf_counter()
    kind = _("model")
    model_class = weights.written_by(read_json(folder / "config.json"))
    model = weights.load_whole(model_class, folder, settings, kind=kind)
    seconds = time.perf_counter() - started
    named = [(name, each.numel()) for name, each in model.named_parameters()]
    held = [*model.parameters(), *model.buffers()]
    holders = Counter(
        type(module).__name__
        for module in model.modules()
        if next(module.parameters(recurse=False), None) is not None
    )
    output = model.get_output_embeddings()
    return Loaded(
        engine="transformers",
        seconds=seconds,
        device=settings.device,
        num_parameters=sum(count for name, count in named),
        parameters=parts_of(named),
        memory_bytes=sum(each.numel() * each.element_size() for each in held),
        modules=dict(holders.most_common()),
        vocab_size=None if output is None else int(output.weight.shape[0]),
    )
