"""A detector with random weights, to look at images with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avalan import extras

LABELS = ("circle", "square", "triangle")


def pico_detr(
    folder: Path, *, seed: int = 0, labels: Sequence[str] = LABELS, **config: Any
) -> Path:
    """Write a random DETR over a ResNet, with its image processor, into `folder`; returns `folder`.

    It sees something everywhere: what and where is random, but the same for the same image. Needs
    the extra `transformers`.

    Args:
        seed: of the weights.
        labels: what it can see.
        config: fields of `config.json` to change, such as `num_queries`.
    """
    torch = extras.load("torch", extra="transformers")
    transformers = extras.load("transformers", extra="transformers")
    resnet = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    shape: dict[str, Any] = {
        "backbone_config": resnet,
        "use_timm_backbone": False,
        "d_model": 16,
        "num_queries": 6,
        "id2label": dict(enumerate(labels)),
        **{f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in _SIZES},
        **config,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = transformers.DetrForObjectDetection(transformers.DetrConfig(**shape))
        _make_decided(torch, model)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    processor = {
        "image_processor_type": "DetrImageProcessor",
        "format": "coco_detection",
        "do_resize": True,
        "size": {"shortest_edge": 64, "longest_edge": 96},
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    return folder


def _make_decided(torch: Any, model: Any) -> None:
    """Larger weights, so that each query looks elsewhere, and is sure of what it sees."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            gain = 6.0 if name.endswith(("q_proj", "k_proj")) else 1.5
            torch.nn.init.normal_(module.weight, std=gain * module.in_features**-0.5)
    torch.nn.init.normal_(model.model.query_position_embeddings.weight)
    model.class_labels_classifier.bias[-1] = -8.0  # The last label is "nothing".


_SIZES = (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
