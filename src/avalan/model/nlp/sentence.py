"""Sentence embedders: texts to vectors of unit length, whose products say how alike texts are.

A folder in the layout of sentence-transformers is an encoder, a tokenizer and how its vectors
become one (Reimers and Gurevych, 2019, arXiv:1908.10084). Here are the parts that need no engine;
the encoder runs on ONNX Runtime or in transformers, and a server does all of it by itself.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray

from avalan import extras
from avalan.errors import ModelError
from avalan.hub.folder import find_onnx_decoder, folder_of
from avalan.model import bundled
from avalan.model.entities import EngineSettings
from avalan.model.nlp.encoder_tokenizer import read_tokenizer
from avalan.model.prompt import read_json

Vectors = NDArray[np.float32]
Kind = Literal["passage", "query"]

BUNDLED = "embedder"
"""Its name in the catalogue of what ships."""
EXAMPLE = "sentence-transformers/all-MiniLM-L6-v2"
_LONGEST = 512
_PROMPTS: dict[Kind, tuple[str, ...]] = {
    "query": ("query",),
    "passage": ("passage", "document", "corpus"),
}
_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What computes the vectors of tokens."""

    run: Callable[[NDArray[np.int64], NDArray[np.int64]], Vectors]
    """Token ids and mask, both (batch, length), to a vector per token, (batch, length, width), or
    to one per text, (batch, width). Threads may share it."""
    batch_tokens: int
    """Tokens that a batch of several texts has at most, padding included."""
    num_workers: int
    """Batches that are computed at once."""


class Embedder(Protocol):
    """Makes vectors of texts; any number of threads may ask it at once."""

    name: str
    """As it was asked for, without a key."""
    fingerprint: str
    """Changes with the weights, the tokenizer and the settings of the pooling: vectors of different
    fingerprints cannot be compared. Of a served model only the address and the name are known."""
    dimension: int

    def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> Vectors:
        """(len(texts), dimension), rows of unit length in the order of `texts`.

        Args:
            kind: some models read what is searched and what is searched for differently.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """How the vectors of a text's tokens become one."""

    mode: Literal["mean", "cls", "max", "lasttoken"]
    longest: int
    """Tokens that are read of a text, control tokens included."""
    prompts: Mapping[Kind, str] = field(default_factory=dict)
    """What is put before a text."""


def open_embedder(name: str = "bundled", settings: EngineSettings | None = None) -> Embedder:
    """Find the embedder called `name` and load it.

    Args:
        name: `bundled`, a folder or a hub id in the layout of sentence-transformers, or a server's
            model such as `ai://ollama/nomic-embed-text`.

    Raises:
        ConfigurationError: the name or a setting cannot be used.
        MissingExtra: the engine's package is not installed.
        ModelError: there is no such model, it is no embedder, or it cannot be loaded or reached.
    """
    settings = settings or EngineSettings()
    if name == "bundled":  # It needs nothing that finds other models, and whoever asks is waiting.
        return _load_bundled(name, settings)
    uri = extras.load("avalan.model.uri").parse_uri(name)
    if not uri.is_local:
        service = extras.load("avalan.model.service").find_service(uri)
        server = extras.load("avalan.model.nlp.sentence_server", extra="remote")
        served: Embedder = server.load(service)
        return served
    if uri.model == "bundled":
        return _load_bundled(name, settings)
    return load(name, extras.load("avalan.model.load").find_folder(name, settings), settings)


def _load_bundled(name: str, settings: EngineSettings) -> "LocalEmbedder":
    model = bundled.find(BUNDLED)
    return load(name, model.folder, settings, hashes=[each for _, each in model.files])


def load(
    name: str, path: Path, settings: EngineSettings, *, hashes: Sequence[str] = ()
) -> "LocalEmbedder":
    """The embedder in the folder `path`, or in that ONNX file.

    Args:
        hashes: of its files, where they are known already.

    Raises:
        ModelError: as `open_embedder`.
    """
    folder = folder_of(path)
    pooling = read_pooling(name, folder)
    onnx = find_onnx_decoder(path) if settings.engine in ("auto", "onnx") else None
    engine, extra = ("onnx", None) if onnx else ("transformers", "transformers")
    module = extras.load(f"avalan.model.nlp.sentence_{engine}", extra=extra)
    encoder = module.load(onnx or folder, settings)
    # The weights of a graph may lie beside it, as model.onnx.data or model.onnx_data.
    kept_in = onnx.parent.glob(f"{onnx.name}*") if onnx else folder.glob("*.safetensors")
    files = sorted(kept_in)
    hashes = hashes or [_sha256(file) for file in (*files, folder / "tokenizer.json")]
    return LocalEmbedder(
        name,
        encoder,
        read_tokenizer(folder),
        pooling,
        # The number format changes the vectors too, if little.
        fingerprint=fingerprint(*hashes, repr(pooling), engine, settings.weight_type),
    )


class LocalEmbedder:
    """An embedder whose tokenizer and pooling run here."""

    def __init__(
        self,
        name: str,
        encoder: Encoder,
        tokenizer: tokenizers.Tokenizer,
        pooling: Pooling,
        *,
        fingerprint: str,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._encoder, self._tokenizer, self._pooling = encoder, tokenizer, pooling
        self._workers = ThreadPoolExecutor(encoder.num_workers, thread_name_prefix="avalan-embed")
        self.dimension = self._vectors(self._token_ids([""])).shape[1]

    def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> Vectors:
        """See `Embedder.embed`; texts of like length are computed together."""
        prompt = self._pooling.prompts.get(kind, "")
        rows = self._token_ids([prompt + text for text in texts])
        vectors = np.empty((len(rows), self.dimension), np.float32)

        def compute(batch: list[int]) -> None:
            vectors[batch] = self._vectors([rows[index] for index in batch])

        work = list(batches([len(row) for row in rows], num_tokens=self._encoder.batch_tokens))
        if len(work) == 1:
            compute(work[0])  # A question does not wait for a thread.
        else:
            deque(self._workers.map(compute, work), maxlen=0)
        return vectors

    def close(self) -> None:
        """Free the model; it cannot be asked any more."""
        self._workers.shutdown()
        del self._encoder

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return token_ids(self._tokenizer, texts, self._pooling.longest)

    def _vectors(self, rows: Sequence[Sequence[int]]) -> Vectors:
        token_ids, mask = padded(rows)
        vectors = self._encoder.run(token_ids, mask)
        return unit_rows(vectors if vectors.ndim == 2 else pool(vectors, mask, self._pooling.mode))


def batches(lengths: Sequence[int], *, num_tokens: int) -> Iterator[list[int]]:
    """The places of texts of these lengths in batches, shortest first, padding included in
    `num_tokens`; a text that is longer comes alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > num_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, both (batch, length); padding is masked, so its id does not matter."""
    length = max(map(len, rows))
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], np.int64)
    token_ids = np.array([[*row, *[0] * (length - len(row))] for row in rows], np.int64)
    return token_ids, mask


def pool(vectors: Vectors, mask: NDArray[np.int64], mode: str) -> Vectors:
    """One vector per text, (batch, width), of those of its tokens, (batch, length, width).

    Args:
        mask: (batch, length), 1 at tokens and 0 at padding after them.
        mode: as in `Pooling.mode`.
    """
    if mode == "cls":
        return vectors[:, 0]
    if mode == "lasttoken":
        last: Vectors = vectors[np.arange(len(vectors)), mask.sum(axis=1) - 1]
        return last
    if mode == "max":
        highest: Vectors = np.where(mask[..., None] > 0, vectors, -np.inf).max(axis=1)
        return highest
    weights = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    mean: Vectors = np.matmul(weights[:, None].astype(np.float32), vectors)[:, 0]
    return mean


def unit_rows(vectors: Vectors) -> Vectors:
    """`vectors` (rows, width), each of length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return unit


def read_pooling(name: str, folder: Path) -> Pooling:
    """How the embedder in `folder` pools, from the files of sentence-transformers.

    Raises:
        ModelError: it is no embedding model, or has a part that is not known here.
    """
    modules = _read_modules(folder)
    if not modules or not (folder / "config.json").is_file():
        raise ModelError(
            "{name!r} is not an embedding model (it lacks modules.json, which says how its vectors "
            "are made); give one that is, such as {example!r}.",
            name=name,
            example=EXAMPLE,
        )
    kinds = {str(module.get("type", "")).rpartition(".")[2]: module for module in modules}
    unknown = [kind for kind in kinds if kind not in _MODULES]
    path = kinds.get("Pooling", {}).get("path", "1_Pooling")
    mode = _mode(read_json(folder / path / "config.json"))
    if unknown or mode is None:
        raise ModelError(
            "The embedding model {name!r} has a part that cannot be run here ({part}); give one "
            "such as {example!r}.",
            name=name,
            part=unknown[0] if unknown else "Pooling",
            example=EXAMPLE,
        )
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    found: dict[Kind, str] = {}
    for kind, names in _PROMPTS.items():
        found[kind] = next((prompts[each] for each in names if prompts.get(each)), "")
    config = read_json(folder / "config.json")
    longest = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    longest = longest or min(_LONGEST, config.get("max_position_embeddings") or _LONGEST)
    return Pooling(mode=mode, longest=int(longest), prompts=found)


def _mode(config: Mapping[str, Any]) -> Literal["mean", "cls", "max", "lasttoken"] | None:
    modes: dict[str, Literal["mean", "cls", "max", "lasttoken"]] = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_lasttoken": "lasttoken",
    }
    named = [mode for mode in modes.values() if config.get("pooling_mode") == mode]
    on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    return next(iter(named), None) or (modes.get(on[0]) if len(on) == 1 else None)


def _read_modules(folder: Path) -> list[dict[str, Any]]:
    """The parts of the model, in their order; none where the file says nothing of the kind."""
    path = folder / "modules.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except (ValueError, OSError):
        return []
    is_list = isinstance(content, list) and all(isinstance(each, dict) for each in content)
    return content if is_list else []


def token_ids(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str], longest: int
) -> list[list[int]]:
    """Token ids of each text, the control tokens around it among at most `longest`."""
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    room = longest - tokenizer.num_special_tokens_to_add(is_pair=False)
    for encoding in found:
        encoding.truncate(room)
    return [tokenizer.post_process(encoding).ids for encoding in found]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str) -> str:
    """Sixteen hexadecimal digits that stand for all `parts`."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
