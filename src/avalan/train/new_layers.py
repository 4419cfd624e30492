"""More layers for a model that exists: copies of its own, which change nothing at first.

Wu et al., 2024, "LLaMA Pro", arXiv:2401.02415: what a copy adds to the residual stream, its
attention's and its feed-forward's output, begins at zero; all else of it is its elder's.
"""

import copy
from typing import Any

from torch import nn

from avalan.errors import ConfigurationError
from avalan.train.tuning_plan import elders

ENDS = ("self_attn.o_proj", "mlp.down_proj")
"""The matrices through which a layer adds to the residual stream."""


def expand(model: Any, num_layers: int) -> None:
    """Give `model` as many layers as `num_layers`; it computes what it did.

    Raises:
        ConfigurationError: it has more already, or its layers are of another kind.
    """
    old = list(getattr(getattr(model, "model", None), "layers", ())) or [model]
    if num_layers < len(old):
        raise ConfigurationError(
            "The base has {old} layers, so base.layers = {new} would take some away; give a number "
            "from {old} on.",
            old=len(old),
            new=num_layers,
        )
    for layer in old:
        _ends(layer)
    found = []
    for place, (number, is_copy) in enumerate(elders(len(old), num_layers)):
        layer = copy.deepcopy(old[number]) if is_copy else old[number]
        for matrix in _ends(layer) if is_copy else ():
            nn.init.zeros_(matrix.weight)
            if matrix.bias is not None:
                nn.init.zeros_(matrix.bias)
        layer.self_attn.layer_idx = place
        found.append(layer)
    model.model.layers = nn.ModuleList(found)
    config = model.config
    if getattr(config, "layer_types", None):
        kinds = config.layer_types
        config.layer_types = [kinds[number] for number, _copy in elders(len(old), num_layers)]
    config.num_hidden_layers = num_layers


def _ends(layer: nn.Module) -> list[Any]:
    try:
        return [layer.get_submodule(name) for name in ENDS]
    except AttributeError:
        raise ConfigurationError(
            "The base has layers without {names}, so nobody knows how to add one that changes "
            "nothing; leave base.layers at 0.",
            names=", ".join(ENDS),
        ) from None
