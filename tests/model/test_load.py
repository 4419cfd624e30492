"""From a name to a model that runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from avalan import extras, hub, testing
from avalan.errors import ConfigurationError, MissingExtra, ModelError
from avalan.model.engine import SteppingEngine
from avalan.model.entities import EngineSettings
from avalan.model.load import choose_engine, find_folder, open_model


def test_model_has_its_engine_tokenizer_and_config(pico_onnx_folder: Path) -> None:
    with open_model(str(pico_onnx_folder)) as model:
        assert model.stepping.vocab_size == model.config["vocab_size"] == 384
        assert model.tokenizer.eos_ids == {1}
        assert model.folder == pico_onnx_folder


def test_auto_takes_onnx_where_there_is_a_decoder_that_does_what_was_asked(
    pico_folder: Path, pico_onnx_folder: Path, tmp_path: Path
) -> None:
    assert choose_engine(pico_onnx_folder, EngineSettings()) == "onnx"
    assert choose_engine(pico_folder, EngineSettings()) == "transformers"
    assert choose_engine(pico_onnx_folder, EngineSettings(engine="gguf")) == "gguf"
    for name in ("model.onnx", "model.safetensors"):
        (tmp_path / name).touch()
    assert choose_engine(tmp_path, EngineSettings()) == "onnx"
    for more in ({"weight_type": "bf16"}, {"attention": "eager"}, {"tokens": ("x",)}):
        settings = EngineSettings(**more)  # type: ignore[arg-type]
        assert choose_engine(tmp_path, settings) == "transformers"
        assert choose_engine(pico_onnx_folder, settings) == "onnx"  # Which says what it cannot do.


def test_uri_of_a_local_model_is_its_name(pico_onnx_folder: Path) -> None:
    assert find_folder(f"ai://local/{pico_onnx_folder}", EngineSettings()) == pico_onnx_folder


def test_a_served_model_has_no_files_here() -> None:
    with pytest.raises(ConfigurationError, match=r"'ai://openai/gpt-x' is served elsewhere"):
        find_folder("ai://sk-123@openai/gpt-x", EngineSettings())


@pytest.mark.parametrize("name", ["rules", "reader"])
def test_reserved_names_generate_no_text(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}' is not a language model"):
        open_model(name)


def test_weights_that_are_missing_are_never_made_up(pico_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(pico_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 of the weights .* model\.layers\.1\.mlp\.down"):
        open_model(str(folder))


def test_a_model_that_rewrites_texts_continues_none(pico_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(pico_folder, folder)
    config = json.loads((folder / "config.json").read_text()) | {"is_encoder_decoder": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"turns one text into another .*nlp\.sequence"):
        open_model(str(folder))


@pytest.mark.parametrize(
    ("engine", "files", "is_refused"),
    [
        ("auto", ["config.json", "model.safetensors"], True),
        ("auto", ["onnx/model.onnx", "model.safetensors"], False),
        ("transformers", ["onnx/model.onnx", "model.safetensors"], True),
        ("onnx", ["model.safetensors"], False),
    ],
)
def test_what_needs_torch_is_not_downloaded_without_it(
    engine: str, files: list[str], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine that was asked for says itself what it lacks, once the files are here."""
    monkeypatch.setattr(extras, "is_installed", lambda package: False)
    monkeypatch.setattr(hub, "resolve", lambda name, *, check, **_: check(files, dict))
    settings = EngineSettings(engine=engine)
    if is_refused:
        with pytest.raises(MissingExtra, match=r"'org/m' runs on torch, .* nothing was downloaded"):
            find_folder("org/m", settings)
    else:
        find_folder("org/m", settings)


def test_engine_that_gives_no_logits_is_named(pico_folder: Path) -> None:
    model = testing.scripted_model(pico_folder, testing.ScriptedGeneratingEngine([]))
    with pytest.raises(ConfigurationError, match="gives no logits"):
        _ = model.stepping
    assert not isinstance(model.engine, SteppingEngine)


def test_folder_whose_tokenizer_is_missing_is_a_sentence(
    pico_onnx_folder: Path, tmp_path: Path
) -> None:
    for name in ("model.onnx", "config.json"):
        (tmp_path / name).write_bytes((pico_onnx_folder / name).read_bytes())
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        open_model(str(tmp_path))


HEAVY = ("torch", "transformers", "huggingface_hub", "rich", "httpx", "onnx", "safetensors")
_SCRIPT = """
import asyncio, json, sys
from avalan.model.entities import GenerationSettings
from avalan.model.nlp.text import TextGenerationModel
light = [name for name in sys.argv[2].split(",") + ["onnxruntime", "jinja2"] if name in sys.modules]
async def main():
    with TextGenerationModel(sys.argv[1]) as lm:
        settings = GenerationSettings(max_new_tokens=4)
        return len([token async for token in await lm("Hi", settings=settings)])
count = asyncio.run(main())
heavy = [name for name in sys.argv[2].split(",") if name in sys.modules]
print(json.dumps([light, count, heavy]))
"""


def test_text_from_an_onnx_model_needs_no_torch(pico_onnx_folder: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(pico_onnx_folder), ",".join(HEAVY)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    after_import, num_tokens, after_generation = json.loads(run.stdout)

    assert after_import == []
    assert num_tokens == 4
    assert after_generation == []
    assert run.stderr == ""


def test_a_model_for_another_task_is_refused_before_its_weights_come(
    local_hub: testing.LocalHub, pico_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(pico_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["XForMaskedLM"]}))
    local_hub.add("x/bert", folder)
    environment = {**local_hub.environment(), "HF_HUB_OFFLINE": "0"}
    for name in ("x/bert", str(folder)):
        done = subprocess.run(
            [sys.executable, "-m", "avalan", "model", "run", name, "hi"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert "is of the kind XForMaskedLM, which is not one that writes text" in done.stderr
    assert not list(Path(local_hub.cache_dir).rglob("*.safetensors"))
