"""A bare `avalan`: the machine, what fits, what is on disk."""

import json
import os
import time
from pathlib import Path

import pytest

from avalan import state
from avalan.cli import disk, main
from avalan.cli.display.units import bytes_text, count_text, seconds_text
from avalan.cli.machine import linux_memory, mac_memory, parameters_that_fit, survey

MEMINFO = "MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    600 kB\n"


def write(path: Path, content: str | bytes = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_card_takes_less_than_a_second_and_says_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = time.perf_counter()
    assert main([]) == 0
    assert time.perf_counter() - start < 1
    out = capsys.readouterr().out
    for word in ("CPU", "Memory", "GPU", "Models on disk", "Indexes", "avalan ask", "model run"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_card_is_one_json_document_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert set(card) == {"version", "machine", "parameters_that_fit", "models", "indexes"}
    assert card["machine"]["num_cores"] >= 1


def test_what_fits_is_three_quarters_of_the_free_memory_over_the_bytes_of_a_weight() -> None:
    assert parameters_that_fit(8_000_000_000) == {"Q4_K_M": 1e10, "int8": 6e9, "bf16": 3e9}


def test_available_memory_is_read_from_linux(tmp_path: Path) -> None:
    assert linux_memory(MEMINFO, tmp_path) == (1000 * 1024, 600 * 1024)
    assert linux_memory("", tmp_path) == (None, None)


def test_a_containers_limit_counts_and_its_file_cache_does_not(tmp_path: Path) -> None:
    write(tmp_path / "memory.max", "512000\n")
    write(tmp_path / "memory.current", "500000\n")
    write(tmp_path / "memory.stat", "anon 5\ninactive_file 100000\n")
    assert linux_memory(MEMINFO, tmp_path) == (512000, 112000)
    write(tmp_path / "memory.max", "max\n")
    assert linux_memory(MEMINFO, tmp_path) == (1000 * 1024, 600 * 1024)


def test_available_memory_is_read_from_macos() -> None:
    vm_stat = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               100.\n"
        "Pages active:                             900.\n"
        "Pages inactive:                            50.\n"
    )
    assert mac_memory("17179869184\n", vm_stat) == (17179869184, 150 * 16384)


@pytest.fixture
def nvidia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tool = write(tmp_path / "bin" / "nvidia-smi")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    return tool


def test_a_graphics_card_is_described_by_its_own_tool(nvidia: Path) -> None:
    nvidia.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771, 143000'\n")
    (gpu,) = survey().gpus
    assert (gpu.name, gpu.memory_bytes) == ("NVIDIA H200", 143771 * 2**20)


@pytest.mark.parametrize("script", ["sleep 9", "exit 9", "echo 'No devices were found'"])
def test_a_tool_that_hangs_or_fails_delays_nothing(nvidia: Path, script: str) -> None:
    nvidia.write_text(
        f"#!/bin/sh\nexec {script}\n" if "sleep" in script else f"#!/bin/sh\n{script}\n"
    )
    start = time.perf_counter()
    assert survey().gpus == ()
    assert time.perf_counter() - start < 3


def test_models_in_the_hubs_cache_are_found_with_their_sizes(tmp_path: Path) -> None:
    whole = tmp_path / "models--owner--name"
    write(whole / "blobs" / "abc", b"12345")
    write(whole / "snapshots" / "rev" / "model.safetensors", b"12345")
    write(tmp_path / "models--owner--part" / "snapshots" / "rev" / "tokenizer.json", "{}")
    write(tmp_path / "models--owner--gone" / "refs" / "main")
    write(tmp_path / "datasets--owner--data" / "snapshots" / "rev" / "x.csv")

    (found,) = disk.hub_models(tmp_path)

    assert (found.name, found.where, found.size_bytes) == ("owner/name", "hub", 5)
    assert len([*disk.hub_models(tmp_path, parts=True)]) == 2


def test_the_hubs_cache_is_where_its_library_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk.hub_cache("x") == Path("x")
    monkeypatch.setenv("HF_HOME", "/a")
    assert disk.hub_cache() == Path("/a/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/b")
    assert disk.hub_cache() == Path("/b")
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert disk.hub_cache() == Path("/c/huggingface/hub")


def test_gguf_files_and_ollama_manifests_are_found(tmp_path: Path) -> None:
    write(tmp_path / "tiny.Q4_K_M.gguf", b"GGUF")
    write(tmp_path / "notes.txt")
    registry = tmp_path / "manifests" / "registry.example"
    write(registry / "library" / "small" / "1b", '{"layers": [{"size": 3}, {"size": 4}]}')
    write(registry / "someone" / "odd" / "latest", "not json")

    assert [model.name for model in disk.gguf_models(tmp_path)] == ["tiny.Q4_K_M.gguf"]
    ollama = [(model.name, model.size_bytes) for model in disk.ollama_models(tmp_path)]
    assert ollama == [("small:1b", 7), ("someone/odd:latest", 0)]


def test_folders_that_are_not_there_hold_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert not [*disk.hub_models(nowhere), *disk.gguf_models(nowhere)]
    assert not [*disk.ollama_models(nowhere), *disk.indexes(nowhere)]


def test_more_models_than_fit_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        write(tmp_path / f"model-{number:02}.gguf")
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "more, all in: avalan --json" in capsys.readouterr().out


def test_numbers_for_people_are_short() -> None:
    assert [bytes_text(n) for n in (0, 999, 1500, 4_920_000_000)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "4.9 GB",
    ]
    assert [count_text(n) for n in (7, 1000, 8.03e9, 3.1e10, 123e6)] == [
        "7",
        "1k",
        "8B",
        "31B",
        "123M",
    ]
    assert [seconds_text(s) for s in (0.034, 1.25, 200, 7_500)] == [
        "34 ms", "1.2 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip


def test_the_state_folder_is_not_made_by_looking() -> None:
    assert main([]) == 0
    assert not state.home().exists()
