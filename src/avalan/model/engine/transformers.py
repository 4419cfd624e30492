"""Any causal language model that transformers can load, on torch."""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from avalan import extras
from avalan.errors import ConfigurationError, ModelError
from avalan.locale import _
from avalan.model.engine import Capability, Logits, check_rewind, check_room, check_token_ids
from avalan.model.engine.cache import GrowingLayer, new_cache
from avalan.model.entities import EngineSettings
from avalan.model.prompt import read_json
from avalan.model.weights import QUANTISED, load_whole

_ALWAYS: tuple[Capability, ...] = (
    "logprobs",
    "prompt_logprobs",
    "token_prompt",
    "fork",
    "batch",
    "adapters",
)


@dataclass(slots=True)
class _State:
    cache: Any
    length: int


@dataclass(slots=True)
class _Batch:
    cache: Any
    mask: torch.Tensor
    """(rows, length): 0 for padding, which stands on the left."""


class TransformersEngine:
    """A stepping engine over one torch model; see `SteppingEngine` for the contract."""

    def __init__(self, model: Any) -> None:
        self._model = model
        config = model.config.get_text_config(decoder=True)
        self.vocab_size = int(config.vocab_size)
        self.context_length = int(getattr(config, "max_position_embeddings", None) or 2048)
        self.capabilities: frozenset[Capability] = frozenset(_ALWAYS)
        # transformers calls it `cache` since 5.24; code that came with a model may not.
        names = inspect.signature(type(model).forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"
        # Recurrent layers hold one running state, and window layers forget: neither goes back.
        if all(isinstance(layer, GrowingLayer) for layer in self.start().cache.layers):
            self.capabilities |= {"rewind"}

    def start(self) -> _State:
        """An empty state."""
        return _State(new_cache(self._model.config), 0)

    def feed(self, state: _State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """Append tokens to `state`; see `SteppingEngine.feed`."""
        check_token_ids(token_ids, self.vocab_size)
        check_room(state.length, len(token_ids), self.context_length)
        with torch.inference_mode():
            output = self._model(
                torch.tensor([list(token_ids)], device=self._model.device),
                use_cache=True,
                logits_to_keep=0 if every else 1,
                **{self._cache_name: state.cache},
            )
        state.length += len(token_ids)
        rows: Logits = output.logits[0].float().cpu().numpy()
        return rows if every else rows[-1]

    def fork(self, state: _State) -> _State:
        """An independent copy: the cache is copied, since some layers write to it in place."""
        return _State(copy.deepcopy(state.cache), state.length)

    def rewind(self, state: _State, num_tokens: int) -> None:
        """Drop the last tokens; see `SteppingEngine.rewind`."""
        if "rewind" not in self.capabilities:
            raise ModelError(
                "A {kind} model keeps a running state, so tokens cannot be dropped from it; "
                "fork the state before feeding instead.",
                kind=self._model.config.model_type,
            )
        check_rewind(state.length, num_tokens)
        state.length -= num_tokens
        for layer in state.cache.layers:
            layer.crop(-num_tokens)

    def start_batch(self, prompts: Sequence[Sequence[int]]) -> tuple[_Batch, Logits]:
        """Read prompts, padded on the left; see `BatchingEngine.start_batch`."""
        for prompt in prompts:
            check_token_ids(prompt, self.vocab_size)
            check_room(0, len(prompt), self.context_length)
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        ids = [[0] * num + list(prompt) for num, prompt in zip(padding, prompts, strict=True)]
        mask = [[0] * num + [1] * (longest - num) for num in padding]
        device = self._model.device
        batch = _Batch(new_cache(self._model.config), torch.tensor(mask, device=device))
        return batch, self._feed_batch(batch, torch.tensor(ids, device=device))

    def step_batch(self, batch: _Batch, token_ids: Sequence[int]) -> Logits:
        """Append one token to each row; see `BatchingEngine.step_batch`."""
        ids = torch.tensor(token_ids, device=self._model.device)[:, None]
        batch.mask = torch.cat([batch.mask, torch.ones_like(ids)], dim=1)
        return self._feed_batch(batch, ids)

    def keep_rows(self, batch: _Batch, rows: Sequence[int]) -> None:
        """Drop the other rows; see `BatchingEngine.keep_rows`."""
        kept = torch.tensor(rows, device=self._model.device)
        # Every kind of layer can reorder its rows, and fewer are an order too.
        batch.cache.reorder_cache(kept)
        batch.mask = batch.mask[kept]

    def _feed_batch(self, batch: _Batch, ids: torch.Tensor) -> Logits:
        positions = (batch.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        with torch.inference_mode():
            output = self._model(
                ids,
                attention_mask=batch.mask,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_name: batch.cache},
            )
        rows: Logits = output.logits[:, -1].float().cpu().numpy()
        return rows

    def grow(self, vocab_size: int) -> None:
        """Make room for every id below `vocab_size`; a new token begins as the mean of all."""
        old = self.vocab_size
        self._model.resize_token_embeddings(vocab_size, mean_resizing=False)
        tables = (self._model.get_input_embeddings(), self._model.get_output_embeddings())
        with torch.no_grad():
            # Tied tables are the same parameters twice, which changes nothing.
            for table in (each for module in tables for each in module.parameters()):
                table[old:] = table[:old].mean(0)
        self.vocab_size = vocab_size

    def close(self) -> None:
        """Free the weights."""
        del self._model


def load(folder: Path, settings: EngineSettings) -> TransformersEngine:
    """The engine over the checkpoint in `folder`.

    Raises:
        ConfigurationError: the settings do not go together.
        MissingExtra: what quantises is not installed.
        ModelError: transformers cannot load it, or the device or weight type does not exist.
    """
    if read_json(folder / "config.json").get("is_encoder_decoder"):
        raise ModelError(
            "The model in {folder} turns one text into another and continues none; run it from "
            "Python with avalan.model.nlp.sequence, or choose a model that writes text.",
            folder=folder,
        )
    if settings.adapter is not None and settings.weight_type in QUANTISED:
        raise ConfigurationError(
            "An adapter is merged into the weights, and those of the weight type {name!r} are too "
            "coarse for that; choose another weight type, or leave the adapter out.",
            name=settings.weight_type,
        )
    kind = _("causal language model")
    model = load_whole(transformers.AutoModelForCausalLM, folder, settings, kind=kind)
    if settings.adapter is not None:
        model = extras.load("avalan.model.engine.adapter", extra="transformers").merged(
            model, Path(settings.adapter).expanduser()
        )
    return TransformersEngine(model)
