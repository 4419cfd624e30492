"""Encoders in ONNX, on plain ONNX Runtime: no torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ModelError
from avalan.model.engine.cores import physical_cores
from avalan.model.engine.onnx_session import open_session
from avalan.model.entities import EngineSettings
from avalan.model.nlp.sentence import Encoder, Vectors

_OUTPUTS = ("sentence_embedding", "last_hidden_state", "token_embeddings")


def load(path: Path, settings: EngineSettings) -> Encoder:
    """The encoder in the file `path`; threads may share it.

    Raises:
        ModelError: ONNX Runtime cannot run it, or it gives no vectors.
    """
    num_workers = settings.num_threads or min(physical_cores(), 8)
    session = open_session(path, _on_one_core(settings))
    wanted = {node.name for node in session.get_inputs()}
    given = {node.name for node in session.get_outputs()}
    output = next((name for name in _OUTPUTS if name in given), None)
    if output is None or not {"input_ids", "attention_mask"} <= wanted:
        raise ModelError(
            "{path} is not an embedding model (it gives {outputs}, not vectors of texts); give the "
            "ONNX file of an encoder.",
            path=path,
            outputs=", ".join(sorted(given)),
        )

    def encode(token_ids: NDArray[np.int64], mask: NDArray[np.int64]) -> Vectors:
        inputs: dict[str, NDArray[Any]] = {"input_ids": token_ids, "attention_mask": mask}
        if "token_type_ids" in wanted:
            inputs["token_type_ids"] = np.zeros_like(token_ids)
        vectors: Vectors = session.run([output], inputs)[0].astype(np.float32, copy=False)
        return vectors

    # Text by text, each on a core of its own: nothing is padded and everything stays in the cache,
    # and products in 8 bits round a text the same whatever comes with it.
    return Encoder(run=encode, batch_tokens=1, num_workers=num_workers)


def _on_one_core(settings: EngineSettings) -> EngineSettings:
    return replace(settings, num_threads=1)
