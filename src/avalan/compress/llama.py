"""The shape of a Llama, from its `config.json`; what the export cannot express is refused here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.prompt import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaShape:
    """Sizes and constants of one model, in the words of `config.json`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    context_length: int
    tied: bool
    """Whether the output matrix is the embedding."""


def read_shape(folder: Path) -> LlamaShape:
    """The shape of the Llama in `folder`.

    Raises:
        ModelError: it is another architecture, or a variant that the export cannot express.
    """
    config = read_json(folder / "config.json")
    for what, supported in _requirements(config):
        if not supported:
            raise ModelError(
                "The export to ONNX cannot express the model in {folder} ({what}); "
                "run it with the engine 'transformers' instead.",
                folder=folder,
                what=what,
            )
    num_heads = config["num_attention_heads"]
    return LlamaShape(
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=num_heads,
        num_kv_heads=config.get("num_key_value_heads") or num_heads,
        head_dim=_head_dim(config),
        rms_norm_eps=config.get("rms_norm_eps", 1e-6),
        rope_theta=_rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0,
        context_length=config.get("max_position_embeddings", 2048),
        tied=config.get("tie_word_embeddings", False),
    )


def _requirements(config: dict[str, Any]) -> list[tuple[str, bool]]:
    """What the model is like, and whether the graph can be, in the order to check."""
    kind = config.get("model_type")
    if kind != "llama":
        return [(_("its type is {kind!r}, not 'llama'", kind=kind), False)]
    sizes = ("vocab_size", "hidden_size", "intermediate_size")
    counts = ("num_hidden_layers", "num_attention_heads")
    missing = [name for name in (*sizes, *counts) if not isinstance(config.get(name), int)]
    if missing:
        return [(_("its config.json lacks {key}", key=missing[0]), False)]
    rope_type = _rope(config).get("rope_type") or _rope(config).get("type") or "default"
    activation = config.get("hidden_act", "silu")
    head_dim = _head_dim(config)
    return [
        (_("its activation is {name!r}, not 'silu'", name=activation), activation == "silu"),
        (_("its rotary embeddings are scaled by {name!r}", name=rope_type), rope_type == "default"),
        (
            _("it rotates only a part of each head"),
            _rope(config).get("partial_rotary_factor", 1) == 1,
        ),
        (_("its attention has biases"), not config.get("attention_bias")),
        (_("its feed-forward layers have biases"), not config.get("mlp_bias")),
        (_("its heads are of {size}, not a multiple of 8", size=head_dim), head_dim % 8 == 0),
    ]


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings: one object in new files, `rope_theta` beside `rope_scaling` in old ones."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _head_dim(config: dict[str, Any]) -> int:
    given = config.get("head_dim")
    return int(given or config["hidden_size"] // config["num_attention_heads"])
