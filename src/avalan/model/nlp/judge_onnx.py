"""The reader on plain ONNX Runtime: no torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avalan.model.engine.onnx_session import open_session
from avalan.model.entities import EngineSettings
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.nlp.judge import Logits, PairReader, read_longest

_GRAPH = "model.onnx"


def open_reader(folder: Path, settings: EngineSettings | None = None) -> PairReader:
    """The reader in `folder`.

    Raises:
        ModelError: there is none, or its files are broken.
    """
    longest = read_longest(folder)
    tokenizer = read_tokenizer(folder)
    session = open_session(folder / _GRAPH, settings or EngineSettings())

    def run(
        token_ids: NDArray[np.int64], mask: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> Logits:
        inputs = {"input_ids": token_ids, "attention_mask": mask, "token_type_ids": kinds}
        logits: Logits = session.run(["logits"], inputs)[0]
        return logits

    return PairReader(tokenizer, run, longest)
