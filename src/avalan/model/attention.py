"""Which implementations of attention run where."""

import torch
from transformers.utils import is_flash_attn_2_available

from avalan.errors import ConfigurationError, ModelError
from avalan.model.entities import ATTENTIONS

_ON_CUDA = ("flash_attention_2", "flex_attention")


def check_attention(name: str, device: torch.device) -> None:
    """Whether the attention called `name` can be computed on `device`.

    Raises:
        ConfigurationError: there is no attention of this name.
        ModelError: it needs another device, or a package that is not installed.
    """
    if name not in ATTENTIONS:
        raise ConfigurationError(
            "There is no attention called {name!r}; choose one of: {known}.",
            name=name,
            known=", ".join(ATTENTIONS),
        )
    if name not in _ON_CUDA:
        return
    if device.type != "cuda":
        raise ModelError(
            "The attention {name!r} computes on CUDA devices only, and the model is to be on "
            "{device!r}; choose the attention 'sdpa', which works there.",
            name=name,
            device=device.type,
        )
    if name == "flash_attention_2" and not is_flash_attn_2_available():
        raise ModelError(
            "The attention {name!r} needs the package 'flash-attn', which is not installed; "
            "run: pip install flash-attn, or choose the attention 'sdpa', which works without.",
            name=name,
        )
