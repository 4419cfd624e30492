"""A model that transformers runs whole, with what prepares its input."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

import torch
import transformers
from transformers.models.auto import modeling_auto

from avalan import extras
from avalan.errors import ConfigurationError, ModelError, reason_of
from avalan.locale import _
from avalan.model.entities import EngineSettings
from avalan.model.prompt import read_json
from avalan.model.task import Task
from avalan.model.weights import (
    LOADING_ERRORS,
    check_consent,
    load_weights,
    quieten,
)

# A seed holds for a whole answer, but torch has one generator for all threads.
_DRAWING = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """A loaded model; it computes one thing at a time."""

    name: str
    """As it was asked for."""
    model: Any
    processor: Any
    """Its tokenizer or image processor."""

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """The model's output for prepared `inputs`."""
        with torch.inference_mode():
            return self.model(**self._placed(inputs))

    def generate(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        cancelled: Event,
        seed: int | None = None,
    ) -> list[int]:
        """The token ids of one answer to prepared `inputs`, which hold one text.

        Args:
            options: fields of transformers' generation configuration, in place of the model's.
            cancelled: once set, ends the answer where it is.
            seed: of the random draws.
        """

        def stop(input_ids: Any, _scores: Any, **_: Any) -> Any:
            is_set = cancelled.is_set()
            return torch.full(input_ids.shape[:1], is_set, device=input_ids.device)

        config = copy.deepcopy(self.model.generation_config)
        config.update(**options)
        with torch.inference_mode(), _drawing(self.model.device, seed):
            rows = self.model.generate(
                **self._placed(inputs),
                generation_config=config,
                stopping_criteria=[stop],
            )
        token_ids: list[int] = rows[0].tolist()
        return token_ids

    def _placed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` where the weights are, real numbers in the format of the weights."""
        device, dtype = self.model.device, self.model.dtype
        return {
            name: tensor.to(device, dtype if tensor.is_floating_point() else None)
            for name, tensor in inputs.items()
        }


def load(name: str, folder: Path, settings: EngineSettings, task: Task) -> Pretrained:
    """The model in `folder`, if it is one for the `task`.

    Raises:
        ConfigurationError: the settings ask for what only a language model has.
        MissingExtra: its tokenizer needs a package that is not installed.
        ModelError: it is of another kind, cannot be loaded, or lacks weights.
    """
    _check_settings(settings, task)
    config = read_json(folder / "config.json")
    check_consent(str(folder), config, trusted=settings.trust_remote_code)
    check_kind(name, config, task)
    quieten()
    processor = _load_processor(name, folder, settings, task)
    options = task.adapt(transformers, config) if task.adapt else {}
    model, missing = load_weights(
        getattr(transformers, task.model_class),
        folder,
        settings,
        kind=_("model that {does}", does=_(task.does)),
        **options,
    )
    if missing:
        raise ModelError(
            "The files of {name!r} lack {count} of the weights that a model needs that "
            "{does}, such as {first}; download it again, or take {example!r}.",
            name=name,
            count=len(missing),
            does=_(task.does),
            first=min(missing),
            example=task.example,
        )
    return Pretrained(name=name, model=model, processor=processor)


def _check_settings(settings: EngineSettings, task: Task) -> None:
    if settings.engine not in ("auto", "transformers"):
        raise ConfigurationError(
            "The engine {engine!r} runs no model that {does}; leave the engine open, or "
            "choose 'transformers'.",
            engine=settings.engine,
            does=_(task.does),
        )
    for setting in ("tokenizer", "tokens", "special_tokens"):
        if getattr(settings, setting):
            raise ConfigurationError(
                "The setting {setting} is for language models, but this one {does} with what "
                "it came with; leave it open.",
                setting=setting,
                does=_(task.does),
            )


def check_kind(name: str, config: Mapping[str, Any], task: Task) -> None:
    """Whether the model that `config` describes is one for the `task`.

    Raises:
        ModelError: it is not, as far as the installed transformers knows.
    """
    if task.model_class in (config.get("auto_map") or {}):
        return  # Code of its own, which somebody has agreed to.
    known = getattr(modeling_auto, task.known_classes)
    model_type = config.get("model_type")
    classes = [each for each in config.get("architectures") or () if hasattr(transformers, each)]
    if model_type in known and (not classes or set(classes) & _names(known)):
        return
    what = ", ".join(classes) or model_type or _("unknown")
    raise ModelError(
        "The model {name!r} is of the kind {what}, which is not one that {does}; give one "
        "that is, such as {example!r}.",
        name=name,
        what=what,
        does=_(task.does),
        example=task.example,
    )


def _names(known: Mapping[str, Any]) -> set[str]:
    """The class names of a table, where one kind of model may have several."""
    rows = ((row,) if isinstance(row, str) else row for row in known.values())
    return {name for row in rows for name in row}


def _load_processor(name: str, folder: Path, settings: EngineSettings, task: Task) -> Any:
    if not (folder / "tokenizer.json").is_file():
        for module in task.converters:
            extras.load(module, extra=task.extra)
    try:
        return getattr(transformers, task.processor_class).from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            **task.processor_options,
        )
    except LOADING_ERRORS as error:
        raise ModelError(
            "What prepares the input of {name!r} cannot be loaded from {folder} ({reason}); "
            "download the model again.",
            name=name,
            folder=folder,
            reason=reason_of(error),
        ) from error


@contextmanager
def _drawing(device: torch.device, seed: int | None) -> Iterator[None]:
    """Random draws from `seed`; torch's own generator goes on afterwards as if nothing was."""
    if seed is None:
        yield
        return
    devices = [] if device.type == "cpu" else [device]
    with _DRAWING, torch.random.fork_rng(devices, device_type=device.type):
        torch.manual_seed(seed)
        yield
