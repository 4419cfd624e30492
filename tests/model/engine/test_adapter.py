"""LoRA adapters: what they add is there, and one of another model is refused."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from avalan import testing
from avalan.errors import ModelError
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings

IDS = [7, 300, 12, 45]


@pytest.fixture(scope="module")
def adapted(pico_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with a random adapter of the pico Llama, and the model with it, by PEFT alone."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    base = transformers.AutoModelForCausalLM.from_pretrained(pico_folder)
    shape = peft.LoraConfig(
        r=4, target_modules=["v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # PEFT uses a name that transformers is giving up.
        warnings.simplefilter("ignore", FutureWarning)
        model = peft.get_peft_model(base, shape)
    model.save_pretrained(folder)
    return folder, model


def logits(folder: Path, adapter: Path | None = None) -> Any:
    settings = EngineSettings(adapter=None if adapter is None else str(adapter))
    engine = load_engine("transformers", folder, settings)
    assert isinstance(engine, SteppingEngine)
    return engine.feed(engine.start(), IDS, every=True)


def test_the_model_with_an_adapter_is_that_of_peft(
    pico_folder: Path, adapted: tuple[Path, Any]
) -> None:
    folder, theirs = adapted
    with torch.inference_mode():
        expected = theirs(torch.tensor([IDS])).logits[0].numpy()
    np.testing.assert_allclose(logits(pico_folder, folder), expected, atol=1e-4)
    assert np.abs(logits(pico_folder) - expected).max() > 0.1


@pytest.mark.parametrize(
    "shape", [{"hidden_size": 128}, {"num_hidden_layers": 1}, {"num_hidden_layers": 4}], ids=str
)
def test_an_adapter_of_another_model_is_refused(
    tmp_path: Path, adapted: tuple[Path, Any], shape: dict[str, int]
) -> None:
    other = testing.pico_llama(tmp_path / "other", **shape)
    with pytest.raises(ModelError, match="does not fit the model"):
        logits(other, adapted[0])


def test_a_folder_without_an_adapter_is_a_sentence(pico_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no adapter in"):
        logits(pico_folder, tmp_path)


def test_a_broken_configuration_is_a_sentence(
    pico_folder: Path, adapted: tuple[Path, Any], tmp_path: Path
) -> None:
    for file in adapted[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "NOPE"}))
    with pytest.raises(ModelError, match="does not fit the model"):
        logits(pico_folder, tmp_path)


def test_onnx_refuses_an_adapter(pico_onnx_folder: Path) -> None:
    with pytest.raises(ModelError, match="takes no adapter"):
        load_engine("onnx", pico_onnx_folder, EngineSettings(adapter="x"))


def test_the_same_adapter_as_gguf_gives_the_same_logits(
    pico_folder: Path, pico_gguf_file: Path, adapted: tuple[Path, Any], tmp_path: Path
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)  # PEFT's default
    for name, tensor in load_file(adapted[0] / "adapter_model.safetensors").items():
        layer, part = re.findall(r"layers\.(\d+).*lora_([AB])", name)[0]
        writer.add_tensor(f"blk.{layer}.attn_v.weight.lora_{part.lower()}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    settings = EngineSettings(adapter=str(tmp_path / "a.gguf"))
    engine = load_engine("gguf", pico_gguf_file, settings)
    assert isinstance(engine, SteppingEngine)
    found = engine.feed(engine.start(), IDS, every=True)
    np.testing.assert_allclose(found, logits(pico_folder, adapted[0]), atol=5e-2)


def test_a_gguf_engine_says_why_an_adapter_does_not_fit(
    pico_gguf_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"no adapter")
    with pytest.raises(ModelError, match="does not fit the model"):
        load_engine("gguf", pico_gguf_file, EngineSettings(adapter=str(tmp_path / "a.gguf")))
