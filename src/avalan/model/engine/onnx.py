"""Decoders in ONNX, on plain ONNX Runtime: no torch.

The graph takes `input_ids`, `attention_mask` and `past_key_values.{i}.{key,value}`, where it asks
for them `position_ids`, `logits_to_keep` and `use_cache_branch`; it gives `logits` and
`present.{i}.{key,value}`. That is the layout of onnxruntime-genai, of `avalan.compress.export`, and
of the repositories that transformers.js uses. The key-value cache is a tuple
of arrays that nobody writes to, so a fork shares them and a rewind is a slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from avalan.errors import ModelError
from avalan.hub.folder import find_onnx_decoder, folder_of
from avalan.model.engine import Capability, Logits, check_rewind, check_room, check_token_ids
from avalan.model.engine.onnx_session import open_session
from avalan.model.entities import EngineSettings
from avalan.model.prompt import read_json

PAST, PRESENT = "past_key_values.", "present."
_KEEP = "logits_to_keep"
_BRANCH = "use_cache_branch"
"""In a graph that has the first step and the later ones as two branches."""
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(slots=True)
class _State:
    cache: tuple[NDArray[Any], ...]
    """Per layer key and value, each (1, num_kv_heads, length, head_size)."""
    length: int


class OnnxEngine:
    """A stepping engine over one ONNX graph; see `SteppingEngine` for the contract."""

    capabilities: frozenset[Capability] = frozenset(
        ("logprobs", "prompt_logprobs", "token_prompt", "fork", "rewind")
    )

    def __init__(
        self, session: onnxruntime.InferenceSession, *, vocab_size: int, context_length: int
    ) -> None:
        self._session = session
        self.vocab_size = vocab_size
        self.context_length = context_length
        inputs = {node.name: node for node in session.get_inputs()}
        self._past = [name for name in inputs if name.startswith(PAST)]
        self._outputs = ["logits", *(PRESENT + name.removeprefix(PAST) for name in self._past)]
        with_default = {node.name for node in session.get_overridable_initializers()}
        wanted = ("attention_mask", "position_ids", _KEEP, _BRANCH)
        self._extra = [name for name in wanted if name in inputs or name in with_default]
        self._empty = tuple(_empty_cache(inputs[name]) for name in self._past)

    def start(self) -> _State:
        """An empty state."""
        return _State(self._empty, 0)

    def feed(self, state: _State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """Append tokens to `state`; see `SteppingEngine.feed`."""
        check_token_ids(token_ids, self.vocab_size)
        check_room(state.length, len(token_ids), self.context_length)
        inputs = self._inputs(state, token_ids)
        if _KEEP in self._extra:
            inputs[_KEEP] = np.array([0 if every else 1], np.int64)
        logits, *cache = self._session.run(self._outputs, inputs)
        # Both change only after the graph has run: a failure leaves the state as it was.
        state.cache, state.length = tuple(cache), state.length + len(token_ids)
        rows: Logits = logits[0, :, : self.vocab_size].astype(np.float32, copy=False)
        return rows if every else rows[-1]

    def fork(self, state: _State) -> _State:
        """An independent copy, at the cost of a tuple."""
        return _State(state.cache, state.length)

    def rewind(self, state: _State, num_tokens: int) -> None:
        """Drop the last tokens; see `SteppingEngine.rewind`."""
        check_rewind(state.length, num_tokens)
        state.length -= num_tokens
        state.cache = tuple(array[:, :, : state.length] for array in state.cache)

    def close(self) -> None:
        """Free the session."""
        del self._session

    def _inputs(self, state: _State, token_ids: Sequence[int]) -> dict[str, NDArray[Any]]:
        end = state.length + len(token_ids)
        inputs: dict[str, NDArray[Any]] = dict(zip(self._past, state.cache, strict=True))
        inputs["input_ids"] = np.array([token_ids], np.int64)
        if "attention_mask" in self._extra:
            inputs["attention_mask"] = np.ones((1, end), np.int64)
        if _BRANCH in self._extra:
            inputs[_BRANCH] = np.array([state.length > 0])
        if "position_ids" in self._extra:
            inputs["position_ids"] = np.arange(state.length, end, dtype=np.int64)[None]
        return inputs


def load(folder: Path, settings: EngineSettings) -> OnnxEngine:
    """The engine over the ONNX decoder in `folder`, or of that name.

    Raises:
        ModelError: there is no decoder that ONNX Runtime can run, or not on this device.
    """
    path = find_onnx_decoder(folder)
    if path is None:
        raise ModelError(
            "The model folder {folder} has no ONNX decoder (model.onnx); make one with: "
            "avalan model export",
            folder=folder,
        )
    _check_built_in(settings)
    session = open_session(path, settings)
    config = read_json(folder_of(path) / "config.json")
    return OnnxEngine(
        session,
        vocab_size=_vocab_size(session, config, path),
        context_length=int(config.get("max_position_embeddings") or 2048),
    )


def _check_built_in(settings: EngineSettings) -> None:
    """Raise for what an ONNX file has decided already."""
    if settings.weight_type != "auto":
        raise ModelError(
            "An ONNX file has its number format built in, so it cannot be loaded as {kind!r}; "
            "leave the weight type at 'auto'.",
            kind=settings.weight_type,
        )
    if settings.adapter is not None:
        raise ModelError(
            "An ONNX file takes no adapter; put it on the model's safetensors with the engine "
            "'transformers'."
        )
    if settings.attention != "auto":
        raise ModelError(
            "An ONNX file has its attention built in, so {attention!r} cannot be chosen; "
            "leave the attention at 'auto', or run the model's safetensors with the engine "
            "'transformers'.",
            attention=settings.attention,
        )


def _empty_cache(node: Any) -> NDArray[Any]:
    heads, size = node.shape[1::2]
    if node.type not in _TYPES:
        raise ModelError(
            "The decoder keeps its cache as {kind}, which this engine cannot hold; export the "
            "model with a cache in fp32 or fp16.",
            kind=node.type,
        )
    return np.zeros((1, heads, 0, size), _TYPES[node.type])


def _vocab_size(session: onnxruntime.InferenceSession, config: dict[str, Any], path: Path) -> int:
    outputs = {node.name: node.shape for node in session.get_outputs()}
    if "logits" not in outputs or not any(n.name.startswith(PAST) for n in session.get_inputs()):
        raise ModelError(
            "{path} is no decoder with a key-value cache (it lacks logits or "
            "past_key_values); export the model again with: avalan model export",
            path=path,
        )
    size = outputs["logits"][-1]
    return size if isinstance(size, int) else int(config["vocab_size"])
