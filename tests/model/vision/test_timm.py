"""Checkpoints with the names of timm."""

import asyncio
import json
import re
from pathlib import Path

import pytest
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from avalan import testing
from avalan.errors import ModelError
from avalan.model.vision.detection import ObjectDetectionModel
from avalan.model.vision.timm import renamed, without_timm

PLACE = "model.backbone.conv_encoder.model."


def new_name(name: str) -> str:
    for pattern, target in renamed().items():
        name = re.sub(pattern, target, name)
    return name


@pytest.mark.parametrize(
    ("timm", "ours"),
    [
        ("conv1.weight", "embedder.embedder.convolution.weight"),
        ("bn1.running_mean", "embedder.embedder.normalization.running_mean"),
        ("layer1.0.conv1.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"),
        ("layer4.2.bn3.bias", "encoder.stages.3.layers.2.layer.2.normalization.bias"),
        ("layer3.22.conv2.weight", "encoder.stages.2.layers.22.layer.1.convolution.weight"),
        (
            "layer2.0.downsample.0.weight",
            "encoder.stages.1.layers.0.shortcut.convolution.weight",
        ),
        (
            "layer2.0.downsample.1.running_var",
            "encoder.stages.1.layers.0.shortcut.normalization.running_var",
        ),
    ],
)
def test_names_of_timm_become_those_of_transformers(timm: str, ours: str) -> None:
    assert new_name(PLACE + timm) == PLACE + ours


@pytest.mark.parametrize(
    "name", ["model.query_position_embeddings.weight", "layer1.0.conv1.weight"]
)
def test_names_outside_the_backbone_stay(name: str) -> None:
    assert new_name(name) == name


@pytest.mark.parametrize(
    ("config", "depths"),
    [
        ({"backbone": "resnet50", "use_timm_backbone": True}, [3, 4, 6, 3]),
        ({"backbone": "resnet101"}, [3, 4, 23, 3]),
        ({"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18"}}, [2] * 4),
    ],
)
def test_backbone_becomes_the_resnet_that_timm_means(
    config: dict[str, object], depths: list[int]
) -> None:
    made = without_timm(transformers, {"model_type": "detr", "d_model": 16, **config})["config"]

    assert made.backbone_config.model_type == "resnet"
    assert list(made.backbone_config.depths) == depths
    assert made.d_model == 16


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "detr", "backbone_config": {"model_type": "resnet"}},
        {"model_type": "yolos"},
    ],
)
def test_other_models_are_left_alone(config: dict[str, object]) -> None:
    assert without_timm(transformers, config) == {}


@pytest.mark.parametrize("more", [{"backbone": "tf_efficientnet_b0"}, {"dilation": True}])
def test_backbone_that_only_timm_has_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"is one that only timm has, .*'no_timm'"):
        without_timm(transformers, {"model_type": "detr", "backbone": "resnet50", **more})


@pytest.fixture(scope="module")
def resnet18_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A DETR over a ResNet-18 as transformers writes it, and the same as the first ones are."""
    resnet = transformers.ResNetConfig(
        layer_type="basic",
        depths=[2, 2, 2, 2],
        hidden_sizes=[64, 128, 256, 512],
        out_features=["stage4"],
    )
    ours = testing.pico_detr(tmp_path_factory.mktemp("ours"), backbone_config=resnet)
    timms = tmp_path_factory.mktemp("timms")
    weights = load_file(ours / "model.safetensors")
    back = {new_name(PLACE + name): PLACE + name for name in timm_names()}
    found = {back.get(name, name): tensor for name, tensor in weights.items()}
    assert len(set(found) - set(weights)) == len(back)
    save_file(found, timms / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((ours / "config.json").read_text())
    del config["backbone_config"]
    config |= {"backbone": "resnet18", "use_timm_backbone": True}
    (timms / "config.json").write_text(json.dumps(config))
    processor = (ours / "preprocessor_config.json").read_text()
    (timms / "preprocessor_config.json").write_text(processor)
    return ours, timms


def timm_names() -> list[str]:
    """The weights of timm's ResNet-18, as `timm.create_model("resnet18")` lists them."""
    norm = ("weight", "bias", "running_mean", "running_var")

    def layer(place: str, convolution: str, batch_norm: str) -> list[str]:
        names = [f"{place}{convolution}.weight"]
        return names + [f"{place}{batch_norm}.{part}" for part in norm]

    names = layer("", "conv1", "bn1")
    for stage in range(1, 5):
        for block in range(2):
            place = f"layer{stage}.{block}."
            names += layer(place, "conv1", "bn1") + layer(place, "conv2", "bn2")
        if stage > 1:
            names += layer(f"layer{stage}.0.", "downsample.0", "downsample.1")
    return names


def test_timm_checkpoint_sees_what_the_same_weights_see(
    resnet18_folders: tuple[Path, Path], drawing: Image.Image
) -> None:
    seen = []
    for folder in resnet18_folders:
        with ObjectDetectionModel(str(folder)) as detect:
            seen.append(asyncio.run(detect(drawing)))

    assert seen[0]
    assert seen[0] == seen[1]
