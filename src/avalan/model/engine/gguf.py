"""GGUF files, on llama.cpp's low-level interface: it computes the logits, everything else is ours.

A state is one of llama.cpp's sequences. All share one cache, in which a fork is a second name for
the same cells, so it costs nothing until the two go on differently.
"""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

import llama_cpp
import numpy as np

from avalan.errors import ConfigurationError, ModelError
from avalan.model.engine import (
    Capability,
    Logits,
    check_rewind,
    check_room,
    check_token_ids,
    llama,
)
from avalan.model.engine.cores import physical_cores
from avalan.model.entities import EngineSettings

DEFAULT_CONTEXT = 8192
"""The cache is reserved as a whole, so a model trained on more gets it only where asked for."""

_BATCH = 512
_ALWAYS: tuple[Capability, ...] = (
    "logprobs",
    "prompt_logprobs",
    "token_prompt",
    "fork",
    "batch",
    "adapters",
)
_NO_ROOM = 1
_ALL_LAYERS = 999


@dataclass(slots=True, weakref_slot=True)
class _State:
    sequence: int
    length: int


class GgufEngine:
    """A stepping engine over one GGUF file; see `SteppingEngine` for the contract."""

    def __init__(self, model: int, context: int, *, context_length: int, num_states: int) -> None:
        self._model, self._context = model, context
        self._memory = llama_cpp.llama_get_memory(context)
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        self.vocab_size = int(llama_cpp.llama_vocab_n_tokens(vocabulary))
        self.context_length = context_length
        self._free = list(range(num_states))
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self._row = ctypes.c_float * self.vocab_size
        self.capabilities: frozenset[Capability] = frozenset(_ALWAYS)
        if not _keeps_a_running_state(model):
            self.capabilities |= {"rewind"}

    def start(self) -> _State:
        """An empty state.

        Raises:
            ModelError: too many are alive.
        """
        if not self._free:
            raise ModelError(
                "The model keeps too many texts in mind at the same time; drop states that are no "
                "longer needed."
            )
        state = _State(self._free.pop(), 0)
        finalize(state, self._release, state.sequence).atexit = False
        return state

    def feed(self, state: _State, token_ids: Sequence[int], *, every: bool = False) -> Logits:
        """Append tokens to `state`; see `SteppingEngine.feed`."""
        check_token_ids(token_ids, self.vocab_size)
        check_room(state.length, len(token_ids), self.context_length)
        rows: list[Logits] = []
        try:
            for start in range(0, len(token_ids), _BATCH):
                piece = token_ids[start : start + _BATCH]
                is_last = start + len(piece) == len(token_ids)
                wanted = range(len(piece)) if every else [len(piece) - 1] if is_last else []
                first = state.length + start
                self._run([(state.sequence, first + i) for i in range(len(piece))], piece, wanted)
                rows += map(self._logits, wanted)
        except ModelError:
            # What earlier pieces left behind goes too: a failure leaves the state as it was.
            llama_cpp.llama_memory_seq_rm(self._memory, state.sequence, state.length, -1)
            raise
        state.length += len(token_ids)
        return np.stack(rows) if every else rows[-1]

    def fork(self, state: _State) -> _State:
        """An independent copy, which shares the cells that both hold."""
        copy = self.start()
        llama_cpp.llama_memory_seq_cp(self._memory, state.sequence, copy.sequence, -1, -1)
        copy.length = state.length
        return copy

    def rewind(self, state: _State, num_tokens: int) -> None:
        """Drop the last tokens; see `SteppingEngine.rewind`."""
        if "rewind" not in self.capabilities:
            raise ModelError(
                "This model keeps a running state, so tokens cannot be dropped from it; fork the "
                "state before feeding instead."
            )
        check_rewind(state.length, num_tokens)
        state.length -= num_tokens
        llama_cpp.llama_memory_seq_rm(self._memory, state.sequence, state.length, -1)

    def start_batch(self, prompts: Sequence[Sequence[int]]) -> tuple[list[_State], Logits]:
        """Read the prompts one after the other; see `BatchingEngine.start_batch`."""
        states = [self.start() for _ in prompts]
        rows = [self.feed(state, ids) for state, ids in zip(states, prompts, strict=True)]
        return states, np.stack(rows)

    def step_batch(self, batch: list[_State], token_ids: Sequence[int]) -> Logits:
        """Append one token to each row, all in one pass over the weights."""
        for state in batch:
            check_room(state.length, 1, self.context_length)
        places = [(state.sequence, state.length) for state in batch]
        self._run(places, token_ids, range(len(batch)))
        for state in batch:
            state.length += 1
        return np.stack([self._logits(i) for i in range(len(batch))])

    def keep_rows(self, batch: list[_State], rows: Sequence[int]) -> None:
        """Drop the other rows; see `BatchingEngine.keep_rows`."""
        batch[:] = [batch[row] for row in rows]

    def close(self) -> None:
        """Free the weights and the cache."""
        if self._context:
            llama_cpp.llama_batch_free(self._batch)
            llama_cpp.llama_free(self._context)
            llama_cpp.llama_model_free(self._model)
            self._context = 0

    def _run(
        self, places: Sequence[tuple[int, int]], token_ids: Sequence[int], wanted: Sequence[int]
    ) -> None:
        """Compute tokens at their (sequence, position); the logits of those at `wanted` are kept.

        Raises:
            ModelError: there is no room, or llama.cpp fails.
        """
        batch = self._batch
        batch.n_tokens = len(token_ids)
        for i, (sequence, position) in enumerate(places):
            batch.token[i] = token_ids[i]
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = False
        for i in wanted:
            batch.logits[i] = True
        code = llama_cpp.llama_decode(self._context, batch)
        if code:
            raise _failure(code, self.context_length)

    def _logits(self, index: int) -> Logits:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        assert address
        return np.array(self._row.from_address(address), np.float32)

    def _release(self, sequence: int) -> None:
        if self._context:
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            self._free.append(sequence)


def load(path: Path, settings: EngineSettings) -> GgufEngine:
    """The engine over the GGUF file `path`.

    Raises:
        ConfigurationError: a setting is for other engines.
        ModelError: llama.cpp cannot run the file, or not on this device.
    """
    _check_settings(settings)
    model = llama.load_model(path, gpu_layers=_gpu_layers(settings))
    trained = int(llama_cpp.llama_model_n_ctx_train(model))
    length = min(trained, settings.context_length or DEFAULT_CONTEXT)
    # Each running state is reserved as a whole; cells of attention are shared.
    num_states = 8 if _keeps_a_running_state(model) else 64
    context = _open_context(path, model, length, num_states, settings)
    if settings.adapter is not None:
        _put_on(model, context, Path(settings.adapter).expanduser())
    return GgufEngine(model, context, context_length=length, num_states=num_states)


def _gpu_layers(settings: EngineSettings) -> int:
    if settings.device.partition(":")[0] == "cpu":
        return 0
    if not llama_cpp.llama_supports_gpu_offload():
        raise ModelError(
            "This build of llama.cpp cannot compute on {device!r}; choose the device 'cpu', or "
            "build llama-cpp-python for that device.",
            device=settings.device,
        )
    return _ALL_LAYERS


def _open_context(
    path: Path, model: int, length: int, num_states: int, settings: EngineSettings
) -> int:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = length, _BATCH, _BATCH
    params.n_seq_max, params.kv_unified = num_states, True
    params.n_threads = params.n_threads_batch = settings.num_threads or physical_cores()
    params.no_perf = True
    llama.forget_reasons()
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        llama_cpp.llama_model_free(model)
        raise ModelError(
            "llama.cpp has no memory for {length} tokens of {path} ({reason}); ask for a shorter "
            "context.",
            length=length,
            path=path,
            reason=llama.last_reason(),
        )
    return int(context)


def _put_on(model: int, context: int, path: Path) -> None:
    """Let the LoRA adapter in the GGUF file `path` change what the context computes."""
    llama.forget_reasons()
    adapter = llama_cpp.llama_adapter_lora_init(model, os.fsencode(path))
    if not adapter:
        raise ModelError(
            "The adapter {path} does not fit the model ({reason}); give a LoRA adapter of this "
            "model, as a GGUF file.",
            path=path,
            reason=llama.last_reason(),
        )
    adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
    llama_cpp.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0))


def _check_settings(settings: EngineSettings) -> None:
    """Raise for what a GGUF file has decided already."""
    for name in ("weight_type", "attention"):
        if getattr(settings, name) != "auto":
            raise ConfigurationError(
                "A GGUF file has its {name} built in, so {value!r} cannot be chosen; leave it at "
                "'auto'.",
                name=name,
                value=getattr(settings, name),
            )


def _keeps_a_running_state(model: int) -> bool:
    """Whether a layer of the model cannot forget single tokens."""
    return bool(
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
        or llama_cpp.llama_model_n_swa(model)
    )


def _failure(code: int, context_length: int) -> ModelError:
    if code == _NO_ROOM:
        return ModelError(
            "All texts that the model keeps in mind share {context_length} tokens, and these are "
            "full; shorten the prompt, or load the model with a longer context.",
            context_length=context_length,
        )
    return ModelError(
        "llama.cpp failed ({reason}); load the model again.", reason=llama.last_reason(code)
    )
