"""Encoders in safetensors, run by transformers."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.entities import EngineSettings
from avalan.model.nlp.sentence import EXAMPLE, Encoder, Vectors
from avalan.model.weights import load_weights

_UNUSED = "pooler."
"""A layer that sentence embedders leave out, and that transformers then makes up."""
_BATCH_TOKENS = 2048
"""More are no faster on a processor."""


def load(folder: Path, settings: EngineSettings) -> Encoder:
    """The encoder in `folder`; threads may share it.

    Raises:
        ModelError: transformers cannot load it, or it lacks weights.
    """
    model, missing = load_weights(AutoModel, folder, settings, kind=_("embedding model"))
    if lacks := [name for name in missing if not name.startswith(_UNUSED)]:
        raise ModelError(
            "The files of {name!r} lack {count} of the weights of an embedding model, such as "
            "{first}; download it again, or take {example!r}.",
            name=str(folder),
            count=len(lacks),
            first=min(lacks),
            example=EXAMPLE,
        )

    def encode(token_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        with torch.inference_mode():
            vectors = model(
                input_ids=torch.from_numpy(token_ids).to(model.device),
                attention_mask=torch.from_numpy(mask).to(model.device),
            ).last_hidden_state
        return vectors.float().cpu().numpy()  # type: ignore[no-any-return]

    return Encoder(run=encode, batch_tokens=_BATCH_TOKENS, num_workers=1)
