"""What a teacher makes of every text, computed once and kept."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avalan.errors import ConfigurationError
from avalan.model.nlp.sentence import Embedder

CHUNK = 1_024
"""Texts of a file: what a kill costs at most."""


def teacher_vectors(
    texts: Sequence[str], teacher: Embedder, folder: Path, told: Callable[[int], None]
) -> NDArray[np.float16]:
    """(len(texts), teacher.dimension), from the files in `folder` or else made and put there.

    Args:
        folder: of one run; a file's name says which texts it is of, and for which teacher.
        told: is told how many texts are done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(texts), CHUNK):
        told(start)
        chunk = texts[start : start + CHUNK]
        key = hashlib.sha256("\0".join((teacher.fingerprint, *chunk)).encode()).hexdigest()[:16]
        path = folder / f"{key}.npy"
        if not path.exists():
            # Renamed at the end: a file that has its name is whole.
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, teacher.embed(chunk).astype(np.float16))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        parts.append(np.load(path))
    return np.concatenate(parts)


def check_weights(folder: Path, sha256: str, *, part: str = "teacher") -> None:
    """Whether the weights in `folder` are those that the recipe names in its `part`.

    Raises:
        ConfigurationError: they are not.
    """
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and found != sha256:
        raise ConfigurationError(
            "The weights in {path} are not those of the recipe (their SHA-256 is {found}); give "
            "the right ones, or change {part}.sha256.",
            path=path,
            part=part,
            found=found,
        )
