"""A model's sizes and constants, as GGUF names them; what llama.cpp cannot run is refused here.

Source: llama.cpp's converter (conversion/llama.py and qwen.py) and its loaders (src/models/*.cpp),
MIT, at the commit 0c1e57098, which llama-cpp-python 0.3.36 contains; written anew.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType

from avalan.compress.checkpoint import Array
from avalan.errors import ModelError
from avalan.locale import _
from avalan.model.prompt import read_json

Config = dict[str, Any]
_ARCHITECTURES = {
    "LlamaForCausalLM": MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": MODEL_ARCH.QWEN3,
    "Qwen3_5ForCausalLM": MODEL_ARCH.QWEN35,
}
_SCALINGS = {
    MODEL_ARCH.LLAMA: ("default", "linear", "yarn", "llama3"),
    MODEL_ARCH.QWEN2: ("default", "linear", "yarn"),
    MODEL_ARCH.QWEN3: ("default", "linear", "yarn"),
    MODEL_ARCH.QWEN35: ("default",),
}
_SCALING_KEYS = {
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": (
        "factor",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
    ),
}
_YARN = {"beta_fast": 32, "beta_slow": 1, "truncate": True, "mscale": 0, "mscale_all_dim": 0}
"""What llama.cpp takes for granted in these architectures, whatever the file says."""
_DEFAULTS: dict[MODEL_ARCH, Config] = {
    MODEL_ARCH.LLAMA: {"max_position_embeddings": 2048},
    MODEL_ARCH.QWEN2: {"num_key_value_heads": 32},
    MODEL_ARCH.QWEN3: {"num_key_value_heads": 32, "head_dim": 128},
    MODEL_ARCH.QWEN35: {
        "num_key_value_heads": 4,
        "head_dim": 256,
        "partial_rotary_factor": 0.25,
        "full_attention_interval": 4,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
    },
}
"""What transformers takes a key for that a `config.json` leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One model's sizes and constants; `shape[key]` is one, in the words of its `config.json`."""

    architecture: MODEL_ARCH
    config: Config

    def __getitem__(self, key: str) -> Any:
        return self.config[key]

    @property
    def num_layers(self) -> int:
        """How many blocks the model has."""
        return int(self["num_hidden_layers"])

    @property
    def num_heads(self) -> int:
        """Heads of the queries."""
        return int(self["num_attention_heads"])

    @property
    def num_kv_heads(self) -> int:
        """Heads of the keys, and of the values; each serves as many queries."""
        return int(self.config.get("num_key_value_heads") or self.num_heads)

    @property
    def head_dim(self) -> int:
        """Numbers per head."""
        return int(self.config.get("head_dim") or self["hidden_size"] // self.num_heads)

    @property
    def rotated_dim(self) -> int:
        """How many of them turn with the position."""
        return int(self.head_dim * self.rope.get("partial_rotary_factor", 1))

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the embedding."""
        return bool(self["tie_word_embeddings"])

    @property
    def rope(self) -> dict[str, Any]:
        """Rotary settings: one object in new files, `rope_theta` beside `rope_scaling` in old."""
        keys = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
        beside = {key: self[key] for key in keys if key in self.config}
        return beside | (
            self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        )

    @property
    def rope_type(self) -> str:
        """How the rotary embeddings reach beyond the trained length."""
        return str(self.rope.get("rope_type") or self.rope.get("type") or "default")

    @property
    def recurrent_layers(self) -> list[bool]:
        """Which layers of a Qwen3.5 keep a running state; the others attend."""
        kinds = self.config.get("layer_types")
        if kinds:
            return [kind == "linear_attention" for kind in kinds]
        every = self["full_attention_interval"]
        return [layer % every != 0 for layer in range(1, self.num_layers + 1)]

    def rope_factors(self) -> Array | None:
        """By how much each rotary frequency of a Llama 3.1 is divided, or None for others.

        High frequencies stay, low ones are divided by `factor`, and those between are blended.
        """
        if self.rope_type != "llama3":
            return None
        factor, low, high, length = (self.rope[key] for key in _SCALING_KEYS["llama3"])
        exponents = np.arange(0, self.head_dim, 2) / self.head_dim
        wavelengths = 2 * math.pi * self["rope_theta"] ** exponents
        share = np.clip((length / wavelengths - low) / (high - low), 0, 1)
        return (1 / (share + (1 - share) / factor)).astype(np.float32)

    def add_to(self, writer: GGUFWriter) -> None:
        """Add the keys that llama.cpp reads."""
        writer.add_block_count(self.num_layers)
        writer.add_context_length(self["max_position_embeddings"])
        writer.add_embedding_length(self["hidden_size"])
        writer.add_feed_forward_length(self["intermediate_size"])
        writer.add_head_count(self.num_heads)
        writer.add_head_count_kv(self.num_kv_heads)
        writer.add_key_length(self.head_dim)
        writer.add_value_length(self.head_dim)
        writer.add_layer_norm_rms_eps(self["rms_norm_eps"])
        writer.add_rope_freq_base(self["rope_theta"])
        writer.add_rope_dimension_count(self.rotated_dim)
        self._add_rope_scaling(writer)
        if self.architecture is MODEL_ARCH.QWEN35:
            self._add_delta_net(writer)

    def _add_rope_scaling(self, writer: GGUFWriter) -> None:
        if self.rope_type not in ("linear", "yarn"):
            return
        factor, given = self.rope["factor"], self.rope.get("attention_factor")
        writer.add_rope_scaling_type(RopeScalingType(self.rope_type))
        writer.add_rope_scaling_factor(factor)
        if self.rope_type == "yarn":
            length = self.rope.get("original_max_position_embeddings")
            writer.add_rope_scaling_orig_ctx_len(length or self["max_position_embeddings"])
            if given is not None:
                # llama.cpp multiplies it by the paper's factor, which in transformers it replaces.
                writer.add_rope_scaling_attn_factors(given / (1 + 0.1 * math.log(max(factor, 1))))

    def _add_delta_net(self, writer: GGUFWriter) -> None:
        num_heads = self["linear_num_value_heads"]
        writer.add_ssm_conv_kernel(self["linear_conv_kernel_dim"])
        writer.add_ssm_state_size(self["linear_key_head_dim"])
        writer.add_ssm_group_count(self["linear_num_key_heads"])
        writer.add_ssm_time_step_rank(num_heads)
        writer.add_ssm_inner_size(num_heads * self["linear_value_head_dim"])
        recurrent = self.recurrent_layers
        writer.add_array(f"{writer.arch}.attention.recurrent_layers", recurrent)
        # For llama.cpp from before that array.
        writer.add_full_attention_interval([*recurrent, False].index(False) + 1)
        # Text has one position where images have a height and a width too, so the three take turns;
        # a pair that none of them covers would not turn. Heads of 256 give Qwen's [11, 11, 10, 0].
        pairs = self.rotated_dim // 2
        writer.add_rope_dimension_sections([(pairs + 2) // 3, (pairs + 1) // 3, pairs // 3, 0])


def read_shape(folder: Path) -> Shape:
    """The shape of the model in `folder`.

    Raises:
        ModelError: it is of another architecture, or of a kind that llama.cpp cannot run.
    """
    config = read_json(folder / "config.json")
    name = next(iter(config.get("architectures") or ()), None)
    if name not in _ARCHITECTURES:
        raise ModelError(
            "The model in {folder} has the architecture {name}, and only {supported} can be "
            "written as GGUF.",
            folder=folder,
            name=name,
            supported=", ".join(_ARCHITECTURES),
        )
    architecture = _ARCHITECTURES[name]
    shape = Shape(architecture=architecture, config=_completed(config, architecture))
    for what, supported in _requirements(shape):
        if not supported:
            raise ModelError(
                "llama.cpp cannot run the model in {folder} ({what}); run it with the engine "
                "'transformers' instead.",
                folder=folder,
                what=what,
            )
    return shape


def _completed(config: Config, architecture: MODEL_ARCH) -> Config:
    usual: Config = {
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    }
    given = usual | _DEFAULTS[architecture] | config
    rope = given.get("rope_parameters") or {}
    theta = rope.get("rope_theta") or given.get("rope_theta") or 10000.0
    return given | {"rope_theta": float(theta)}


def _requirements(shape: Shape) -> Iterator[tuple[str, bool]]:
    """What the model is like, and whether llama.cpp can run that, in the order to check."""
    config, architecture = shape.config, shape.architecture
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
        yield _("its config.json lacks {key}", key=key), isinstance(config.get(key), int)
    activation = config.get("hidden_act", "silu")
    yield _("its activation is {name!r}, not 'silu'", name=activation), activation == "silu"
    kinds = set(config.get("layer_types") or ()) - {"full_attention", "linear_attention"}
    windowed = bool(config.get("use_sliding_window") or kinds)
    yield _("its attention looks through a sliding window"), not windowed
    biased = architecture is not MODEL_ARCH.LLAMA and bool(config.get("attention_bias"))
    yield _("its attention has biases"), not biased
    if architecture is MODEL_ARCH.QWEN2:
        fits = shape.num_heads * shape.head_dim == shape["hidden_size"]
        yield _("its heads together are not as wide as the model"), fits
    if architecture is MODEL_ARCH.QWEN35:
        fits = shape["linear_key_head_dim"] == shape["linear_value_head_dim"]
        yield _("its recurrent keys and values differ in size"), fits
    else:
        yield _("it rotates only a part of each head"), shape.rotated_dim == shape.head_dim
    yield from _rope_requirements(shape)


def _rope_requirements(shape: Shape) -> Iterator[tuple[str, bool]]:
    kind, rope = shape.rope_type, shape.rope
    yield (
        _("its rotary embeddings are scaled by {name!r}", name=kind),
        kind in _SCALINGS[shape.architecture],
    )
    for key in _SCALING_KEYS.get(kind, ()):
        yield _("its rotary scaling lacks {key}", key=key), isinstance(rope.get(key), int | float)
    for key, only in _YARN.items() if kind == "yarn" else ():
        usual = rope.get(key) is None or rope[key] == only
        yield _("its rotary scaling has another {key} than {only}", key=key, only=only), usual
