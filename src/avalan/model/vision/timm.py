"""Checkpoints whose ResNet has the names of timm, read without timm.

The first DETR checkpoints, `facebook/detr-resnet-50` among them, name the weights of their backbone
as timm and torchvision do; transformers has the same network under names of its own. timm itself
would bring torchvision.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from avalan.errors import ModelError

# The kinds of model whose backbone gives its last stage alone.
_KINDS = ("detr", "conditional_detr", "table-transformer")
_RESNETS: dict[Any, dict[str, Any]] = {
    "resnet18": {"layer_type": "basic", "depths": (2, 2, 2, 2)},
    "resnet34": {"layer_type": "basic", "depths": (3, 4, 6, 3)},
    "resnet50": {"layer_type": "bottleneck", "depths": (3, 4, 6, 3)},
    "resnet101": {"layer_type": "bottleneck", "depths": (3, 4, 23, 3)},
}
_WIDTHS = {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
_BACKBONE_KEYS = {"model_type", "backbone", "backbone_config", "backbone_kwargs"} | {
    "use_timm_backbone",
    "use_pretrained_backbone",
}


def without_timm(transformers: ModuleType, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `from_pretrained` needs to load the model that `config` describes: nothing, unless its
    backbone is timm's.

    Raises:
        ModelError: its backbone is one that only timm has.
    """
    named = config.get("backbone_config") or {}
    is_timm = named.get("model_type") == "timm_backbone"
    if not named:
        named, is_timm = config, config.get("use_timm_backbone", True)
    if config.get("model_type") not in _KINDS or not is_timm:
        return {}
    name = named.get("backbone", "resnet50")
    if name not in _RESNETS or config.get("dilation"):
        raise ModelError(
            "The model's backbone, {name!r}, is one that only timm has, which avalan does not "
            "use; if the repository has a revision 'no_timm', give that.",
            name=name,
        )
    shape = _RESNETS[name]
    resnet = transformers.ResNetConfig(
        **shape, hidden_sizes=_WIDTHS[shape["layer_type"]], out_features=["stage4"]
    )
    rest = {key: value for key, value in config.items() if key not in _BACKBONE_KEYS}
    made = transformers.AutoConfig.for_model(config["model_type"], backbone_config=resnet, **rest)
    return {"config": made, "key_mapping": renamed()}


def renamed() -> dict[str, str]:
    """Patterns of timm's names → transformers' names of a ResNet's weights.

    timm has the stages `layer1` to `layer4`; each block of theirs has two or three convolutions,
    each with its batch norm, and a way around them.
    """
    before, place = r"conv_encoder\.model\.", "conv_encoder.model."
    names = {
        before + r"conv1\.": place + "embedder.embedder.convolution.",
        before + r"bn1\.": place + "embedder.embedder.normalization.",
    }
    for stage in range(4):
        block = before + rf"layer{stage + 1}\.(\d+)\."
        target = place + rf"encoder.stages.{stage}.layers.\1."
        names[block + r"downsample\.0\."] = target + "shortcut.convolution."
        names[block + r"downsample\.1\."] = target + "shortcut.normalization."
        for step in range(3):
            names[block + rf"conv{step + 1}\."] = target + f"layer.{step}.convolution."
            names[block + rf"bn{step + 1}\."] = target + f"layer.{step}.normalization."
    return names
