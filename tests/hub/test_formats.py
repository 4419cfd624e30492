"""One format of several: which files it is, and that no other comes."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi

from avalan import extras, hub, testing
from avalan.cli import main
from avalan.cli.commands.model_run import looks_like_model
from avalan.errors import ConfigurationError, MissingExtra, ModelError
from avalan.hub import download
from avalan.hub.folder import find_onnx_decoder, folder_of
from avalan.hub.formats import (
    default_weights,
    find_format,
    gguf_weights,
    no_such_format,
    onnx_weights,
    split_format,
)
from avalan.hub.remote import RemoteFile
from avalan.model.entities import EngineSettings
from avalan.model.load import find_folder, find_tokenizer_folder, open_model
from avalan.model.profile import candidates
from avalan.testing import LocalHub

CAPFD = pytest.CaptureFixture[str]
GGUF, ONNX = "org/m-GGUF", "org/m-ONNX"
SPLIT = [f"BF16/m-BF16-0000{part}-of-00002.gguf" for part in (1, 2)]
GGUFS = ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-UD-Q2_K_XL.gguf", "mmproj-F16.gguf", *SPLIT]
ONNXES = ["onnx/model_q4f16.onnx", "onnx/model_q4.onnx", "onnx/model_quantized.onnx"]


def write(folder: Path, *paths: str) -> Path:
    """Files of which only their names matter; each has a content of its own."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def add_beside(folder: Path) -> Path:
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


def names(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def formats(*paths: str) -> list[str]:
    return [each.format for each in gguf_weights(paths)]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("org/m:Q8_0", ("org/m", "Q8_0")),
        ("org/m:onnx/model_q4f16.onnx", ("org/m", "onnx/model_q4f16.onnx")),
        ("./m:q4", ("./m", "q4")),
        ("org/m", ("org/m", None)),
        ("org/m:", ("org/m:", None)),
        (r"C:\m", (r"C:\m", None)),
        ("C:/m", ("C:/m", None)),
    ],
)
def test_a_format_stands_after_a_names_last_colon(name: str, parts: tuple[str, str | None]) -> None:
    assert split_format(name) == parts


def test_a_path_that_exists_asks_for_no_format(tmp_path: Path) -> None:
    write(tmp_path, "a:b/x")
    assert split_format(f"{tmp_path}/a:b") == (f"{tmp_path}/a:b", None)


def test_the_most_used_gguf_is_the_first_and_eyes_are_no_model() -> None:
    assert formats(*GGUFS) == ["Q4_K_M", "Q8_0", "BF16", "UD-Q2_K_XL"]
    assert formats("m.imatrix.gguf", "qwen2-0_5b-fp16.gguf", "m.q5_0.gguf") == ["Q5_0", "FP16"]
    assert formats("own.gguf", "Q4_0/m-00001-of-00001.gguf") == ["Q4_0", "own.gguf"]


def test_a_split_model_is_all_of_its_parts() -> None:
    assert gguf_weights(reversed(SPLIT))[0].files == tuple(SPLIT)
    assert gguf_weights(SPLIT[1:]) == []


def test_the_numbers_beside_a_graph_belong_to_it() -> None:
    graph = "onnx/model.onnx"
    paths = [f"{graph}_data", f"{graph}.data", f"{graph}_data_1", graph, "onnx/model_q4.onnx_data"]
    assert onnx_weights(paths)[0].files == (graph, *sorted(paths[:3]))


@pytest.mark.parametrize(
    ("wanted", "file"),
    [
        ("q8_0", "m-Q8_0.gguf"),
        ("M-q8_0.GGUF", "m-Q8_0.gguf"),
        ("bf16", SPLIT[0]),
        (SPLIT[1], SPLIT[0]),
        ("q2_k_xl", "m-UD-Q2_K_XL.gguf"),
        ("Q4F16", "onnx/model_q4f16.onnx"),
        ("q8", "onnx/model_quantized.onnx"),
        ("onnx/model_q4.onnx", "onnx/model_q4.onnx"),
        ("cpu/own.onnx", "cpu/own.onnx"),
        ("F16", None),
        ("mmproj-F16.gguf", None),
        ("Q4", "onnx/model_q4.onnx"),
        ("K_M", None),
    ],
)
def test_a_format_or_a_file_is_found_by_its_name(wanted: str, file: str | None) -> None:
    found = find_format([*GGUFS, *ONNXES, "cpu/own.onnx"], wanted)
    assert (found and found.files[0]) == file


def test_without_a_format_tensors_go_before_onnx_and_onnx_before_gguf() -> None:
    assert default_weights([*GGUFS, *ONNXES]) == ("onnx/model_quantized.onnx",)
    assert default_weights([*GGUFS, *ONNXES, "model.safetensors"]) == ("model.safetensors",)
    both = ("model.safetensors", "onnx/model.onnx")
    assert default_weights([*both, *GGUFS, *ONNXES]) == both
    assert default_weights(["unet/model.safetensors", "a/b.bin"]) == ()


def test_a_format_that_is_not_there_names_those_that_are() -> None:
    sentence = str(no_such_format("org/m", [*GGUFS, *ONNXES], "Q6_K"))
    assert sentence.endswith("one of: quantized, q4, q4f16, Q4_K_M, Q8_0, BF16, UD-Q2_K_XL.")
    assert "no GGUF or ONNX files" in str(no_such_format("org/m", ["x.safetensors"], "Q6_K"))


# --- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def ggufs(local_hub: LocalHub, client: HfApi, tmp_path: Path) -> LocalHub:
    local_hub.add(GGUF, write(tmp_path / "ggufs", *GGUFS, "README.md"))
    return local_hub


@pytest.fixture
def onnxes(local_hub: LocalHub, client: HfApi, tmp_path: Path) -> LocalHub:
    folder = write(tmp_path / "onnxes", *ONNXES, *(f"{path}_data" for path in ONNXES))
    local_hub.add(ONNX, add_beside(folder))
    return local_hub


def test_only_the_file_that_was_asked_for_comes(ggufs: LocalHub) -> None:
    path = hub.resolve(f"{GGUF}:q8_0")
    assert path.read_text() == "m-Q8_0.gguf"
    assert names(path.parent) == ["README.md", "m-Q8_0.gguf"]


def test_without_a_format_the_most_used_comes(ggufs: LocalHub) -> None:
    assert hub.resolve(GGUF).name == "m-Q4_K_M.gguf"


def test_all_parts_of_a_split_file_come(ggufs: LocalHub) -> None:
    path = hub.resolve(f"{GGUF}:BF16")
    assert names(folder_of(path)) == [Path(part).name for part in SPLIT]
    ggufs.stop()
    (path.parent / Path(SPLIT[1]).name).unlink()
    with pytest.raises(ModelError, match="is only partly on this machine"):
        hub.resolve(f"{GGUF}:BF16")


def test_another_format_comes_beside_and_what_is_here_needs_no_hub(ggufs: LocalHub) -> None:
    first = hub.resolve(f"{GGUF}:Q8_0")
    second = hub.resolve(f"{GGUF}:Q4_K_M")
    assert first.parent == second.parent
    assert first.is_file()
    num_requests = ggufs.num_requests()
    assert hub.resolve(f"{GGUF}:Q8_0") == first
    assert hub.resolve(GGUF) == second
    assert ggufs.num_requests() == num_requests
    ggufs.stop()
    with pytest.raises(ModelError, match=r"only what is on disk of 'org/m-GGUF' is there"):
        hub.resolve(f"{GGUF}:BF16")


def test_one_onnx_file_comes_with_its_numbers(onnxes: LocalHub) -> None:
    path = hub.resolve(f"{ONNX}:Q4")
    assert path.name == "model_q4.onnx"
    assert (folder_of(path) / "config.json").is_file()
    beside = ["config.json", "onnx/model_q4.onnx", "onnx/model_q4.onnx_data", "tokenizer.json"]
    assert names(folder_of(path)) == beside
    assert find_onnx_decoder(path) == path


def test_a_graph_is_there_only_once_its_numbers_are(
    onnxes: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.resolve(f"{ONNX}:q4f16")
    link = download._link

    def break_off(plan: download.Plan, file: RemoteFile) -> None:
        if file.path.endswith("_data"):
            raise KeyboardInterrupt
        link(plan, file)

    monkeypatch.setattr(download, "_link", break_off)
    with pytest.raises(KeyboardInterrupt):
        hub.resolve(f"{ONNX}:q4")
    monkeypatch.setattr(download, "_link", link)
    assert Path(f"{hub.resolve(f'{ONNX}:q4')}_data").is_file()


def test_without_a_format_the_most_exact_onnx_comes(onnxes: LocalHub) -> None:
    folder = hub.resolve(ONNX)
    assert find_onnx_decoder(folder) == folder / "onnx" / "model_quantized.onnx"
    assert len(names(folder)) == 4


def test_a_format_that_is_not_there_ends_it_before_anything_comes(
    ggufs: LocalHub, onnxes: LocalHub
) -> None:
    with pytest.raises(ModelError, match=r"nothing in the format 'Q6_K'; choose one of: q"):
        hub.resolve(f"{ONNX}:Q6_K")
    with pytest.raises(ModelError, match="one of: Q4_K_M, Q8_0, BF16, UD-Q2_K_XL"):
        hub.resolve(f"{GGUF}:Q6_K")
    assert not list(ggufs.cache_dir.rglob("*"))


def test_a_format_is_named_where_there_are_tensors_too(
    local_hub: LocalHub, client: HfApi, tmp_path: Path
) -> None:
    folder = write(tmp_path / "both", *GGUFS, *ONNXES, "model.safetensors", "onnx/model.onnx")
    local_hub.add("org/both", add_beside(folder))
    settings = EngineSettings(engine="transformers")
    assert hub.resolve("org/both:Q8_0").name == "m-Q8_0.gguf"
    # What lies there is a model, but none for this engine.
    whole = find_folder("org/both", settings)
    assert [path for path in names(whole) if "model" in path] == [
        "model.safetensors",
        "onnx/model.onnx",
    ]


def test_what_lacks_its_engine_does_not_come(
    ggufs: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    for name in ("avalan.model.gguf", "avalan.model.engine.llama", "avalan.model.engine.gguf"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingExtra, match=r"'llama_cpp', which is not installed.*\[gguf\]"):
        find_folder(GGUF, EngineSettings())
    assert not list(ggufs.cache_dir.rglob("*.gguf"))


def test_gguf_needs_no_torch(ggufs: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llama_cpp")
    monkeypatch.setattr(extras, "is_installed", lambda package: False)
    assert find_folder(f"ai://local/{GGUF}:Q8_0", EngineSettings()).name == "m-Q8_0.gguf"


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_of_several_files_is_asked_for_one(tmp_path: Path) -> None:
    folder = write(tmp_path, *GGUFS)
    settings = EngineSettings()
    assert find_folder(f"{folder}:q8_0", settings) == folder / "m-Q8_0.gguf"
    assert find_folder(f"ai://local/{folder}:m-Q8_0.gguf", settings) == folder / "m-Q8_0.gguf"
    assert find_folder(str(folder), settings) == folder / "m-Q4_K_M.gguf"
    with pytest.raises(ModelError, match="nothing in the format 'F64'"):
        find_folder(f"{folder}:F64", settings)


def test_an_onnx_file_is_its_folders_model_in_its_format(
    pico_onnx_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(pico_onnx_folder, folder)
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model_q4.onnx")
    write(folder, "onnx/model.onnx")
    for name in (f"{folder}:q4", f"{folder}/onnx/model_q4.onnx"):
        with open_model(name) as model:
            assert model.engine_name == "onnx"
            assert model.tokenizer.eos_ids == {1}
    with pytest.raises(ModelError, match="cannot open"):
        open_model(f"{folder}:fp32")
    assert candidates(f"{folder}:q4", EngineSettings()) == ["onnx"]


def test_a_file_for_another_engine_is_refused_before_it_comes(
    ggufs: LocalHub, pico_onnx_folder: Path
) -> None:
    settings = EngineSettings(engine="transformers")
    with pytest.raises(ConfigurationError, match=r"runs on the engine 'gguf' and not on 'tran"):
        find_folder(f"{GGUF}:Q8_0", settings)
    assert not list(ggufs.cache_dir.rglob("*.gguf"))
    with pytest.raises(ConfigurationError, match=r"runs on the engine 'onnx' and not on 'tran"):
        open_model(f"{pico_onnx_folder}:fp32", settings)


def test_a_name_with_a_format_is_told_from_a_prompt_and_has_a_tokenizer(
    pico_onnx_folder: Path,
) -> None:
    assert looks_like_model("org/m:Q8_0")
    assert not looks_like_model("Well:yes")
    assert find_tokenizer_folder(f"{pico_onnx_folder}:q4", EngineSettings()) == pico_onnx_folder


def test_a_file_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"There is no file 'none\.gguf'"):
        find_folder("none.gguf", EngineSettings())


# --- real files ----------------------------------------------------------------------------------


def test_numbers_beside_the_graph_are_read_from_the_cache(
    local_hub: LocalHub, client: HfApi, pico_onnx_folder: Path, tmp_path: Path
) -> None:
    """Where the files are links into another folder."""
    import onnx

    folder = tmp_path / "m"
    shutil.copytree(pico_onnx_folder, folder, ignore=shutil.ignore_patterns("model.onnx"))
    (folder / "onnx").mkdir()
    onnx.save(
        onnx.load(pico_onnx_folder / "model.onnx"),
        folder / "onnx" / "model_q4.onnx",
        save_as_external_data=True,
        location="model_q4.onnx_data",
        size_threshold=1024,
    )
    assert (folder / "onnx" / "model_q4.onnx_data").stat().st_size > 100_000
    local_hub.add(ONNX, folder)
    with open_model(f"{ONNX}:q4") as model, open_model(str(pico_onnx_folder)) as same:
        found, expected = (each.stepping for each in (model, same))
        logits = found.feed(found.start(), [5, 6])
        np.testing.assert_array_equal(logits, expected.feed(expected.start(), [5, 6]))


@pytest.fixture
def real(
    local_hub: LocalHub, client: HfApi, pico_gguf_file: Path, pico_folder: Path, tmp_path: Path
) -> LocalHub:
    """Two real files, no configuration beside them."""
    folder = tmp_path / "real"
    folder.mkdir()
    half = testing.pico_gguf(tmp_path, pico_folder, weight_type="f16")
    half.rename(folder / "m-F16.gguf")
    shutil.copy(pico_gguf_file, folder / "m-F32.gguf")
    local_hub.add(GGUF, folder)
    return local_hub


def test_the_commands_take_a_format(real: LocalHub, capfd: CAPFD) -> None:
    assert main(["model", "install", f"{GGUF}:f32"]) == 0
    told = capfd.readouterr()
    assert told.out.endswith(f"avalan model run {GGUF}:f32\n")
    assert "355 kB in 1 file" in told.err
    assert main(["cache", "download", "--model", f"{GGUF}:F16", "--json"]) == 0
    files = json.loads(capfd.readouterr().out)["files"]
    assert [file["name"] for file in files] == ["m-F16.gguf"]
    real.stop()
    run = ["model", "run", f"{GGUF}:F32", "Hi", "--quiet", "--max-new-tokens", "2"]
    assert main(run) == 0
    capfd.readouterr()

    assert main(["model", "uninstall", f"{GGUF}:F32", "--yes", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["freed_bytes"] == 354_848
    assert [path.name for path in real.cache_dir.rglob("*.gguf")] == ["m-F16.gguf"]
    assert main(["model", "uninstall", f"{GGUF}:F32", "--yes"]) == 1
    assert "choose one of: F16." in capfd.readouterr().err
    assert main(["cache", "list", "--json"]) == 0
    (held,) = json.loads(capfd.readouterr().out)
    assert [file["name"] for file in held["revisions"][0]["files"]] == ["m-F16.gguf"]
    assert main(["model", "uninstall", f"{GGUF}:F16", "--yes"]) == 0
    assert not list(real.cache_dir.glob("models--*"))


def test_a_description_is_of_the_one_file(real: LocalHub, capfd: CAPFD) -> None:
    show = ["model", "display", f"{GGUF}:F32", "--json"]
    assert main(show) == 0
    before = json.loads(capfd.readouterr().out)
    assert before["files"] == [{"name": "m-F32.gguf", "size_bytes": 354_848}]
    assert (before["is_downloaded"], before["dtypes"]) == (False, {"F32": 0})
    for name in (f"{GGUF}:F16", f"{GGUF}:F32"):
        hub.resolve(name)
    assert main(show) == 0
    after = json.loads(capfd.readouterr().out)
    assert after["files"] == before["files"]
    assert (after["architecture"], after["num_layers"]) == ("llama", 2)
    assert main(["model", "display", f"{GGUF}:F32", "--load", "--summary"]) == 0
    assert "with gguf on cpu" in capfd.readouterr().out
