"""llama.cpp itself: what loading a file takes, and how it says what went wrong."""

import os
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp

from avalan.errors import ModelError
from avalan.locale import _

_ERROR_LEVEL = 4

_complaints: deque[str] = deque(maxlen=8)
"""What it said last of what went wrong; it has no other way to give a reason."""


@llama_cpp.llama_log_callback
def _listen(level: int, text: bytes, _data: Any) -> None:
    if level >= _ERROR_LEVEL:
        _complaints.append(text.decode(errors="replace").strip())


@cache
def prepare() -> None:
    """Start the library, once; from now on it is silent."""
    llama_cpp.llama_log_set(_listen, None)
    llama_cpp.llama_backend_init()


def load_model(path: Path, *, vocab_only: bool = False, gpu_layers: int = 0) -> int:
    """llama.cpp's pointer to the model in the GGUF file `path`.

    Raises:
        ModelError: it cannot be loaded; the sentence has llama.cpp's reason.
    """
    prepare()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only, params.n_gpu_layers = vocab_only, gpu_layers
    _complaints.clear()
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelError(
            "llama.cpp cannot load {path} ({reason}); choose another file, or a newer "
            "llama-cpp-python.",
            path=path,
            reason=last_reason(),
        )
    return int(model)


def forget_reasons() -> None:
    """Before a call whose failure is to be explained."""
    _complaints.clear()


def last_reason(code: int | None = None) -> str:
    """What llama.cpp complained of first since then; else the code that a call gave."""
    said = next((line for line in _complaints if line), "")
    return said or (_("no reason given") if code is None else _("code {code}", code=code))
