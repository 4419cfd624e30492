"""One calling shape for every kind of model that transformers loads whole.

    with ObjectDetectionModel("facebook/detr-resnet-50") as detector:
        for entity in await detector("street.jpg"):
            print(entity)

A modality is one file: a `TaskModel` that says what it loads, and a function from its input to its
result. The function runs in the model's own thread, so that the caller's event loop goes on.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from avalan import extras
from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder

if TYPE_CHECKING:
    from avalan.model.pretrained import Pretrained

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a kind of model is, to whoever loads it."""

    does: str
    """Ends the sentence "a model that …"."""
    example: str
    """A model of this kind, by its name on the hub."""
    extra: str
    """What to install."""
    model_class: str
    """The class of transformers that chooses among its models."""
    known_classes: str
    """The table, in `transformers.models.auto.modeling_auto`, of those models."""
    processor_class: str
    """The class of transformers that prepares the input."""
    processor_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of its `from_pretrained`."""
    modules: tuple[str, ...] = ()
    """What else must be importable."""
    converters: tuple[str, ...] = ()
    """What must be importable to read a tokenizer that has no `tokenizer.json`."""
    adapt: Callable[[ModuleType, Mapping[str, Any]], dict[str, Any]] | None = None
    """From transformers and a `config.json` to arguments of the model's `from_pretrained`."""


class TaskModel:
    """A model, by name; load it with `with`, then call it."""

    task: ClassVar[Task]

    def __init__(self, name: str, settings: EngineSettings | None = None) -> None:
        """
        Args:
            name: a folder, a hub id, or a URI such as `ai://local/facebook/detr-resnet-50`.
            settings: how to load it.
        """
        self._name = name
        self._settings = settings or EngineSettings()
        self._loaded: Pretrained | None = None
        self._running: set[Event] = set()

    def open(self) -> Self:
        """Load the model, for callers that do not use `with`; `close` frees it.

        Raises:
            ConfigurationError: the name or a setting cannot be used.
            MissingExtra: a package that it needs is not installed.
            ModelError: the model cannot be found, downloaded or run, or is of another kind.
        """
        if self._loaded is None:
            for module in self.task.modules:
                extras.load(module, extra=self.task.extra)
            pretrained = extras.load("avalan.model.pretrained", extra=self.task.extra)
            folder = find_folder(self._name, self._settings)
            self._loaded = pretrained.load(self._name, folder, self._settings, self.task)
            # One thread: a model computes one thing at a time, whoever asks.
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="avalan-task")
        return self

    def close(self) -> None:
        """End what is running and free the model."""
        if self._loaded is None:
            return
        for cancelled in tuple(self._running):
            cancelled.set()
        self._thread.shutdown(cancel_futures=True)
        self._loaded = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_args: object) -> None:
        self.close()

    @property
    def loaded(self) -> "Pretrained":
        """The loaded model.

        Raises:
            ConfigurationError: it is not loaded.
        """
        if self._loaded is None:
            raise ConfigurationError(
                "The model is not loaded; call it inside: with {kind}(…) as model.",
                kind=type(self).__name__,
            )
        return self._loaded

    async def _run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What `work` makes of the loaded model, an event and `arguments`, in the model's thread.

        The event is set when nobody waits for the result any more; long work looks at it.

        Raises:
            ModelError: the model was closed meanwhile.
        """
        loaded, cancelled = self.loaded, Event()
        self._running.add(cancelled)
        try:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._thread, work, loaded, cancelled, *arguments)
            if cancelled.is_set():
                raise ModelError(
                    "The model {model!r} was closed before it had finished; wait for its "
                    "result inside the with.",
                    model=self._name,
                )
            return result
        finally:
            # Also where the caller was cancelled while the thread goes on.
            cancelled.set()
            self._running.discard(cancelled)
