"""An adapter's files say whose it is, before any engine is started."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from avalan.errors import ModelError
from avalan.hub.headers import read_headers
from avalan.model.adapter import check_fits


def saved(
    folder: Path, layers: range, *, rank: int = 4, width: int | None = None, **settings: Any
) -> Path:
    """An adapter of the projections `v_proj`, as PEFT lays it out."""
    tensors = {}
    for layer in layers:
        name = f"base_model.model.model.layers.{layer}.self_attn.v_proj"
        tensors[f"{name}.lora_A.weight"] = np.zeros((rank, width or 64), np.float32)
        tensors[f"{name}.lora_B.weight"] = np.zeros((32, rank), np.float32)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = {"target_modules": ["v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(targets | settings))
    return folder


def test_an_adapter_of_the_model_fits_and_tells_its_rank(pico_folder: Path, tmp_path: Path) -> None:
    place = read_headers(pico_folder)["model.layers.0.self_attn.v_proj.weight"]
    assert place.shape == (32, 64)
    assert check_fits(saved(tmp_path / "a", range(2), rank=6), pico_folder) == 6


def test_one_that_was_put_on_some_layers_fits(pico_folder: Path, tmp_path: Path) -> None:
    assert check_fits(saved(tmp_path / "a", range(1), layers_to_transform=[0]), pico_folder) == 4


@pytest.mark.parametrize(
    ("layers", "width", "reason"),
    [
        (range(2), 128, "its matrices have other shapes"),
        (range(1), None, "2 tensors, but 4 places"),
        (range(5), None, "10 tensors, but 4 places"),
        (range(7, 9), None, "4 tensors, but 0 places"),
    ],
    ids=["wider", "shallower", "deeper", "elsewhere"],
)
def test_one_of_another_model_is_refused(
    pico_folder: Path, tmp_path: Path, layers: range, width: int | None, reason: str
) -> None:
    adapter = saved(tmp_path / "a", layers, width=width, exclude_modules=layers.start or None)
    with pytest.raises(ModelError, match=rf"does not fit the model \({reason}\)"):
        check_fits(adapter, pico_folder)


def test_a_folder_without_one_is_a_sentence(pico_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no adapter in"):
        check_fits(tmp_path, pico_folder)
