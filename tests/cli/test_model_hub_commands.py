"""`avalan model search`, `install`, `uninstall` and `display`, with a hub."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from avalan.cli import main
from avalan.cli.display.description import part_of
from avalan.hub import cache
from avalan.testing import LocalHub

CAPFD = pytest.CaptureFixture[str]
NAME = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"
SCRIPT = str(Path(sys.executable).with_name("avalan"))
CARD = "---\nlicense: mit\n---\n# A model\n\nIt knows nothing.\n"


@pytest.fixture
def model(tmp_path: Path, pico_folder: Path) -> Path:
    """The files of a small model, to change."""
    folder = tmp_path / "model"
    shutil.copytree(pico_folder, folder)
    (folder / "README.md").write_text(CARD)
    return folder


# --- search and login ----------------------------------------------------------------------------


@pytest.fixture
def stocked(hub: LocalHub, model: Path) -> LocalHub:
    hub.add("deepseek-ai/DeepSeek-R1", model, downloads=5_900_000, likes=12_000, licence="mit")
    hub.add(NAME, model, downloads=900_000, gated=True)
    hub.add("org/deepseek-r1-keras", model, downloads=10, library_name="keras")
    return hub


def test_the_seeds_search_finds_two(
    stocked: LocalHub, monkeypatch: pytest.MonkeyPatch, capfd: CAPFD
) -> None:
    monkeypatch.setenv("HF_ACCESS_TOKEN", stocked.token)
    words = [
        "model",
        "search",
        "deepseek r1",
        "--login",
        "--filter",
        "transformers",
        "--limit",
        "2",
    ]

    assert main(words) == 0

    out, err = capfd.readouterr()
    assert err == f"Logged in to {stocked.url} as owner (token 'owner').\n"
    head, first, second, remark = out.splitlines()
    assert head.split()[:4] == ["model", "parameters", "downloads", "likes"]
    assert first.split() == [
        *("deepseek-ai/DeepSeek-R1", "86.3k", "5.9M", "12k", "text-generation", "mit"),
        "2025-01-01",
    ]
    assert second.startswith(f"{NAME}*")
    assert remark.startswith("* gated")


def test_words_may_be_given_apart(stocked: LocalHub, capfd: CAPFD) -> None:
    assert main(["model", "search", "keras", "r1", "--quiet"]) == 0
    assert capfd.readouterr().out == "org/deepseek-r1-keras\n"


def test_a_search_as_json_is_a_list(stocked: LocalHub, capfd: CAPFD) -> None:
    assert main(["model", "search", "r1", "--json", "--limit", "1"]) == 0
    assert json.loads(capfd.readouterr().out) == [
        {
            "name": "deepseek-ai/DeepSeek-R1",
            "num_parameters": 86_336,
            "task": "text-generation",
            "library": "transformers",
            "licence": "mit",
            "gated": False,
            "downloads": 5_900_000,
            "likes": 12_000,
            "modified": "2025-01-01T00:00:00+00:00",
        }
    ]


def test_nothing_found_is_no_error(stocked: LocalHub, capfd: CAPFD) -> None:
    assert main(["model", "search", "no such model"]) == 0
    assert capfd.readouterr().out.startswith("The hub has no model that fits")
    assert main(["model", "search", "no such model", "--json"]) == 0
    assert capfd.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("words", "token", "code", "sentence"),
    [
        (["--limit", "0"], None, 2, "--limit is 0, but it must be at least 1."),
        (["--limit", "x"], None, 2, "'x' is not a whole number"),
        (["--login"], None, 1, "--login needs an access token and there is none; make one on "),
        (["--login"], "hf_wrong", 1, "The hub refused the access token"),
        ([], "hf_wrong", 1, "The hub refused the access token"),
    ],
)
def test_a_search_that_cannot_be_is_one_sentence(
    stocked: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    capfd: CAPFD,
    words: list[str],
    token: str | None,
    code: int,
    sentence: str,
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["model", "search", "r1", *words]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


# --- install -------------------------------------------------------------------------------------


def test_what_was_installed_can_be_run(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    assert main(["model", "install", NAME]) == 0
    assert capfd.readouterr().out == (
        f"Installed {NAME} (362 kB). Run it with:\n  avalan model run {NAME}\n"
    )
    hub.stop()
    assert main(["model", "run", NAME, "Hello", "--quiet", "--max-new-tokens", "2"]) == 0


def test_installing_twice_says_so(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    assert main(["model", "install", NAME, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["downloaded_bytes"] > 360_000
    assert main(["model", "install", NAME]) == 0
    assert capfd.readouterr().out.startswith(f"Already installed: {NAME} (362 kB).")


def test_pickled_weights_are_refused_before_anything_is_fetched(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    hub.add(NAME, model)
    assert main(["model", "install", NAME]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "has only pickled weights (pytorch_model.bin)" in err
    assert cache.scan(hub.cache_dir).models == ()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, "kind BertModel, which is not"),
        ({"model_type": "clip", "architectures": ["CLIPModel"]}, "not one that writes text"),
        ({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}, "kind Llava"),
        (
            {"model_type": "whisper", "architectures": ["WhisperForX"], "is_encoder_decoder": True},
            "not one that turns a text into another",
        ),
        ({"model_type": "own", "auto_map": {"AutoModelForCausalLM": "a.B"}}, "needs Python code"),
        (None, "has no config.json"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_weights_come(
    hub: LocalHub, model: Path, capfd: CAPFD, config: dict[str, object] | None, said: str
) -> None:
    (model / "config.json").unlink()
    if config:
        (model / "config.json").write_text(json.dumps(config))
    hub.add(NAME, model)
    assert main(["model", "install", NAME]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert hub.num_requests("model.safetensors") == 0


def test_a_kind_without_text_is_refused_though_its_weights_are_onnx(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"")
    config = {"model_type": "bert", "architectures": ["BertModel"]}
    (model / "config.json").write_text(json.dumps(config))
    hub.add(NAME, model)
    assert main(["model", "install", NAME]) == 1
    assert "BertModel, which is not one that writes text" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("config", "cls"),
    [
        ({"model_type": "detr", "architectures": ["DetrForObjectDetection"]}, "ObjectDetection"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "SequenceToSequence"),
    ],
)
def test_what_runs_from_python_alone_says_so(
    hub: LocalHub, model: Path, capfd: CAPFD, config: dict[str, object], cls: str
) -> None:
    (model / "config.json").write_text(json.dumps(config))
    hub.add(NAME, model)
    assert main(["model", "install", NAME]) == 0
    out = capfd.readouterr().out
    assert f"import {cls}Model\n" in out
    assert "avalan model run" not in out


def test_no_speed_is_estimated_for_what_writes_no_text(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    config = json.loads((model / "config.json").read_text()) | {"architectures": ["BertModel"]}
    (model / "config.json").write_text(json.dumps(config))
    hub.add(NAME, model)
    assert main(["cache", "download", "--model", NAME]) == 0
    assert "tokens/s" not in capfd.readouterr().err


@pytest.mark.parametrize("verb", ["install", "uninstall"])
@pytest.mark.parametrize("name", ["bundled", "./folder"])
def test_what_the_hub_did_not_bring_is_neither_installed_nor_deleted(
    hub: LocalHub, capfd: CAPFD, verb: str, name: str
) -> None:
    assert main(["model", verb, name]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert repr(name) in err


# --- display -------------------------------------------------------------------------------------


def facts(out: str) -> dict[str, str]:
    rows = (line.strip().split("  ", 1) for line in out.splitlines() if line[:2] == "  ")
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def test_a_model_on_the_hub_is_described_without_its_weights(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    hub.add(NAME, model)
    assert main(["model", "display", NAME]) == 0
    out = capfd.readouterr().out
    assert out.startswith("# A model\n\nIt knows nothing.\n")
    found = facts(out)
    assert found["Parameters"] == "86.3k"
    assert found["embedding"] == "24.6k (28%)"
    assert found["feed-forward"] == "36.9k (43%)"
    assert found["norms"] == "320 (<1%)"
    assert found["Number format"] == "fp32"
    assert found["Vocabulary"] == "384 tokens"
    assert found["Attention"] == "grouped-query"
    assert found["Chat template"] == "177 characters"
    assert (found["bos"], found["Licence"]) == ("<s>", "apache-2.0")
    assert "Files on the hub, not downloaded" in out
    assert hub.num_bytes("model.safetensors") < 2 * 100_001 < 347_000


def test_the_summary_is_a_few_lines(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    assert main(["model", "display", NAME, "--summary"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[-1].split(maxsplit=1) == ["Size", "362 kB, not downloaded"]
    assert main(["model", "install", NAME, "--quiet"]) == 0
    capfd.readouterr()
    assert main(["model", "display", NAME, "--summary"]) == 0
    assert capfd.readouterr().out.splitlines()[-1].split(maxsplit=1)[1] == "362 kB, on disk"


def test_loading_counts_the_parameters_that_the_header_promised(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    hub.add(NAME, model)
    assert main(["model", "display", "--load", NAME, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    loaded = found["loaded"]
    assert loaded["num_parameters"] == found["num_parameters"] == 86_336
    assert loaded["parameters"] == found["parameters"]
    assert loaded["memory_bytes"] >= 4 * 86_336
    assert (loaded["vocab_size"], loaded["modules"]["Linear"]) == (384, 15)
    assert found["is_downloaded"]
    assert found["chat_template"].startswith("{{ bos_token }}")


def test_an_onnx_model_is_loaded_too(pico_onnx_folder: Path, capfd: CAPFD) -> None:
    assert main(["model", "display", "--load", "--summary", str(pico_onnx_folder)]) == 0
    found = facts(capfd.readouterr().out)
    assert "with onnx on cpu" in found["Loaded"]
    assert found["Logits"] == "384 wide"


def test_layers_of_two_kinds_are_told_apart(pico_qwen_folder: Path, capfd: CAPFD) -> None:
    assert main(["model", "display", str(pico_qwen_folder)]) == 0
    found = facts(capfd.readouterr().out)
    assert found["Layers"] == "4: 3 linear attention (recurrent), 1 full attention"


def test_what_was_looked_at_is_there_without_a_network(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    hub.add(NAME, model)
    assert main(["model", "display", NAME]) == 0
    hub.stop()
    capfd.readouterr()
    assert main(["model", "display", NAME, "--summary"]) == 0
    found = facts(capfd.readouterr().out)
    assert found["Architecture"] == "LlamaForCausalLM"
    assert found["Size"].endswith("on disk, without the weights")
    assert main(["model", "display", NAME]) == 0
    assert ", without the weights\n" in capfd.readouterr().out


def test_a_model_that_was_only_looked_at_is_not_taken_for_a_whole_one(
    hub: LocalHub, model: Path, capfd: CAPFD
) -> None:
    hub.add(NAME, model)
    assert main(["model", "display", NAME]) == 0
    hub.stop()
    assert main(["model", "run", NAME, "Hello", "--quiet"]) == 1
    assert "is not on this machine and cannot be downloaded" in capfd.readouterr().err
    assert cache.scan(hub.cache_dir).models == ()
    assert not list(hub.cache_dir.glob("models--*"))


def test_files_without_weights_are_listed_as_such(hub: LocalHub, model: Path, capfd: CAPFD) -> None:
    hub.add(NAME, model)
    assert main(["tokenizer", "--tokenizer", NAME, "hi", "--quiet"]) == 0
    capfd.readouterr()
    assert main(["cache", "list"]) == 0
    assert capfd.readouterr().out.splitlines()[1].endswith("no weights")


@pytest.mark.parametrize(
    ("config", "what", "said"),
    [
        ({"num_key_value_heads": 4}, "Attention", "multi-head"),
        ({"num_key_value_heads": 1}, "Attention", "multi-query"),
        ({"kv_lora_rank": 8}, "Attention", "multi-head latent"),
        ({"sliding_window": 64}, "Attention", "grouped-query, over 64 tokens"),
        ({"sliding_window": 64, "use_sliding_window": False}, "Attention", "grouped-query"),
        ({"layer_types": ["full_attention"] * 2}, "Layers", "2, all full attention"),
        ({"text_config": {"hidden_size": 7}}, "Hidden size", "7"),
    ],
)
def test_a_configuration_is_read_as_its_model_reads_it(
    model: Path, capfd: CAPFD, config: dict[str, object], what: str, said: str
) -> None:
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    assert main(["model", "display", str(model)]) == 0
    assert facts(capfd.readouterr().out)[what] == said


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.embed_tokens.weight", "embedding"),
        ("transformer.wte.weight", "embedding"),
        ("model.layers.0.self_attn.q_proj.weight", "attention"),
        ("model.layers.0.self_attn.q_norm.weight", "norms"),
        ("model.layers.0.linear_attn.conv1d.weight", "attention"),
        ("model.layers.0.mlp.experts.3.up_proj.weight", "feed-forward"),
        ("bert.encoder.layer.0.attention.output.dense.weight", "attention"),
        ("bert.encoder.layer.0.intermediate.dense.weight", "feed-forward"),
        ("bert.encoder.layer.0.output.dense.weight", "feed-forward"),
        ("bert.encoder.layer.0.output.LayerNorm.weight", "norms"),
        ("transformer.h.0.ln_1.weight", "norms"),
        ("lm_head.weight", "output"),
        ("vision_tower.patch.weight", "other"),
    ],
)
def test_a_tensors_name_tells_its_part(name: str, part: str) -> None:
    assert part_of(name) == part


# --- the installed script ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["offline", "dead"])
@pytest.mark.parametrize(
    "words",
    [
        ["model", "install", NAME],
        ["model", "display", NAME],
        ["cache", "download", "--model", NAME],
    ],
)
def test_without_a_network_each_command_is_one_sentence(
    local_hub: LocalHub, how: str, words: list[str]
) -> None:
    broken = {"offline": {"HF_HUB_OFFLINE": "1"}, "dead": {"HF_ENDPOINT": "http://127.0.0.1:9"}}
    environment = local_hub.environment() | broken[how]
    done = subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "or use what is on disk: 'bundled'." in done.stderr


def test_a_search_without_a_network_points_to_what_is_here(
    hub: LocalHub, capfd: CAPFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["model", "search", "r1"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "The hub cannot be reached (HF_HUB_OFFLINE is set); unset HF_HUB_OFFLINE, or see which "
        "models are on this machine: avalan cache list\n"
    )


@pytest.mark.parametrize("verb", ["install", "run"])
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HF_ENDPOINT", "", "no address; unset it"),
        ("HF_ENDPOINT", "localhost:9002", "no address; unset it"),
        ("HF_ENDPOINT", "http://[::1", "no address; unset it"),
        ("HF_ENDPOINT", "http://127.0.0.1:99999", "no address; unset it"),
        ("HF_HUB_ETAG_TIMEOUT", "-1", "no number of whole seconds; unset it"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "2.5", "no number of whole seconds; unset it"),
    ],
)
def test_a_value_of_the_environment_that_no_client_can_use_is_named(
    local_hub: LocalHub, verb: str, name: str, value: str, problem: str
) -> None:
    environment = local_hub.environment() | {name: value}
    words = [SCRIPT, "model", verb, NAME, *(["hi"] if verb == "run" else [])]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{name} is {value!r}, which is {problem}" in done.stderr


@pytest.mark.parametrize("token", ["hf_sec\nret", "hf_secr\u00e9t"])
def test_a_token_that_no_header_carries_is_refused_and_not_shown(
    local_hub: LocalHub, token: str
) -> None:
    environment = local_hub.environment() | {"HF_ACCESS_TOKEN": token}
    words = [SCRIPT, "model", "install", NAME]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("The access token has characters that no token has; ")
    assert "sec" not in done.stderr


@pytest.mark.parametrize("words", [["cache", "download", "--model"], ["model", "install"]])
def test_what_is_complete_on_disk_is_said_to_be_without_a_hub(
    hub: LocalHub, model: Path, words: list[str], capfd: CAPFD
) -> None:
    hub.add(NAME, model)
    assert main([*words, NAME, "--json"]) == 0
    online = json.loads(capfd.readouterr().out)
    hub.stop()
    assert main([*words, NAME]) == 0
    out, err = capfd.readouterr()
    assert out.startswith(("Nothing is missing of", "Already installed:"))
    assert err == "The hub cannot be reached, so it may have a newer version.\n"
    assert main([*words, NAME, "--json", "--quiet"]) == 0
    given = json.loads(capfd.readouterr().out)
    there = ("model", "revision", "commit", "folder", "size_bytes", "files")
    assert {key: given[key] for key in there} == {key: online[key] for key in there}
    assert (given["downloaded_bytes"], given["preflight"]) == (0, None)


def test_a_token_is_asked_for_on_a_terminal_and_kept_nowhere(
    local_hub: LocalHub, model: Path, tmp_path: Path
) -> None:
    local_hub.add(NAME, model, gated=True)
    environment = local_hub.environment() | {"AVALAN_HOME": str(tmp_path / "home"), "COLUMNS": "99"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe(SCRIPT, [SCRIPT, "model", "install", NAME, "--login"], environment)
    seen, has_typed = b"", False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
            if not has_typed and b"(not shown): " in seen:
                has_typed = True
                os.write(terminal, local_hub.token.encode() + b"\n")
    else:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    said = seen.decode()
    assert "as owner (token 'owner')" in said
    assert f"Installed {NAME}" in said
    assert local_hub.token not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    written += [path for path in local_hub.cache_dir.parent.rglob("*") if path.is_file()]
    assert not [path for path in written if local_hub.token.encode() in path.read_bytes()]
