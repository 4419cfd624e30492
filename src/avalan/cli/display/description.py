"""What a model's files say about it, without loading its weights."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from avalan import extras
from avalan.compress.llama import read_shape
from avalan.errors import ModelError
from avalan.hub import download, found, headers, is_hub_id
from avalan.hub.failure import why_unreachable
from avalan.hub.folder import find_model, find_onnx_decoder, folder_of
from avalan.hub.formats import GGUF, find_format, gguf_weights, split_format
from avalan.hub.headers import Tensor
from avalan.hub.layout import looks_root, place_of
from avalan.hub.onnx_header import count_formats
from avalan.hub.remote import SMALL, choose, fits, patterns_for, remote_headers
from avalan.locale import _n
from avalan.model import bundled
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder
from avalan.model.prompt import read_json
from avalan.model.uri import parse_uri

_ROLES = [f"{name}_token" for name in ("bos", "eos", "pad", "unk", "sep", "cls", "mask")]
_LAYER_KINDS = {
    "full_attention": _n("full attention"),
    "sliding_attention": _n("attention to a window"),
    "chunked_attention": _n("attention within chunks"),
    "linear_attention": _n("linear attention (recurrent)"),
    "attention": _n("full attention"),
    "mamba": _n("state space (recurrent)"),
    "recurrent": _n("recurrent"),
}

PARTS = [
    _n("embedding"),
    _n("attention"),
    _n("feed-forward"),
    _n("norms"),
    _n("output"),
    _n("other"),
]
"""In the order of a model's own work."""

_WEIGHTS = ("*.safetensors*", "*.onnx*", "*.gguf")

# The first that fits: a norm inside attention is a norm, an expert's output is feed-forward.
_RULES = (
    ("norms", r"norm|(^|\.)ln_?\w*\."),
    ("output", r"(^|\.)(lm_head|embed_out|score|classifier|qa_outputs|cls)\."),
    ("embedding", r"embed|(^|\.)(wte|wpe|shared)\."),
    ("feed-forward", r"mlp|ffn|feed_?forward|experts|(^|\.)fc[12]\.|DenseReluDense|block_sparse"),
    ("attention", r"attn|attention|SelfAttention|EncDecAttention|(^|\.)(mixer|conv1d)\."),
    ("feed-forward", r"(^|\.)layers?\.\d+\.(intermediate|output)\."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A model as its files describe it; None or empty where they do not say."""

    name: str
    folder: Path | None
    """None where the files that are listed lie on the hub only."""
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
        return plain | {"folder": self.folder and str(self.folder), "files": files}


def describe(name: str, settings: EngineSettings) -> Description:
    """Read what the files of the model called `name` say; from the hub, small files only.

    Raises:
        ModelError: there is no such model, or its files cannot be read.
    """
    uri = parse_uri(name)
    if uri.is_local and uri.model in bundled.RESERVED:
        row = bundled.find(uri.model)
        return _read(name, row.folder, card=row.card, licence=row.licence)
    if uri.is_local and is_hub_id(uri.model) and not Path(split_format(uri.model)[0]).is_dir():
        return _describe_hub(name, uri.model, settings)
    return _read(name, find_folder(name, settings))


def _describe_hub(name: str, model: str, settings: EngineSettings) -> Description:
    model, wanted = split_format(model)
    cache_dir, revision, token = settings.cache_dir, settings.revision, settings.access_token
    pickled = settings.allow_pickle
    folder = found.find_cached(
        model, cache_dir=cache_dir, revision=revision, wanted=wanted, pickled=pickled
    )
    if folder is not None:
        return _read(name, find_model(folder, wanted, pickled=pickled))
    looks = looks_root(cache_dir)
    places = (cache_dir, looks)
    parts = [found.find_snapshot(model, cache_dir=each, revision=revision) for each in places]
    part = next(filter(None, parts), None)
    if part is not None and why_unreachable() is not None:
        # Its small files were looked at before.
        return replace(_read(name, part, tensors={}), is_downloaded=False)
    plan = download.plan(model, cache_dir=cache_dir, revision=revision, token=token, files=SMALL)
    plan = replace(plan, place=place_of(model, looks))
    files = choose(plan.model.files, patterns_for(plan.model, wanted, any_weights=True))
    has_tensors = any(file.path.endswith(".safetensors") for file in files)
    return _read(
        name,
        download.run(plan),
        licence=plan.model.licence,
        tensors=remote_headers(model, revision=plan.model.commit, token=token)
        if has_tensors
        else {},
        files=tuple((file.path, file.size_bytes) for file in files),
    )


def _read(
    name: str,
    model: Path,
    *,
    card: Path | None = None,
    licence: str | None = None,
    tensors: Mapping[str, Tensor] | None = None,
    files: tuple[tuple[str, int], ...] | None = None,
) -> Description:
    """What the files in the folder `model`, or that file and those beside it, say.

    Args:
        licence: where it is known from elsewhere than the card.
        tensors: of weights that lie on the hub only.
        files: names and bytes, where they lie on the hub only.
    """
    folder = folder_of(model)
    config, template = _read_model(model, is_here=files is None)
    held = _files(model) if files is None else files
    inner = config.get("text_config")
    # Multimodal models keep the language part inside.
    text: Mapping[str, Any] = inner if isinstance(inner, dict) else config
    if tensors is None:
        tensors = headers.read_headers(folder) if model.is_dir() else {}
    parameters = _parameters(tensors, folder)
    tokenizer = _read_optional(folder / "tokenizer_config.json")
    added = _read_optional(folder / "tokenizer.json").get("added_tokens", [])
    heads = _number(text, "num_attention_heads", "n_head", "encoder_attention_heads")
    kv_heads = _number(text, "num_key_value_heads") or heads
    about, metadata = _read_card(card or folder / "README.md")
    # Some name a window that they do not use.
    has_window = text.get("use_sliding_window") is not False
    return Description(
        name=name,
        folder=model if files is None else None,
        is_downloaded=files is None,
        card=about,
        licence=licence or metadata.get("license_name") or metadata.get("license"),
        architecture=_architecture(config),
        num_parameters=sum(parameters.values()) or None,
        parameters=parameters,
        dtypes=_dtypes(tensors, config, find_onnx_decoder(model), [path for path, _size in held]),
        vocab_size=_number(text, "vocab_size"),
        context_length=_number(text, "max_position_embeddings", "n_positions"),
        hidden_size=_number(text, "hidden_size", "n_embd", "d_model"),
        num_layers=_number(text, "num_hidden_layers", "n_layer", "num_layers"),
        layers=_layers(text),
        num_heads=heads,
        num_kv_heads=kv_heads,
        attention=_attention(text, heads, kv_heads),
        sliding_window=_number(text, "sliding_window") if has_window else None,
        special_tokens=tuple(row["content"] for row in added if row.get("special")),
        roles=_roles(tokenizer),
        chat_template=template or _chat_template(folder, tokenizer),
        files=held,
    )


def _read_model(model: Path, *, is_here: bool) -> tuple[Mapping[str, Any], str | None]:
    """The configuration, and the chat template of a GGUF file."""
    path = folder_of(model) / "config.json"
    if model.suffix == GGUF and extras.is_installed("llama_cpp"):
        gguf = extras.load("avalan.model.gguf")
        file = gguf.GgufFile(model)
        return gguf.read_config(file) | _read_optional(path), file.chat_template
    # Repositories of GGUF files alone often have none.
    return (_read_optional if model.suffix == GGUF or not is_here else read_json)(path), None


def _files(model: Path) -> tuple[tuple[str, int], ...]:
    """Of a file, those that belong to it, and what lies beside it in a model's folder."""
    folder = folder_of(model)
    is_whole = model.is_dir() or (folder / "config.json").is_file()
    found = (path for path in sorted(folder.rglob("*") if is_whole else folder.iterdir()))
    paths = [path.relative_to(folder).as_posix() for path in found if path.is_file()]
    if model.is_file():
        weights = find_format(paths, model.relative_to(folder).as_posix())
        own = weights.files if weights else (model.relative_to(folder).as_posix(),)
        paths = [path for path in paths if path in own or (is_whole and not fits(path, _WEIGHTS))]
    return tuple((path, (folder / path).stat().st_size) for path in paths)


def _read_card(path: Path) -> tuple[str, dict[str, str]]:
    """A card without the YAML in front of it, and the texts among that."""
    if not path.is_file():
        return "", {}
    card = path.read_text(encoding="utf-8", errors="replace")
    try:
        rows = metadata_load(path) or {}
    except Exception:  # Other people's YAML: a card that cannot be read says nothing.
        rows = {}
    metadata = {str(key): value for key, value in rows.items() if isinstance(value, str)}
    return re.sub(r"\A---\n.*?\n---\n\s*", "", card, flags=re.DOTALL), metadata


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


def _dtypes(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    onnx: Path | None,
    files: Iterable[str],
) -> dict[str, int]:
    """From the headers, or as the configuration says; of ONNX that tells what was exported.

    Of GGUF as the file is called, since its formats mix others.
    """
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        counts[tensor.dtype] += tensor.num_parameters
    named = config.get("dtype") or config.get("torch_dtype")
    if not counts and onnx is not None:
        return count_formats(onnx)
    if not counts and (gguf := gguf_weights(files)):
        return {gguf[0].format: 0}
    if not counts and isinstance(named, str):
        return {named: 0}
    return dict(counts.most_common())


# --- the tokenizer -------------------------------------------------------------------------------


def _roles(settings: Mapping[str, Any]) -> dict[str, str]:
    """Some files write a token as text, others as an object."""
    roles: dict[str, str] = {}
    for role in _ROLES:
        token = settings.get(role)
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            roles[role] = text
    return roles


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


# --- the parameters -------------------------------------------------------------------------------


def _parameters(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, int]:
    """By part, from the headers of the safetensors files; without any, from a Llama's shape."""
    if tensors:
        return parts_of((name, tensor.num_parameters) for name, tensor in tensors.items())
    try:
        shape = read_shape(folder)
    except ModelError:
        return {}
    heads = shape.head_dim * (shape.num_heads + shape.num_kv_heads)
    embedding = shape.vocab_size * shape.hidden_size
    parts = {
        "embedding": embedding,
        "attention": shape.num_layers * 2 * shape.hidden_size * heads,
        "feed-forward": shape.num_layers * 3 * shape.hidden_size * shape.intermediate_size,
        "norms": (2 * shape.num_layers + 1) * shape.hidden_size,
    }
    return parts if shape.tied else parts | {"output": embedding}


def part_of(name: str) -> str:
    """The part of the tensor called `name`."""
    fitting = (part for part, rule in _RULES if re.search(rule, name, re.IGNORECASE))
    return next(fitting, "other")


def parts_of(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Part → number of parameters, from those of each tensor; parts that are not there left out."""
    sums: Counter[str] = Counter()
    for name, count in counts:
        sums[part_of(name)] += count
    return {part: sums[part] for part in PARTS if sums[part]}
