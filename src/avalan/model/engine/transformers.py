"""Any causal language model that transformers can load, on torch."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.utils import logging as transformers_logging

from avalan.errors import ModelError
from avalan.model.engine import Capability, Logits, State
from avalan.model.engine.context import check_room, check_token_ids
from avalan.model.entities import EngineSettings

_WEIGHT_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_ALWAYS: tuple[Capability, ...] = ("logprobs", "prompt_logprobs", "token_prompt", "fork")


@dataclass(slots=True)
class _State:
    cache: Any
    length: int


class TransformersEngine:
    """A stepping engine over one torch model; see `SteppingEngine` for the contract."""

    def __init__(self, model: Any) -> None:
        self._model = model
        config = model.config.get_text_config(decoder=True)
        self.vocab_size = int(config.vocab_size)
        self.context_length = int(getattr(config, "max_position_embeddings", None) or 2048)
        self.capabilities: frozenset[Capability] = frozenset(_ALWAYS)
        # Recurrent layers hold one running state, and window layers forget: neither goes back.
        if all(type(layer) is DynamicLayer for layer in self._new_cache().layers):
            self.capabilities |= {"rewind"}

    def start(self) -> State:
        """An empty state."""
        return _State(self._new_cache(), 0)

    def feed(self, state: State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """Append tokens to `state`; see `SteppingEngine.feed`."""
        held = _own(state)
        check_token_ids(token_ids, self.vocab_size)
        check_room(held.length, len(token_ids), self.context_length)
        with torch.inference_mode():
            output = self._model(
                torch.tensor([list(token_ids)], device=self._model.device),
                past_key_values=held.cache,
                use_cache=True,
                logits_to_keep=0 if every else 1,
            )
        held.length += len(token_ids)
        rows: Logits = output.logits[0].float().cpu().numpy()
        return rows if every else rows[-1]

    def fork(self, state: State) -> State:
        """An independent copy: the cache is copied, since some layers write to it in place."""
        held = _own(state)
        return _State(copy.deepcopy(held.cache), held.length)

    def rewind(self, state: State, num_tokens: int) -> None:
        """Drop the last tokens; see `SteppingEngine.rewind`."""
        held = _own(state)
        if "rewind" not in self.capabilities:
            raise ModelError(
                f"A {self._model.config.model_type} model keeps a running state, so tokens cannot "
                "be dropped from it; fork the state before feeding instead."
            )
        if not 0 <= num_tokens <= held.length:
            raise ModelError(
                f"The state holds {held.length} tokens, so {num_tokens} cannot be dropped from it."
            )
        held.length -= num_tokens
        for layer in held.cache.layers:
            if layer.keys is not None:
                layer.keys = layer.keys[..., : held.length, :]
                layer.values = layer.values[..., : held.length, :]

    def close(self) -> None:
        """Free the weights."""
        del self._model

    def _new_cache(self) -> Any:
        return DynamicCache(config=self._model.config)


def load(folder: Path, settings: EngineSettings) -> TransformersEngine:
    """The engine over the checkpoint in `folder`; code that came with a model is never run.

    Raises:
        ModelError: transformers cannot load it, or the device or weight type does not exist.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    device = _device(settings.device)
    options: dict[str, Any] = {"dtype": _weight_type(settings.weight_type)}
    if settings.attention != "auto":
        options["attn_implementation"] = settings.attention
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"transformers cannot load the model in {folder} ({_first_line(error)}); "
            "check that the folder holds a complete causal language model."
        ) from error
    if device.type == "cpu" and settings.weight_type == "auto" and model.dtype == torch.float16:
        # Processors have no arithmetic for fp16; converting once is faster than at every product.
        model = model.float()
    return TransformersEngine(model.to(device).eval())


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"There is no device {name!r} on this machine ({_first_line(error)}); "
            "choose the device 'cpu'."
        ) from error
    return device


def _weight_type(name: str) -> Any:
    if name == "auto":
        return "auto"
    if name not in _WEIGHT_TYPES:
        choices = ", ".join(("auto", *_WEIGHT_TYPES))
        raise ModelError(f"There is no weight type called {name!r}; choose one of: {choices}.")
    return _WEIGHT_TYPES[name]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _own(state: State) -> _State:
    assert isinstance(state, _State), f"a state of another engine: {type(state).__name__}"
    return state
