"""vLLM as an engine: the real one where AVALAN_VLLM names it, and what is said where it is not."""

import asyncio
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from avalan import testing
from avalan.errors import ConfigurationError, ModelError, TruncatedAnswer
from avalan.model.engine import GeneratingEngine, load_engine
from avalan.model.entities import EngineSettings, GenerationSettings, Token
from avalan.model.nlp.text import TextGenerationModel

pytest.importorskip("openai", reason="served models need the package openai")

needs_vllm = pytest.mark.skipif(
    "AVALAN_VLLM" not in os.environ, reason="AVALAN_VLLM names no vLLM: see docs/vllm.md"
)
NANO = Path(__file__).parents[3] / "models" / "nano"
FP32 = EngineSettings(engine="vllm", weight_type="fp32", vllm_options=("enforce-eager",))


def test_no_vllm_says_how_to_name_one(pico_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVALAN_VLLM", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"There is no vLLM: .* docs/vllm\.md"):
        load_engine("vllm", pico_folder, EngineSettings())


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("/nowhere/python", "There is no '/nowhere/python'"),
        ("http://127.0.0.1:9", "Nobody answers at http://127.0.0.1:9/v1"),
    ],
)
def test_a_wrong_place_is_a_sentence(pico_folder: Path, place: str, complaint: str) -> None:
    with pytest.raises((ConfigurationError, ModelError), match=complaint):
        load_engine("vllm", pico_folder, EngineSettings(vllm=place))


def test_a_vllm_that_does_not_start_says_its_last_words(pico_folder: Path, tmp_path: Path) -> None:
    command = tmp_path / "vllm"
    command.write_text("#!/bin/sh\necho 'ValueError: no such device' >&2\nexit 3\n")
    command.chmod(0o755)
    with pytest.raises(ModelError, match=r"did not start \(ValueError: no such device\)"):
        load_engine("vllm", pico_folder, EngineSettings(vllm=str(command)))


@pytest.fixture
def listing(answers: Callable[..., int]) -> Callable[..., str]:
    """Starts a server that lists models as vLLM does; its address."""

    def serve(*rows: dict[str, Any]) -> str:
        port = answers(200, "application/json", json.dumps({"data": rows}).encode())
        return f"http://127.0.0.1:{port}"

    return serve


def row(name: str, root: str, parent: str | None = None) -> dict[str, Any]:
    return {"id": name, "root": root, "parent": parent, "max_model_len": 77}


@pytest.mark.parametrize("named", ["models/nano", "their/nano", "nano"])
def test_a_server_is_used_where_it_has_the_model(listing: Callable[..., str], named: str) -> None:
    address = listing(row("other", "other"), row(named, "/there/0123abc"))
    engine = load_engine("vllm", NANO, EngineSettings(vllm=address))
    assert isinstance(engine, GeneratingEngine)
    engine.close()


def test_a_model_of_the_hub_is_known_by_its_name(
    listing: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "0123abc"
    address = listing(row("chat", "Qwen/Qwen3-0.6B"))
    load_engine("vllm", folder, EngineSettings(vllm=address)).close()
    address = listing(row("chat", "Qwen/Qwen3-1.7B"))
    with pytest.raises(ModelError, match=r"serves 'chat' and not 'Qwen3-0.6B'"):
        load_engine("vllm", folder, EngineSettings(vllm=address))


@pytest.mark.parametrize(
    "reply",
    [
        (200, "text/html", b"<html>"),
        (404, "text/html", b"<html>"),
        (200, "application/json", b'{"data": []}'),
    ],
)
def test_what_is_no_vllm_is_said(
    answers: Callable[..., int], reply: tuple[int, str, bytes]
) -> None:
    address = f"http://127.0.0.1:{answers(*reply)}"
    with pytest.raises(ModelError, match=rf"The server at {address}/v1 is no vLLM; check its add"):
        load_engine("vllm", NANO, EngineSettings(vllm=address))


def test_a_server_of_another_model_is_refused(listing: Callable[..., str]) -> None:
    rows = [row("their/large", "/there/large"), row("adapted", "/there/nano", "their/large")]
    with pytest.raises(
        ModelError,
        match=r"serves 'their/large', 'adapted' and not 'nano'; .*--served-model-name nano",
    ):
        load_engine("vllm", NANO, EngineSettings(vllm=listing(*rows)))


def test_an_adapter_of_another_model_is_refused_before_anything_is_started(
    pico_folder: Path, adapter: Path
) -> None:
    with pytest.raises(ModelError, match=r"does not fit the model \(its matrices have other"):
        load_engine("vllm", pico_folder, EngineSettings(vllm=sys.executable, adapter=str(adapter)))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LoRA of models/nano, of more ranks than vLLM has room for unasked; by PEFT."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32)
    shape = peft.LoraConfig(
        r=24, lora_alpha=96, target_modules=["q_proj", "v_proj"], init_lora_weights=False,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with warnings.catch_warnings():  # PEFT uses a name that transformers is giving up.
        warnings.simplefilter("ignore", FutureWarning)
        peft.get_peft_model(model, shape).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with heads of a size that vLLM has kernels for."""
    shape: dict[str, Any] = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4}
    return testing.pico_llama(tmp_path_factory.mktemp("heads-of-64"), head_dim=64, **shape)


@pytest.fixture(scope="module")
def lm(folder: Path) -> Iterator[TextGenerationModel]:
    with TextGenerationModel(str(folder), FP32) as lm:
        yield lm


def answer(lm: TextGenerationModel, **settings: Any) -> tuple[list[Token], Any]:
    async def ask() -> tuple[list[Token], Any]:
        stream = await lm("Who are you?", settings=GenerationSettings(**settings))
        return [token async for token in stream], stream.report

    return asyncio.run(ask())


@needs_vllm
@pytest.mark.slow
def test_an_adapter_gives_the_answer_of_the_merged_model(adapter: Path) -> None:
    settings = replace(FP32, adapter=str(adapter))
    merged = EngineSettings(engine="transformers", weight_type="fp32", adapter=str(adapter))
    asked = {"max_new_tokens": 24}
    with TextGenerationModel(str(NANO), settings) as lm:
        ours, _ = answer(lm, **asked)
    with TextGenerationModel(str(NANO), merged) as lm:
        theirs, _ = answer(lm, **asked)
    with TextGenerationModel(str(NANO), replace(merged, adapter=None)) as lm:
        plain, _ = answer(lm, **asked)
    assert "".join(map(str, ours)) == "".join(map(str, theirs)) != "".join(map(str, plain))
    assert [token.token_id for token in ours] == [token.token_id for token in theirs]
    assert [token.logprob for token in ours] == pytest.approx(
        [token.logprob for token in theirs], abs=1e-3
    )


@needs_vllm
@pytest.mark.slow
class TestRealServer:
    """One server, started once."""

    def test_greedy_tokens_and_log_probabilities_are_those_of_transformers(
        self, lm: TextGenerationModel, folder: Path
    ) -> None:
        ours, report = answer(lm, max_new_tokens=12, num_alternatives=4)
        with TextGenerationModel(str(folder), EngineSettings(engine="transformers")) as other:
            theirs, _ = answer(other, max_new_tokens=12, num_alternatives=4)
        assert [token.token_id for token in ours] == [token.token_id for token in theirs]
        assert [token.logprob for token in ours] == pytest.approx(
            [token.logprob for token in theirs], abs=1e-3
        )
        for mine, its in zip(ours, theirs, strict=True):
            assert [a.text for a in mine.alternatives] == [a.text for a in its.alternatives]
        assert report.usage.completion_tokens == 12
        assert report.finish_reason == "length"

    def test_constraints_hold(self, lm: TextGenerationModel) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"enum": [1, 2]}},
            "required": ["a"],
            "additionalProperties": False,
        }
        tokens, report = answer(lm, schema=schema, max_new_tokens=60, temperature=1.0, seed=1)
        assert json.loads("".join(map(str, tokens)))["a"] in (1, 2)
        assert (report.constraint, report.enforced_by) == ("schema", "vllm")
        tokens, _ = answer(lm, choices=("yes", "no"))
        assert "".join(map(str, tokens)) in ("yes", "no")

    def test_an_answer_cut_short_is_an_error(self, lm: TextGenerationModel) -> None:
        with pytest.raises(TruncatedAnswer):
            answer(lm, regex="[ab]{9}z", max_new_tokens=3)

    def test_a_prompt_that_does_not_fit_is_said_before(self, lm: TextGenerationModel) -> None:
        async def ask() -> None:
            await (await lm("a " * 4000)).text()

        with pytest.raises(
            ModelError, match=r"at most 256 tokens, but the prompt has .*; shorten it"
        ):
            asyncio.run(ask())

    def test_a_server_that_dies_is_a_sentence_and_leaves_nothing(self, folder: Path) -> None:
        with TextGenerationModel(str(folder), FP32) as lm:
            process = lm.model.engine._process  # type: ignore[union-attr]
            os.killpg(process._process.pid, signal.SIGKILL)
            with pytest.raises(ModelError, match=r"Nobody answers|broke off"):
                answer(lm)
        assert process._process.poll() is not None
