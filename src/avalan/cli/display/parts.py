"""Which part of a model a tensor belongs to, told from its name."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from avalan.compress.llama import LlamaShape
from avalan.hub.headers import Tensor
from avalan.locale import _n

PARTS = (
    _n("embedding"),
    _n("attention"),
    _n("feed-forward"),
    _n("norms"),
    _n("output"),
    _n("other"),
)
"""In the order of a model's own work."""

# The first that fits: a norm inside attention is a norm, an expert's output is feed-forward.
_RULES = (
    ("norms", r"norm|(^|\.)ln_?\w*\."),
    ("output", r"(^|\.)(lm_head|embed_out|score|classifier|qa_outputs|cls)\."),
    ("embedding", r"embed|(^|\.)(wte|wpe|shared)\."),
    (
        "feed-forward",
        r"mlp|ffn|feed_?forward|experts|(^|\.)(fc1|fc2)\.|DenseReluDense|block_sparse",
    ),
    ("attention", r"attn|attention|SelfAttention|EncDecAttention|(^|\.)(mixer|conv1d)\."),
    ("feed-forward", r"(^|\.)layers?\.\d+\.(intermediate|output)\."),
)
_PATTERNS = [(part, re.compile(pattern, re.IGNORECASE)) for part, pattern in _RULES]


def part_of(name: str) -> str:
    """The part of the tensor called `name`."""
    return next((part for part, pattern in _PATTERNS if pattern.search(name)), "other")


def parts_of(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Part → number of parameters; parts that a model has not are left out."""
    return summed((name, tensor.num_parameters) for name, tensor in tensors.items())


def summed(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The same, from names of tensors and their numbers of parameters."""
    found: Counter[str] = Counter()
    for name, count in counts:
        found[part_of(name)] += count
    return {part: found[part] for part in PARTS if found[part]}


def llama_parts(shape: LlamaShape) -> dict[str, int]:
    """The same of a Llama, from its shape alone."""
    heads = shape.head_dim * (shape.num_heads + shape.num_kv_heads)
    embedding = shape.vocab_size * shape.hidden_size
    found = {
        "embedding": embedding,
        "attention": shape.num_layers * 2 * shape.hidden_size * heads,
        "feed-forward": shape.num_layers * 3 * shape.hidden_size * shape.intermediate_size,
        "norms": (2 * shape.num_layers + 1) * shape.hidden_size,
    }
    return found if shape.tied else found | {"output": embedding}
