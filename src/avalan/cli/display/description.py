"""What a model's files say about it, without loading its weights."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from avalan.cli.display.parts import llama_parts, parts_of
from avalan.compress.llama import read_shape
from avalan.errors import ModelError
from avalan.hub import download, found, headers, is_hub_id
from avalan.hub.folder import find_onnx_decoder
from avalan.hub.headers import Tensor
from avalan.hub.reach import why_unreachable
from avalan.hub.remote import SMALL, choose
from avalan.locale import _n
from avalan.model import bundled
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.prompt import read_json
from avalan.model.uri import parse_uri

_ROLES = (
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "sep_token",
    "cls_token",
    "mask_token",
)
_LAYER_KINDS = {
    "full_attention": _n("full attention"),
    "sliding_attention": _n("attention to a window"),
    "chunked_attention": _n("attention within chunks"),
    "linear_attention": _n("linear attention (recurrent)"),
    "attention": _n("full attention"),
    "mamba": _n("state space (recurrent)"),
    "recurrent": _n("recurrent"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model's files are."""

    folder: Path
    card: Path
    licence: str | None = None
    """Where it is known from elsewhere than the card."""
    tensors: Mapping[str, Tensor] | None = None
    """Of weights that lie on the hub only."""
    files: tuple[tuple[str, int], ...] | None = None
    """Names and bytes, where they lie on the hub only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A model as its files describe it; None or empty where they do not say."""

    name: str
    folder: Path
    is_downloaded: bool
    """Whether the weights are on this machine."""
    card: str
    """Markdown."""
    licence: str | None
    architecture: str | None
    num_parameters: int | None
    parameters: Mapping[str, int] = field(default_factory=dict)
    """Part → how many: embedding, attention, feed-forward, norms, output, other."""
    dtypes: Mapping[str, int] = field(default_factory=dict)
    """Number format of the weights → how many parameters."""
    vocab_size: int | None
    context_length: int | None
    """Tokens."""
    hidden_size: int | None
    num_layers: int | None
    layers: Mapping[str, int] = field(default_factory=dict)
    """Kind of attention → how many layers, where they differ."""
    num_heads: int | None
    num_kv_heads: int | None
    attention: str | None
    """multi-head, grouped-query, multi-query or multi-head latent."""
    sliding_window: int | None
    """Tokens."""
    special_tokens: tuple[str, ...]
    roles: Mapping[str, str]
    """Role → special token: `bos_token` …"""
    chat_template: str | None
    """Jinja2."""
    files: tuple[tuple[str, int], ...]
    """Names and bytes."""

    def document(self) -> dict[str, Any]:
        """For JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        files = [{"name": name, "size_bytes": size} for name, size in self.files]
        return plain | {"folder": str(self.folder), "files": files}


def describe(name: str, settings: EngineSettings) -> Description:
    """Read what the files of the model called `name` say; from the hub, small files only.

    Raises:
        ModelError: there is no such model, or its files cannot be read.
    """
    source = _find(name, settings)
    folder = source.folder
    config = read_json(folder / "config.json")
    inner = config.get("text_config")
    # Multimodal models keep the language part inside.
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    tensors = headers.read_headers(folder) if source.tensors is None else source.tensors
    parameters = parts_of(tensors) if tensors else _parts_of_shape(folder)
    settings_of_tokens = _read_optional(folder / "tokenizer_config.json")
    heads = _number(text, "num_attention_heads", "n_head", "encoder_attention_heads")
    kv_heads = _number(text, "num_key_value_heads") or heads
    metadata = _metadata(source.card)
    return Description(
        name=name,
        folder=folder,
        is_downloaded=source.files is None,
        card=_read_card(source.card),
        licence=source.licence or metadata.get("license_name") or metadata.get("license"),
        architecture=_architecture(config),
        num_parameters=sum(parameters.values()) or None,
        parameters=parameters,
        dtypes=_dtypes(tensors, config, is_onnx=find_onnx_decoder(folder) is not None),
        vocab_size=_number(text, "vocab_size"),
        context_length=_number(text, "max_position_embeddings", "n_positions"),
        hidden_size=_number(text, "hidden_size", "n_embd", "d_model"),
        num_layers=_number(text, "num_hidden_layers", "n_layer", "num_layers"),
        layers=_layers(text),
        num_heads=heads,
        num_kv_heads=kv_heads,
        attention=_attention(text, heads, kv_heads),
        sliding_window=_sliding_window(text),
        special_tokens=_special_tokens(folder),
        roles=_roles(settings_of_tokens),
        chat_template=_chat_template(folder, settings_of_tokens),
        files=_files(folder) if source.files is None else source.files,
    )


def count_parameters(folder: Path) -> int | None:
    """From the headers of the safetensors files; without any, from a Llama's shape."""
    tensors = headers.read_headers(folder)
    return sum((parts_of(tensors) if tensors else _parts_of_shape(folder)).values()) or None


# --- where the files are -------------------------------------------------------------------------


def _find(name: str, settings: EngineSettings) -> Source:
    uri = parse_uri(name)
    if uri.is_local and uri.model in bundled.RESERVED:
        row = bundled.find(uri.model)
        return Source(folder=row.folder, card=row.card, licence=row.licence)
    if uri.is_local and is_hub_id(uri.model) and not Path(uri.model).is_dir():
        return _find_on_hub(uri.model, settings)
    folder = find_folder(name, settings)
    return Source(folder=folder, card=folder / "README.md")


def _find_on_hub(name: str, settings: EngineSettings) -> Source:
    token = settings.access_token
    cache_dir, revision = settings.cache_dir, settings.revision
    folder = found.find_cached(name, cache_dir=cache_dir, revision=revision)
    if folder is not None:
        return Source(folder=folder, card=folder / "README.md")
    part = found.find_snapshot(name, cache_dir=cache_dir, revision=revision)
    if part is not None and why_unreachable() is not None:
        # Its small files were looked at before.
        return Source(folder=part, card=part / "README.md", tensors={}, files=_files(part))
    plan = download.plan(
        name,
        cache_dir=settings.cache_dir,
        revision=settings.revision,
        token=token,
        files=SMALL,
    )
    folder = download.run(plan)
    rows = choose(plan.model.files)
    return Source(
        folder=folder,
        card=folder / "README.md",
        licence=plan.model.licence,
        tensors=headers.remote_headers(name, revision=plan.model.commit, token=token),
        files=tuple((file.path, file.size_bytes) for file in rows),
    )


def _files(folder: Path) -> tuple[tuple[str, int], ...]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths)


# --- the card ------------------------------------------------------------------------------------


def _read_card(path: Path) -> str:
    """A card without the YAML in front of it."""
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.sub(r"\A---\n.*?\n---\n\s*", "", text, flags=re.DOTALL)


def _metadata(path: Path) -> dict[str, str]:
    """The texts among the YAML in front of a card."""
    try:
        rows = metadata_load(path) or {}
    except Exception:  # Other people's YAML: a card that cannot be read says nothing.
        return {}
    return {str(key): value for key, value in rows.items() if isinstance(value, str)}


# --- the configuration ---------------------------------------------------------------------------


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    values = (config.get(name) for name in names)
    return next((each for each in values if isinstance(each, int) and each is not True), None)


def _architecture(config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else config.get("model_type")
    return name if isinstance(name, str) else None


def _layers(text: Mapping[str, Any]) -> dict[str, int]:
    kinds = text.get("layer_types") or text.get("layers_block_type")
    if not isinstance(kinds, list):
        return {}
    return dict(Counter(_LAYER_KINDS.get(str(kind), str(kind)) for kind in kinds).most_common())


def _attention(text: Mapping[str, Any], heads: int | None, kv_heads: int | None) -> str | None:
    if text.get("kv_lora_rank"):
        return _n("multi-head latent")
    if not heads or not kv_heads:
        return None
    if kv_heads == heads:
        return _n("multi-head")
    return _n("multi-query") if kv_heads == 1 else _n("grouped-query")


def _sliding_window(text: Mapping[str, Any]) -> int | None:
    """Some name a window that they do not use."""
    return None if text.get("use_sliding_window") is False else _number(text, "sliding_window")


def _dtypes(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], *, is_onnx: bool
) -> dict[str, int]:
    """From the headers, or as the configuration says; of ONNX it tells what was exported."""
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        counts[tensor.dtype] += tensor.num_parameters
    named = config.get("dtype") or config.get("torch_dtype")
    if not counts and isinstance(named, str) and not is_onnx:
        return {named: 0}
    return dict(counts.most_common())


def _parts_of_shape(folder: Path) -> dict[str, int]:
    try:
        return llama_parts(read_shape(folder))
    except ModelError:
        return {}


# --- the tokenizer -------------------------------------------------------------------------------


def _special_tokens(folder: Path) -> tuple[str, ...]:
    added = _read_optional(folder / "tokenizer.json").get("added_tokens", [])
    return tuple(row["content"] for row in added if row.get("special"))


def _roles(settings: Mapping[str, Any]) -> dict[str, str]:
    """Some files write a token as text, others as an object."""
    given = {role: settings.get(role) for role in _ROLES}
    texts = {
        role: each.get("content") if isinstance(each, dict) else each
        for role, each in given.items()
    }
    return {role: text for role, text in texts.items() if isinstance(text, str)}


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    given = settings.get("chat_template")
    if isinstance(given, list):  # Several, by name; the one called `default` is used.
        rows = {row.get("name"): row.get("template") for row in given if isinstance(row, dict)}
        given = rows.get("default") or next(iter(rows.values()), None)
    return given if isinstance(given, str) else None


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
