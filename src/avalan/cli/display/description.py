"""What a model's files say about it, without loading its weights."""

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avalan.cli.display.units import count_text
from avalan.compress.llama import read_shape
from avalan.errors import ModelError
from avalan.hub import download
from avalan.model import bundled
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.prompt import read_json
from avalan.model.uri import parse_uri

# Enough to describe a model of the hub; its weights may be many gigabytes.
_SMALL_FILES = ["*.json", "*.jinja", "README.md"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A model as its files describe it; None or empty where they do not say."""

    name: str
    folder: Path
    card: str
    """Markdown."""
    architecture: str | None
    num_parameters: int | None
    vocab_size: int | None
    context_length: int | None
    """Tokens."""
    hidden_size: int | None
    num_layers: int | None
    num_heads: int | None
    num_kv_heads: int | None
    special_tokens: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    """Names and bytes."""

    def facts(self) -> dict[str, str]:
        """Labels and values for people; what is not known is left out."""
        tokens = " ".join(self.special_tokens)
        heads, kv_heads = self.num_heads, self.num_kv_heads
        shared = f", {kv_heads} for keys and values" if kv_heads not in (None, heads) else ""
        rows = {
            "Architecture": self.architecture,
            "Parameters": count_text(self.num_parameters) if self.num_parameters else None,
            "Vocabulary": f"{self.vocab_size:,} tokens" if self.vocab_size else None,
            "Context": f"{self.context_length:,} tokens" if self.context_length else None,
            "Hidden size": f"{self.hidden_size:,}" if self.hidden_size else None,
            "Layers": str(self.num_layers) if self.num_layers else None,
            "Heads": f"{heads}{shared}" if heads else None,
            "Special tokens": tokens or None,
        }
        return {label: value for label, value in rows.items() if value}

    def document(self) -> dict[str, Any]:
        """For JSON."""
        names = self.__slots__
        files = [{"name": name, "size_bytes": size} for name, size in self.files]
        plain = {name: getattr(self, name) for name in names}
        return plain | {"folder": str(self.folder), "files": files}


def describe(name: str, settings: EngineSettings) -> Description:
    """Read what the files of the model called `name` say; from the hub, small files only.

    Raises:
        ModelError: there is no such model, or its files cannot be read.
    """
    folder, card = _find(name, settings)
    config = read_json(folder / "config.json")
    text = config.get("text_config") or config  # Multimodal models keep the language part inside.
    architectures = config.get("architectures") or [config.get("model_type")]
    return Description(
        name=name,
        folder=folder,
        card=_read_card(card),
        architecture=architectures[0],
        num_parameters=count_parameters(folder),
        vocab_size=text.get("vocab_size"),
        context_length=text.get("max_position_embeddings"),
        hidden_size=text.get("hidden_size"),
        num_layers=text.get("num_hidden_layers"),
        num_heads=text.get("num_attention_heads"),
        num_kv_heads=text.get("num_key_value_heads"),
        special_tokens=_special_tokens(folder),
        files=_files(folder),
    )


def count_parameters(folder: Path) -> int | None:
    """From the headers of the safetensors files; without any, from a Llama's shape."""
    weights = list(folder.glob("*.safetensors"))
    if weights:
        return sum(map(_count_in_header, weights))
    try:
        shape = read_shape(folder)
    except ModelError:
        return None
    attention = 2 * shape.head_dim * (shape.num_heads + shape.num_kv_heads)
    layer = shape.hidden_size * (attention + 3 * shape.intermediate_size + 2)
    embedding = shape.vocab_size * shape.hidden_size * (1 if shape.tied else 2)
    return embedding + shape.num_layers * layer + shape.hidden_size


def _count_in_header(path: Path) -> int:
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("the header ends beyond the file")
            header = json.loads(file.read(length))
            return sum(math.prod(row["shape"]) for key, row in header.items() if key[:2] != "__")
        except (ValueError, LookupError, TypeError, AttributeError, struct.error):
            raise ModelError(
                f"The file {path} is not in the safetensors format; download the model again."
            ) from None


def _find(name: str, settings: EngineSettings) -> tuple[Path, Path]:
    """The folder of a model and the path of its card."""
    uri = parse_uri(name)
    if uri.is_local and uri.model in bundled.RESERVED:
        row = bundled.find(uri.model)
        return row.folder, row.card
    if uri.is_local and _is_hub_id(uri.model):
        folder = _find_on_hub(uri.model, settings)
    else:
        folder = find_folder(name, settings)
    return folder, folder / "README.md"


def _is_hub_id(name: str) -> bool:
    return not name.startswith((".", "/", "~")) and not Path(name).is_dir()


def _find_on_hub(name: str, settings: EngineSettings) -> Path:
    where = {"cache_dir": settings.cache_dir, "revision": settings.revision}
    cached = download.find_cached(name, **where)
    if cached is not None:
        return cached
    return download.fetch(name, **where, offline=False, files=_SMALL_FILES, left_out=[])


def _read_card(path: Path) -> str:
    """A card without the YAML in front of it."""
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.sub(r"\A---\n.*?\n---\n\s*", "", text, flags=re.DOTALL)


def _special_tokens(folder: Path) -> tuple[str, ...]:
    added = read_json(folder / "tokenizer.json").get("added_tokens", [])
    return tuple(row["content"] for row in added if row.get("special"))


def _files(folder: Path) -> tuple[tuple[str, int], ...]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((path.relative_to(folder).as_posix(), path.stat().st_size) for path in found)
